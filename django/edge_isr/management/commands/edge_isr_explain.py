"""`manage.py edge_isr_explain URL`: which query gave which tag, and which writes invalidate it.

The page is rendered as a visitor who is not logged in would get it; nothing is written.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.core.management.base import BaseCommand, CommandError, CommandParser

from edge_isr import examination
from edge_isr.conf import get_settings
from edge_isr.explanation import writes_that_invalidate


class Command(BaseCommand):
    """Says it query by query, and tag by tag."""

    help = "Say which query of a page gave which tag, and which writes invalidate it."

    def add_arguments(self, parser: CommandParser) -> None:
        """The page."""
        parser.add_argument("url", help="its path, or its public URL")
        parser.add_argument("--host", help="the public host (of SITE_URLS or ALLOWED_HOSTS)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Renders it, and prints."""
        parts = urlsplit(options["url"])
        host, secure = examination.host_of(get_settings(), options["host"] or parts.netloc or None)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        page = examination.examine(path, host, secure or parts.scheme == "https")
        if page.error:
            raise CommandError(page.line())
        self.stdout.write(page.line())
        self.stdout.write(self.style.MIGRATE_HEADING("Queries"))
        for sql, given in page.explained:
            self.stdout.write(f"  {' '.join(given) or 'nothing'}\n      {' '.join(sql.split())}")
        self.stdout.write(self.style.MIGRATE_HEADING("Tags"))
        for tag in page.named:
            self.stdout.write(f"  {tag}: {writes_that_invalidate(tag)}")
