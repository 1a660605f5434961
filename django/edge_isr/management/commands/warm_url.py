"""`manage.py warm_url https://www.example.net/`: has pages fetched before anybody asks for them."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from edge_isr.client import Client, WorkerError
from edge_isr.invalidation import clean_url


class Command(BaseCommand):
    """Asks the worker, and prints the jobs."""

    help = "Have pages fetched to the edge."

    def add_arguments(self, parser: CommandParser) -> None:
        """URLs."""
        parser.add_argument("urls", nargs="+", metavar="url", help="absolute URLs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Asks, and prints."""
        try:
            urls = [clean_url(url) for url in options["urls"]]
            for accepted in Client().warm(urls):
                self.stdout.write(self.style.SUCCESS(f"warming: job {accepted.get('id')}"))
        except (ValueError, WorkerError) as error:
            raise CommandError(str(error)) from None
