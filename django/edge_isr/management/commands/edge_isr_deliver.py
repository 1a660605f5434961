"""`manage.py edge_isr_deliver`: delivers the outbox; with `--watch` for as long as it runs."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError, InterfaceError, close_old_connections, connections

from edge_isr.conf import get_settings
from edge_isr.delivery.outbox import Deliverer, Outcome, databases


class Command(BaseCommand):
    """One round, or one after another. Several may run at once."""

    help = "Deliver what waits in the outbox."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whether to go on, and how often to look."""
        parser.add_argument("--watch", action="store_true", help="go on until SIGTERM or Ctrl-C")
        parser.add_argument("--interval", type=float, default=1.0, metavar="SECONDS",
                            help="with --watch: how often to look")  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        """Delivers."""
        deliverer = Deliverer()
        if not options["watch"]:
            outcome = Outcome()
            for alias in databases():
                outcome += deliverer.round(alias, get_settings())
            self.stdout.write(
                f"{outcome.delivered} delivered, {outcome.failed} failed, {outcome.dead} refused"
            )
            return
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *ignored: stop.set())
        self.stdout.write("delivering")
        while not stop.is_set():
            self._round(deliverer)
            stop.wait(options["interval"])

    def _round(self, deliverer: Deliverer) -> None:
        for alias in databases():
            try:
                close_old_connections()
                deliverer.round(alias, get_settings())
            except (DatabaseError, InterfaceError) as error:
                self.stderr.write(f"the outbox on {alias} can't be read: {error}")
                connections[alias].close()
