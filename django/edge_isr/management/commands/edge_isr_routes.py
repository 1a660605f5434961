"""`manage.py edge_isr_routes`: the worker's route settings that the site's views ask for.

With `--check` it compares them with the worker's own, which needs `TOKEN`, and exits with 1 if
something is missing there.
"""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from edge_isr.client import Client, WorkerError
from edge_isr.conf import get_settings
from edge_isr.routes import cached_views, problems_at


class Command(BaseCommand):
    """Walks the URLs of the site."""

    help = "Print the worker's route settings that the site's views ask for, as JSON."

    def add_arguments(self, parser: CommandParser) -> None:
        """`--check`."""
        parser.add_argument(
            "--check", action="store_true", help="compare them with the worker's settings"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints them, or what the worker lacks."""
        settings = get_settings()
        if not options["check"]:
            routes = [route for view in cached_views(settings) if (route := view.route())]
            self.stdout.write(json.dumps({"routes": routes}, indent=2))
            return
        try:
            problems = problems_at(Client(settings).health(), settings)
        except WorkerError as error:
            raise CommandError(str(error)) from None
        if problems:
            raise CommandError("\n".join(problems))
        self.stdout.write("The worker's routes have all that the views ask for.")
