"""What the tests' changes use."""

from .models import Note

__all__ = ["Note"]
