"""The app that holds the blog."""

from django.apps import AppConfig


class PostsConfig(AppConfig):
    """Says which pages a change of the data touches, and what of them is one visitor's own."""

    name = "posts"

    def ready(self):
        """Registers the models, and the parts of pages, with the edge."""
        from posts import edge, parts  # noqa: F401
