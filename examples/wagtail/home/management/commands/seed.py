"""Fills an empty site with a listing and three notes."""

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction
from wagtail.models import Page, Site

from home.models import IndexPage, NotePage


class Command(BaseCommand):
    """`manage.py seed`: / lists /first/, /second/, /third/; log in as admin / admin."""

    help = __doc__

    @transaction.atomic
    def handle(self, *args, **options):
        """Does nothing when the site is there."""
        if IndexPage.objects.exists():
            return
        get_user_model().objects.create_superuser("admin", "admin@site.example", "admin")
        Page.objects.filter(depth=2).delete()
        root = Page.objects.get(depth=1)
        index = root.add_child(instance=IndexPage(title="Notes", slug="notes", intro="All notes."))
        for title in ("First", "Second", "Third"):
            index.add_child(
                instance=NotePage(title=title, slug=title.lower(), body=f"{title} note.")
            )
        Site.objects.update_or_create(
            is_default_site=True, defaults={"hostname": "localhost", "root_page": index}
        )
