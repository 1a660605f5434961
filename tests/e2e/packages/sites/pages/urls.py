"""django-cms has all addresses."""

from cms.urls import urlpatterns

__all__ = ["urlpatterns"]
