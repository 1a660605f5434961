"""With `COMPARE_RESULTS` (the settings `oracle.compared`): each query of each view is compared, and
the record is put back with the rows."""

from __future__ import annotations

import datetime
import logging
import math
from typing import Any

from django.db.models import Count, Max
from django.utils import timezone

from edge_isr import sharing
from edge_isr.conf import get_settings
from edge_isr.delivery import comparing, outbox
from edge_isr.invalidation import Invalidation
from edge_isr.models import OutboxMessage, Result

from .registry import view
from .store.models import Product

_remembered: list[Any] = []


class _Failing(logging.Handler):
    """What no page fails for fails here."""

    def emit(self, record: logging.LogRecord) -> None:
        """An error of comparing."""
        if "compared" in record.msg or "on record" in record.msg:
            raise AssertionError(record.getMessage())


def are_compared() -> bool:
    """Whether this run has it."""
    return get_settings().compare_results


def add_views() -> None:
    """What pages of a site share: the months there are, the newest, what is published by now."""
    if not are_compared():
        return
    logging.getLogger("edge_isr").addHandler(_Failing(logging.WARNING))
    # One page is enough, and nothing is invalidated because it is too much.
    sharing.SHARED_BY = 1
    sharing.MAX_ON_RECORD = comparing.MAX_QUERIES = 1_000_000
    sharing.MAX_SECONDS = comparing.MAX_SECONDS = math.inf

    def published() -> Any:
        return Product.objects.filter(active=True, created__lte=timezone.now())

    def until_today() -> Any:
        return Product.objects.filter(published__lte=datetime.date.today())

    view("result: months", lambda: list(Product.objects.dates("published", "month")))
    view("result: months by now", lambda: list(published().datetimes("created", "month")))
    view("result: the newest by now", lambda: published().order_by("-created").first())
    view("result: three by now", lambda: list(published().order_by("-price")[:3]))
    view("result: counted by now", lambda: published().count())
    view("result: the last until today", lambda: until_today().latest("published"))
    view("result: until today", lambda: list(until_today().order_by("-name").values("name")[:2]))
    view("result: counted until today", lambda: until_today().aggregate(Count("pk"), Max("price")))
    view("result: with its category", lambda: Product.objects.select_related("category").last())
    view(
        "result: with how many reviews",
        lambda: list(Product.objects.annotate(n=Count("reviews")).order_by("-n", "pk")[:2]),
    )
    view(
        "result: names of categories",
        lambda: list(Product.objects.values_list("category__name").distinct().order_by("category")),
    )


def compare() -> None:
    """What stands in the outbox, as whoever delivers it would."""
    if are_compared():
        rows = OutboxMessage.objects.filter(at=None)
        found = [Invalidation.from_json(row.payload) for row in rows]
        comparing.compare(found, "default", get_settings(), outbox.write)


def remember() -> None:
    """The record as it is when no row has changed."""
    if are_compared():
        _remembered[:] = Result.objects.all()
        print(f"\noracle: {len(_remembered)} results are on record")


def restore() -> None:
    """It is as it was."""
    if are_compared():
        Result.objects.all().delete()
        Result.objects.bulk_create(_remembered)
