"""`manage.py edge_isr_status`: what is set, whether the worker is ready, what waits."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count, Min
from django.utils import timezone

from edge_isr.client import Client, WorkerError
from edge_isr.conf import Settings, get_settings
from edge_isr.delivery.outbox import databases, has_table
from edge_isr.models import OutboxMessage
from edge_isr.registry import registered
from edge_isr.targets import target_names


class Command(BaseCommand):
    """The exit status is 1 if the worker is not ready or a message was refused."""

    help = "Show the state of the edge cache and of the outbox."

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints it."""
        settings = get_settings()
        self.stdout.write(f"worker      {settings.worker_url or 'none'}")
        self.stdout.write(f"targets     {', '.join(target_names(settings)) or 'none'}")
        self.stdout.write(f"automatic   {'yes' if settings.auto_tags else 'no'}")
        models = ", ".join(sorted(model._meta.label for model in registered()))
        self.stdout.write(f"registered  {models or 'none'}")
        problems = [*self._worker(settings), *self._outbox(settings)]
        if problems:
            raise CommandError("; ".join(problems))

    def _worker(self, settings: Settings) -> list[str]:
        if not settings.worker_url:
            return []
        try:
            health = Client(settings).health()
        except WorkerError as error:
            return [f"the worker can't be asked: {error}"]
        ready = health.get("ready") is True
        self.stdout.write(f"health      {'ready' if ready else 'not ready'} {health}")
        return [] if ready else ["the worker is not ready"]

    def _outbox(self, settings: Settings) -> list[str]:
        problems = []
        for alias in databases() if settings.outbox else []:
            if not has_table(alias):
                problems.append(f"the database {alias} has no outbox: run migrate")
                continue
            rows = OutboxMessage.objects.using(alias).order_by()
            counts = dict(rows.values_list("status").annotate(Count("pk")))
            oldest = rows.filter(status="pending").aggregate(at=Min("created_at"))["at"]
            age = (
                f", the oldest {(timezone.now() - oldest).total_seconds():.0f} s" if oldest else ""
            )
            self.stdout.write(
                f"outbox      {alias}: {counts.get('pending', 0)} pending{age}, "
                f"{counts.get('delivered', 0)} delivered, {counts.get('dead', 0)} dead"
            )
            if counts.get("dead"):
                problems.append(f"{counts['dead']} messages on {alias} were refused")
        return problems
