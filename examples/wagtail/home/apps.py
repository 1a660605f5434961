"""The app that holds the pages."""

from django.apps import AppConfig


class HomeConfig(AppConfig):
    """Has nothing to do: what Wagtail changes by SQL of its own is sent by its tables."""

    name = "home"
    default_auto_field = "django.db.models.BigAutoField"
