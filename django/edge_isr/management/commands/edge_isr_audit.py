"""`manage.py edge_isr_audit`: pages that changed without an invalidation, and what they share.

The worker compares a share of its hits with what this site would say (`audit` in its settings).
What is shown here was found by that: by a page, its tags, and the likely cause.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from edge_isr.client import Client, WorkerError

# What differs between two renders is no change of data.
EVERY_RENDER = "differs-at-every-render"
COMPARED = ("same", "stale", EVERY_RENDER)


class Command(BaseCommand):
    """The exit status is 1 if pages were out of date."""

    help = "Show which pages changed without an invalidation, as the worker's audit found them."

    def add_arguments(self, parser: CommandParser) -> None:
        """How much, and how."""
        parser.add_argument("--limit", type=int, default=20, help="findings, newest first")
        parser.add_argument("--json", action="store_true", help="the worker's answer as it comes")

    def handle(self, *args: Any, **options: Any) -> None:
        """Asks the worker, and prints."""
        try:
            report = Client().audit(options["limit"])
        except WorkerError as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(report))
        else:
            for line in lines(report):
                self.stdout.write(plain(line))
        stale = sum(finding["cause"] != EVERY_RENDER for finding in report["findings"])
        if stale:
            raise CommandError(f"{stale} pages changed without an invalidation")


def lines(report: dict[str, Any]) -> Iterator[str]:
    """The answer in lines."""
    outcomes = report["outcomes"]
    audited = sum(outcomes.get(name, 0) for name in COMPARED)
    yield f"{audited} of {report['hits']} hits audited, {outcomes.get('stale', 0)} out of date"
    for group in report["groups"]:
        if group["stale"]:
            yield f"{group['tag'] or 'no tag'} ({group['route']}): {group['stale']} out of date"
    for finding in report["findings"]:
        yield ""
        yield from finding_lines(finding)
    yield ""
    yield report["note"]


def finding_lines(finding: dict[str, Any]) -> Iterator[str]:
    """One finding."""
    varied = ", ".join(f"{name}: {value}" for name, value in finding["vary"])
    yield finding["url"] + (f" ({varied})" if varied else "")
    found = f"stored {moment(finding['stored_at'])}, found {moment(finding['found_at'])}"
    yield f"    {finding['cause']}, {found}, {finding['times']} times"
    yield f"    {finding['explanation']}"
    yield f"    tags: {' '.join(finding['tags']) or 'none'}"
    difference = finding["difference"]
    if difference["tags"]:
        yield f"    tags now: {' '.join(finding['fresh_tags'])}"
    for change in difference["changes"]:
        yield f"    {change['name']}: {change['stored'] or 'none'}, now {change['fresh']}"
    cut = difference["excerpt"]
    if cut:
        yield f"    - {cut['before']}{cut['stored']}{cut['after']}"
        yield f"    + {cut['before']}{cut['fresh']}{cut['after']}"


def moment(millis: int) -> str:
    """A time of the worker's."""
    return datetime.fromtimestamp(millis / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def plain(text: str) -> str:
    """Text as a terminal may get it: pages and tags can hold what it would obey."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in text)
