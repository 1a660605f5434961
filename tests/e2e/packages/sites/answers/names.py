"""What the tests' changes use."""

from django.contrib.auth.models import User

from .models import Note

__all__ = ["Note", "User"]
