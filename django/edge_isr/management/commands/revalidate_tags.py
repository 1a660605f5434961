"""`manage.py revalidate_tags post:42 posts`: the pages with these tags are out of date."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from edge_isr.client import Client, WorkerError
from edge_isr.invalidation import Invalidation
from edge_isr.tags import clean_all, of_results


class Command(BaseCommand):
    """Asks the worker at once, and prints what it answered."""

    help = "Revalidate the pages that carry any of the tags."

    def add_arguments(self, parser: CommandParser) -> None:
        """Tags, and how."""
        parser.add_argument("tags", nargs="+", help="tags such as post:42 posts")
        parser.add_argument("--hard", action="store_true", help="never serve the old pages again")
        parser.add_argument("--no-warm", action="store_true", help="do not fetch the new pages")
        parser.add_argument("--wait", type=float, default=0, metavar="SECONDS",
                            help="wait for the new pages, at most 25 s")  # fmt: skip
        parser.add_argument("--dry-run", action="store_true", help="say how many pages it would be")

    def handle(self, *args: Any, **options: Any) -> None:
        """Asks, and prints."""
        from edge_isr.conf import get_settings
        from edge_isr.fragments import forget

        one = Invalidation(
            tags=set(clean_all(options["tags"])), hard=options["hard"], warm=not options["no_warm"]
        )
        if get_settings().compare_results:
            one.tags |= of_results(one.tags)
        if not options["dry_run"]:
            forget([one], get_settings())
        try:
            accepted = Client().revalidate(
                one, wait_ms=int(options["wait"] * 1000), dry_run=options["dry_run"]
            )
        except WorkerError as error:
            raise CommandError(str(error)) from None
        pages = accepted.get("pages")
        count = "an unknown number of" if pages is None else pages
        if options["dry_run"]:
            self.stdout.write(f"{count} pages carry {one}")
            return
        done = f"{one}: epoch {accepted.get('epoch')}, {count} pages, job {accepted.get('id')}"
        self.stdout.write(self.style.SUCCESS(done))
