"""What saves of one transaction say: read off the row at each save, and sent before the commit."""

import sys
from collections import Counter
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from shop.models import Category

import edge_isr
from edge_isr import batching
from edge_isr.batching import before_commit

pytestmark = pytest.mark.django_db
BYTEWISE = connection.vendor in ("postgresql", "sqlite")


def named(tags):
    """Without values of texts, where the database finds the same texts equal otherwise."""
    return {tag for tag in tags if BYTEWISE or "slug=" not in tag}


def test_each_value_that_a_row_had(new_tags, hats):
    new_tags()
    with transaction.atomic():
        for slug in ("caps", "fezzes"):
            hats.slug = slug
            hats.save()
        # What is never saved was never there.
        hats.slug = "nothing"
    assert new_tags(parts=True) == named({
        "shop.category", "shop.category:1", "shop.category:@slug", "shop.category:slug=hats",
        "shop.category:slug=caps", "shop.category:slug=fezzes",
    })  # fmt: skip


def test_two_instances_of_a_row(new_tags, hats):
    other = Category.objects.get(pk=1)
    new_tags()
    with transaction.atomic():
        hats.slug = "caps"
        hats.save()
        # Older than the row: it puts back the slug, and says so.
        other.name = "More hats"
        other.save()
    tags = new_tags(parts=True)
    assert named({"shop.category:slug=caps", "shop.category:slug=hats"}) <= tags
    assert {"shop.category:@slug", "shop.category:@name"} <= tags


def test_a_row_that_sql_has_changed_in_between(new_tags, hats):
    with transaction.atomic():
        hats.name = "More hats"
        hats.save()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE shop_category SET slug = 'caps' WHERE id = 1")
        new_tags()
        hats.save()
    assert named({"shop.category:slug=caps", "shop.category:slug=hats"}) <= new_tags(parts=True)


def test_what_was_not_loaded(new_tags, hats):
    with transaction.atomic():
        row = Category.objects.defer("slug").get(pk=1)
        row.name = "More hats"
        new_tags()
        row.save()
    assert new_tags(parts=True) == named({
        "shop.category", "shop.category:1", "shop.category:@name", "shop.category:slug=hats",
    })  # fmt: skip


def test_one_that_is_rolled_back(new_tags, hats):
    new_tags()
    with transaction.atomic():
        hats.name = "More hats"
        hats.save()
        try:
            with transaction.atomic():
                hats.slug = "caps"
                hats.save()
                raise LookupError
        except LookupError:
            hats.refresh_from_db()
    assert new_tags(parts=True) == named({
        "shop.category", "shop.category:1", "shop.category:@name", "shop.category:slug=hats",
    })  # fmt: skip


def test_a_row_that_is_gone(new_tags, hats):
    with transaction.atomic():
        Category.objects.filter(pk=1).delete()
        new_tags()
        hats.save()
    assert named({"shop.category:@", "shop.category:slug=hats"}) <= new_tags(parts=True)


def test_a_save_that_makes_no_difference(new_tags, hats):
    new_tags()
    with transaction.atomic():
        hats.save()
    assert new_tags(parts=True) == set()


def test_with_the_first_reason(hats, written):
    with transaction.atomic():
        hats.name = "More hats"
        hats.save()
        assert written()[-1].payload["reason"] == "shop.category 1"


def test_saves_that_change_nothing_send_nothing_at_the_commit(new_tags, hats):
    new_tags()
    with transaction.atomic():
        # Writes nothing itself, so that what comes later is the commit's own.
        hats.save()
        with CaptureQueriesContext(connection) as sent:
            before_commit(connection)
    assert sent.captured_queries == []
    assert new_tags() == set()


def test_more_saves_than_are_held_at_once(new_tags, hats, shoes, monkeypatch):
    monkeypatch.setattr(batching, "MAX_LATER", 2)
    new_tags()
    with transaction.atomic():
        for row in (hats, shoes, hats):
            row.name += "!"
            row.save()
    assert {"shop.category:1", "shop.category:2", "shop.category:@name"} <= new_tags(parts=True)


def test_the_calls_that_a_save_costs(hats):
    """Counted, since time depends on the machine: most of a save's cost is in calls."""
    ours = str(Path(edge_isr.__file__).parent)
    calls = Counter()

    def count(frame, event, _):
        if event == "call" and frame.f_code.co_filename.startswith(ours):
            calls[frame.f_code.co_name] += 1

    with transaction.atomic():
        hats.save()
        before_commit(connection)
        sys.setprofile(count)
        try:
            for at in range(100):
                hats.name = f"Hats {at}"
                hats.save()
        finally:
            sys.setprofile(None)
    # Where rows are locked, or the driver is asked by Django's cursor, it is a few more.
    assert calls.total() <= 100 * (20 if connection.vendor == "sqlite" else 40), calls
