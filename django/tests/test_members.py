"""Which rows a query finds, and in which order, as a page is tagged with it; and what equal is."""

from contextlib import nullcontext

import pytest
from django.db import transaction
from django.db.models import Count, Q, Sum, Window
from django.db.models.functions import Lower, Rank
from shop.models import Category, Product
from test_exact import seen

pytestmark = pytest.mark.django_db


def test_what_a_condition_is_of():
    """Which rows have the value, where no more than that can change the result; else whatever
    those rows say."""
    few = Product.objects.filter(category=1, active=True)
    for load, wanted in (
        (lambda: few.filter(price__gt=2).count(), {"category=1@"}),
        (lambda: few.exists(), {"category=1@"}),
        (lambda: few.aggregate(total=Sum("price")), {"category=1@"}),
        (lambda: list(few.values("price")), {"category=1@"}),
        (lambda: list(few.values("name")), {"category=1"}),
        (lambda: few.filter(name__contains="x").count(), {"category=1"}),
        (lambda: list(few.order_by("name")), {"category=1@"}),
        (lambda: list(few.filter(name__contains="x")), {"category=1"}),
        (lambda: list(few.order_by("name")[:3]), {"category=1@", "@name"}),
        (lambda: list(few.extra(where=["name = 'x'"])), {"category=1"}),
        (lambda: list(few.annotate(low=Lower("name"))), {"category=1"}),
    ):  # fmt: skip
        assert seen(load) == {f"shop.product:{part}" for part in wanted}


def test_rows_that_are_shown_are_known_by_themselves(fez):
    rows = Product.objects.order_by("-price")
    fewest = {"shop.product:@", "shop.product:11"}
    assert seen(lambda: list(rows.all())) == fewest
    assert seen(lambda: list(rows[:3])) == {*fewest, "shop.product:@price"}
    assert seen(lambda: list(rows.filter(price__lt=9))) == {*fewest, "shop.product:@price"}
    assert seen(lambda: list(rows.only("name"))) == fewest
    assert seen(lambda: list(rows.select_related("category"))) == {
        *fewest, "shop.category:1", "shop.product:@category_id",
    }  # fmt: skip
    # By their place in the result, and by what is worked out.
    assert seen(lambda: list(rows.annotate(n=Count("labels")).order_by("n", "name")[:1])) >= {
        *fewest, "shop.product:@name", "shop.product_labels",
    }  # fmt: skip
    assert "shop.product" in seen(lambda: list(rows.order_by().union(Product.objects.order_by())))
    assert "shop.product" in seen(lambda: list(rows.extra(where=["name > ''"])))
    ranked = rows.annotate(at=Window(Rank(), order_by="name"))
    assert seen(lambda: list(ranked)) == {*fewest, "shop.product:@name"}


class TestFlags:
    """A draft does not invalidate who asks for what is published."""

    @pytest.fixture
    def lists(self, fez, shoes):
        few = Product.objects.filter(category=1)
        return {
            "shown": lambda: list(few.filter(active=True).values_list("pk", "slug")),
            "hidden": lambda: list(few.filter(active=False).values_list("pk", "slug")),
            "all": lambda: list(few.values_list("pk", "slug", "active")),
        }

    @pytest.mark.parametrize(
        ("write", "wanted"),
        [
            (lambda fez: Product.objects.create(category_id=1, slug="a", price=1), "shown all"),
            (
                lambda fez: Product.objects.create(
                    category_id=1, slug="a", price=1, active=False
                ),
                "hidden all",
            ),
            (lambda fez: fez.delete(), "shown all"),
            (lambda fez: Product.objects.filter(pk=11).delete(), "shown all"),
            (lambda fez: Product.objects.filter(pk=11).update(price=7), "shown all"),
            (lambda fez: Product.objects.filter(pk=11).update(category=2), "shown all"),
            (lambda fez: Product.objects.filter(pk=11).update(active=False), "shown hidden all"),
            (lambda fez: Product.objects.filter(pk=11).update(active=Q(price__lt=0)),
             "shown hidden all"),
            (
                lambda fez: Product.objects.bulk_create(
                    [Product(category_id=1, slug="a", price=1, active=False)]
                ),
                "hidden all",
            ),
            (lambda fez: _save(fez, active=False), "shown hidden all"),
            (lambda fez: _save(fez, active=0, category_id=2), "shown all"),
            (lambda fez: _save(fez, active="f"), "shown hidden all"),
            (lambda fez: _save(fez, price=3), "shown all"),
            (lambda fez: _save(fez, active=Q(price__lt=0)), "shown hidden all"),
            (lambda fez: Product(pk=11, category_id=1, slug="fez", price=1, active=False).save(),
             "shown hidden all"),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("atomic", [False, True])
    def test_who_is_sent(self, new_tags, fez, lists, write, wanted, atomic):
        pages = {name: seen(load) for name, load in lists.items()}
        new_tags()
        with transaction.atomic() if atomic else nullcontext():
            write(fez)
        tags = new_tags(parts=True)
        assert {name for name, page in pages.items() if page & tags} == set(wanted.split())

    def test_what_an_instance_does_not_know_of_its_flag(self, new_tags, fez, lists):
        Product.objects.filter(pk=11).update(active=False)
        pages = {name: seen(load) for name, load in lists.items()}
        old = fez
        new_tags()
        # It was loaded while it was active.
        old.price = 9
        old.save(update_fields=["price"])
        tags = new_tags(parts=True)
        assert pages["hidden"] & tags and not pages["shown"] & tags
        rest = Product.objects.defer("active").get(pk=11)
        rest.slug = "other"
        rest.save()
        tags = new_tags(parts=True)
        assert pages["hidden"] & tags and not pages["shown"] & tags


def _save(row, **values):
    for name, value in values.items():
        setattr(row, name, value)
    row.save()


@pytest.mark.parametrize(
    "load",
    [
        lambda: list(Product.objects.filter(slug="FEZ").values("name", "slug")),
        lambda: Product.objects.filter(slug__in=["FEZ", "Tarboosh "]).count(),
        lambda: Product.objects.filter(slug="tarboosh").exists(),
        lambda: [row.name for row in Product.objects.filter(slug="FÈZ")],
        lambda: list(Category.objects.filter(products__slug="FEZ").values("name")),
    ],
)
def test_texts_that_the_database_finds_equal(new_tags, fez, load):
    """Whatever it finds equal (case, accents, spaces at the end), nothing is lost."""
    for name, slug in (("Later", "fez"), ("Later", "Fez"), ("Then", "Tarboosh"), ("x", "y")):
        pages, before = seen(load), load()
        new_tags()
        fez.name, fez.slug = name, slug
        fez.save()
        assert load() == before or new_tags(parts=True) & pages


def test_an_empty_list_depends_on_nothing():
    assert seen(lambda: list(Product.objects.filter(category__in=[]))) == set()


def test_columns_without_their_table_leave_it_whole():
    load = lambda: list(Product.objects.extra(where=["price > 3"]).values("pk"))  # noqa: E731
    assert "shop.product" in seen(load)


def test_a_page_of_very_many_values_depends_on_the_model():
    def load():
        for number in range(150):
            list(Product.objects.filter(category=number))

    assert seen(load) == {"shop.product"}


def test_the_type_of_a_cast_is_no_column():
    from edge_isr.statements import read

    statement = read('SELECT COUNT(*) FROM "a" WHERE "a"."path"::text LIKE \'x\' AND date > 3')
    assert "text" not in statement.unqualified and "date" in statement.unqualified
