"""The app that holds the blog."""

from django.apps import AppConfig


class PostsConfig(AppConfig):
    """Says which pages a change of the data touches."""

    name = "posts"

    def ready(self):
        """Registers the models with the edge."""
        from posts import edge  # noqa: F401
