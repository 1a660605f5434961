"""What the tests of compared results share: rows, queries that pages share, and pages of them."""

from datetime import date, datetime, timedelta, timezone

from conftest import tags_of
from django.db.models import Count, F, Max
from django.http import HttpResponse
from shop.models import Notice

from edge_isr import isr, sharing
from edge_isr.conf import get_settings
from edge_isr.delivery.outbox import Deliverer

NOW = datetime.now(timezone.utc)


def switched_on(edge, monkeypatch):
    """Each query of each page is compared, as long as a test lasts."""
    edge(COMPARE_RESULTS=True)
    monkeypatch.setattr(sharing, "SHARED_BY", 1)
    # A busy machine is none of the query's.
    monkeypatch.setattr(sharing, "MAX_SECONDS", 60)
    yield
    sharing.forget()


def made_notices():
    """Three of them, the last one the newest."""
    return [
        Notice.objects.create(
            pk=pk, text=f"n{pk}", shown=NOW - timedelta(days=back),
            last_day=date.today() + timedelta(days=back),
        )
        for pk, back in [(1, 3), (2, 2), (3, 1)]
    ]  # fmt: skip


def asking(site):
    """What asks for a page that shows what is loaded: the first time has put it on record."""

    def made(load):
        client = site(isr(lambda request, pk=0: HttpResponse(repr(load()))))
        client.get("/page/")
        return lambda: client.get("/page/")

    return made


def results_of(response):
    """The rows on record that a page has in place of other tags."""
    named = {tag for tag in tags_of(response) if tag.startswith("edge_isr.result:")}
    return {tag for tag in named if tag.rpartition(":")[2].isdigit()}


def deliver():
    return Deliverer().round("default", get_settings())


def sent(worker):
    """What the worker has been sent since the last call."""
    deliver()
    tags = {tag for call in worker.calls for tag in call.json.get("tags", ())}
    worker.calls.clear()
    return tags


def is_invalidated(response, tags):
    return bool(tags & set(response["X-Edge-ISR-Tags"].split()))


SHARED = {
    "months": lambda: list(Notice.objects.dates("last_day", "month")),
    "months of moments": lambda: list(
        Notice.objects.datetimes("shown", "month", tzinfo=timezone.utc)
    ),
    "distinct values": lambda: list(Notice.objects.values_list("shelf").distinct()),
    "the first": lambda: Notice.objects.order_by("-shown").first().text,
    "the latest": lambda: Notice.objects.latest("shown").text,
    "two": lambda: [n.text for n in Notice.objects.order_by("-shown")[:2]],
    "values": lambda: list(Notice.objects.order_by("-shown").values("text")[:2]),
    "counted": lambda: Notice.objects.filter(shelf__gte=0).count(),
    "is there one": lambda: Notice.objects.filter(shelf__gt=0).exists(),
    "the most": lambda: Notice.objects.aggregate(Max("shelf")),
    "grouped": lambda: list(Notice.objects.values("shelf").annotate(n=Count("pk"))),
    "annotated": lambda: [n.more for n in Notice.objects.annotate(more=F("shelf") + 1)],
    "published by now": lambda: list(
        Notice.objects.filter(shown__lte=datetime.now(timezone.utc)).datetimes(
            "shown", "year", tzinfo=timezone.utc
        )
    ),
    "until today": lambda: list(
        Notice.objects.filter(last_day__gte=date.today()).order_by("text").values_list("text")[:2]
    ),
}  # fmt: skip
