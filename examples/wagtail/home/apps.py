"""The app that holds the pages."""

from django.apps import AppConfig


class HomeConfig(AppConfig):
    """Tells the edge what Wagtail changes round the ORM."""

    name = "home"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        """Connects the signal of a moved page."""
        from wagtail.signals import post_page_move

        post_page_move.connect(_moved, dispatch_uid="home.moved")


def _moved(sender, instance, url_path_before, **kwargs):
    """Moving a tree is SQL of Wagtail's own: every page below the old address is out of date."""
    from edge_isr import revalidate_by_tags, tag
    from wagtail.models import Page

    below = Page.objects.filter(path__startswith=instance.path)
    revalidate_by_tags([tag(Page), *(tag(page) for page in below)], reason="page moved")
