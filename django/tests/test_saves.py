"""What saves of one transaction say: read off the row at each save, and told before the commit."""

import pytest
from django.db import connection, transaction
from shop.models import Category

pytestmark = pytest.mark.django_db
BYTEWISE = connection.vendor in ("postgresql", "sqlite")


def named(tags):
    """Without values of texts, where the database finds the same texts equal otherwise."""
    return {tag for tag in tags if BYTEWISE or "slug=" not in tag}


def test_each_value_that_a_row_had(told, hats):
    told()
    with transaction.atomic():
        for slug in ("caps", "fezzes"):
            hats.slug = slug
            hats.save()
        # What is never saved was never there.
        hats.slug = "nothing"
    assert told(parts=True) == named({
        "shop.category", "shop.category:1", "shop.category:@slug", "shop.category:slug=hats",
        "shop.category:slug=caps", "shop.category:slug=fezzes",
    })  # fmt: skip


def test_two_instances_of_a_row(told, hats):
    other = Category.objects.get(pk=1)
    told()
    with transaction.atomic():
        hats.slug = "caps"
        hats.save()
        # Older than the row: it puts back the slug, and says so.
        other.name = "More hats"
        other.save()
    tags = told(parts=True)
    assert named({"shop.category:slug=caps", "shop.category:slug=hats"}) <= tags
    assert {"shop.category:@slug", "shop.category:@name"} <= tags


def test_a_row_that_sql_has_changed_in_between(told, hats):
    with transaction.atomic():
        hats.name = "More hats"
        hats.save()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE shop_category SET slug = 'caps' WHERE id = 1")
        told()
        hats.save()
    assert named({"shop.category:slug=caps", "shop.category:slug=hats"}) <= told(parts=True)


def test_what_was_not_loaded(told, hats):
    with transaction.atomic():
        row = Category.objects.defer("slug").get(pk=1)
        row.name = "More hats"
        told()
        row.save()
    assert told(parts=True) == named({
        "shop.category", "shop.category:1", "shop.category:@name", "shop.category:slug=hats",
    })  # fmt: skip


def test_one_that_is_rolled_back(told, hats):
    told()
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
    assert told(parts=True) == named({
        "shop.category", "shop.category:1", "shop.category:@name", "shop.category:slug=hats",
    })  # fmt: skip


def test_a_row_that_is_gone(told, hats):
    with transaction.atomic():
        Category.objects.filter(pk=1).delete()
        told()
        hats.save()
    assert named({"shop.category:@", "shop.category:slug=hats"}) <= told(parts=True)


def test_a_save_that_makes_no_difference(told, hats):
    told()
    with transaction.atomic():
        hats.save()
    assert told(parts=True) == set()


def test_with_the_first_reason(hats, written):
    with transaction.atomic():
        hats.name = "More hats"
        hats.save()
        assert written()[-1].payload["reason"] == "shop.category 1"
