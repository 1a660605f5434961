"""`manage.py edge_isr_doctor [PATH …]`: what of the site will not be cached, and why.

It asks the worker, looks at the settings, and renders the paths named (by default every cached view
without parameters) as a visitor who is not logged in would get them. Nothing is written: what a
page writes is named and rolled back.
"""

from __future__ import annotations

from typing import Any

from django.core import checks
from django.core.management.base import BaseCommand, CommandParser

from edge_isr import examination
from edge_isr.client import Client, WorkerError
from edge_isr.conf import Settings, get_settings
from edge_isr.routes import problems_at


class Command(BaseCommand):
    """Says it in plain words."""

    help = "Say what of the site will not be cached at the edge, and why."
    # It reports them itself.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """The paths, and the host they are asked for."""
        parser.add_argument("paths", nargs="*", help="paths to render, such as /blog/")
        parser.add_argument("--host", help="the public host (of SITE_URLS or ALLOWED_HOSTS)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Examines the settings, the worker, the pages."""
        settings = get_settings()
        self._heading("Settings")
        found = checks.run_checks(include_deployment_checks=False)
        own = [f"{one.msg} {one.hint or ''}".strip() for one in found if _is_ours(one)]
        self._list(own, "Nothing to mend.")
        self._heading("Worker")
        self._list(list(self._worker(settings)), "It is ready, and its routes are as views ask.")
        self._heading("Pages")
        paths = options["paths"] or examination.paths_of(settings)
        host, secure = examination.host_of(settings, options["host"])
        pages = [examination.examine(path, host, secure) for path in paths]
        self._list(
            [page.line() for page in pages], "No cached view without parameters: name paths."
        )
        for text in examination.summary(pages):
            self.stdout.write(text)

    def _worker(self, settings: Settings) -> Any:
        try:
            health = Client(settings).health()
        except WorkerError as error:
            yield f"It can't be asked: {error}"
            return
        for row in [*health.get("reasons", ()), *health.get("notes", ())]:
            yield ": ".join([row["reason"], *row.get("details", ())])
        yield from problems_at(health, settings)

    def _heading(self, text: str) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(text))

    def _list(self, lines: list[str], otherwise: str) -> None:
        for line in lines or [otherwise]:
            self.stdout.write(f"  {line}")


def _is_ours(message: Any) -> bool:
    return str(message.id or "").startswith("edge_isr.")
