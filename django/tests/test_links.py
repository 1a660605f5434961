"""Rows that are found by the rows which point at them, and rows that extend others."""

import asyncio

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from shop.models import Label, Premium, Product
from test_exact import seen

from edge_isr import links
from edge_isr.tags import with_every

pytestmark = pytest.mark.django_db

LISTS = {
    "shown": lambda: list(Product.objects.filter(labels=41, active=True)),
    "by its label": lambda: list(Label.objects.get(pk=41).products.filter(active=True)),
    "of several": lambda: list(Product.objects.filter(labels__in=[41, 42], active=True).distinct()),
    "values": lambda: list(Product.objects.filter(labels=41, active=True).values("name", "price")),
    "counted": lambda: Product.objects.filter(labels=41, price__lt=9).count(),
    "is there one": lambda: Product.objects.filter(labels=41, price__lt=9).exists(),
    "the dearest": lambda: Product.objects.filter(labels=41).order_by("-price").first(),
    "two": lambda: list(Product.objects.filter(labels=41, price__gte=0).order_by("name")[:2]),
    "extended": lambda: list(Premium.objects.filter(labels=41, active=True)),
    "within": lambda: list(
        Product.objects.filter(pk__in=Product.objects.filter(labels=41, active=True).values("pk"))
    ),
    "not within": lambda: list(
        Product.objects.exclude(pk__in=Product.objects.filter(labels=41, active=True).values("pk"))
        .filter(pk__gt=100).values("pk")
    ),
}  # fmt: skip


def written(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)


WRITES = {
    "hidden": lambda: Product.objects.filter(pk=11).update(active=False),
    "shown": lambda: save(Product.objects.get(pk=12), active=True),
    "dearer": lambda: save(Product.objects.get(pk=12), active=True, price=20),
    "deleted": lambda: Product.objects.get(pk=11).delete(),
    "labelled": lambda: Label.objects.get(pk=41).products.add(13),
    "no more": lambda: Product.objects.get(pk=11).labels.clear(),
    "made": lambda: premium("made", active=True).labels.add(41),
    "label goes": lambda: Label.objects.get(pk=41).delete(),
    "by SQL": lambda: written("UPDATE shop_product SET active = '1', price = 3 WHERE id = 12"),
    "by SQL, labelled": lambda: written(
        "INSERT INTO shop_product_labels (product_id, label_id) VALUES (13, 41)"
    ),
}


def save(row, **values):
    for name, value in values.items():
        setattr(row, name, value)
    row.save()
    return row


def premium(slug, **values):
    pk = 100 + Premium.objects.count()
    return Premium.objects.create(pk=pk, slug=slug, category_id=1, **values)


def result(name):
    try:
        return LISTS[name]()
    except Label.DoesNotExist:
        return None


@pytest.fixture
def products(new_tags, fez, cap, hats):
    Product.objects.filter(pk=12).update(active=False)
    Product.objects.create(pk=13, name="Top", slug="top", category=hats)
    for pk in (41, 42):
        Label.objects.create(pk=pk, name=str(pk)).products.set([11, 12])
    premium("first").labels.add(41)
    new_tags()


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("name", LISTS)
def test_nothing_is_lost(new_tags, products, name, write):
    pages, before = set(with_every(seen(LISTS[name]))), result(name)
    new_tags()
    WRITES[write]()
    assert result(name) == before or new_tags(parts=True) & pages


@pytest.mark.parametrize("name", LISTS.keys() - {"within", "not within"})
def test_who_is_not_sent(new_tags, products, name):
    """Of rows at which none of the others points, whatever they say."""
    pages = seen(LISTS[name])
    new_tags()
    save(Product.objects.get(pk=13), active=False, price=3)
    Product.objects.filter(pk=13).update(active=True, name="a")
    premium("other")
    Product.objects.get(pk=13).delete()
    assert not new_tags(parts=True) & pages


def test_what_a_page_is_tagged_with(products):
    shown = {
        "shop.product:11", "shop.product:12", f"shop.product:{Premium.objects.get().pk}",
        "shop.product_labels:label=41",
    }  # fmt: skip
    assert seen(LISTS["shown"]) == shown
    assert seen(LISTS["counted"]) == shown
    # All that are connected are shown: no query more is needed.
    with CaptureQueriesContext(connection) as queries:
        seen(lambda: list(Product.objects.filter(labels=41)))
    assert len(queries) == 1


def test_many_rows_are_known_by_what_is_asked_of_them(products, monkeypatch):
    monkeypatch.setattr(links, "MAX_KEYS", 2)
    assert "shop.product:active=True@" in seen(LISTS["shown"])
    monkeypatch.setattr(links, "MAX_KEYS", 3)
    assert "shop.product:active=True@" not in seen(LISTS["shown"])


def test_where_nothing_can_be_asked(products):
    async def text():
        return str(Product.objects.filter(labels=41, active=True).query)

    assert "shop.product:active=True" in seen(lambda: asyncio.run(text()))

    def broken():
        with pytest.raises(IntegrityError), transaction.atomic():
            Label.objects.create(pk=41)
        connection.set_rollback(True)
        str(Product.objects.filter(labels=41, active=True).query)
        connection.set_rollback(False)

    assert "shop.product:active=True" in seen(broken)


class TestExtended:
    """A model that extends another: which rows of its own there are is sent with the values of the
    other's rows."""

    LISTS = {
        "rows": lambda: list(Premium.objects.filter(category=1, active=True)),
        "values": lambda: list(Premium.objects.filter(category=1, active=True).values("price")),
        "sliced": lambda: list(Premium.objects.filter(category=1).order_by("bonus")[:3]),
        "counted": lambda: Premium.objects.filter(category=1, active=True).count(),
    }

    @pytest.mark.parametrize("name", LISTS)
    def test_an_extension_of_a_row_that_is_there(self, new_tags, fez, name):
        load = self.LISTS[name]
        for write in (
            lambda: save(Premium(product_ptr=fez, **values_of(fez))),
            lambda: Premium.objects.get(pk=11).delete(keep_parents=True),
            lambda: Premium(product_ptr=fez, bonus="raw").save_base(raw=True),
            lambda: Premium.objects.filter(pk=11).delete(),
        ):
            pages, before = seen(load), load()
            new_tags()
            write()
            assert load() != before and new_tags(parts=True) & pages

    @pytest.mark.parametrize("name", LISTS)
    def test_by_sql(self, new_tags, fez, name):
        load = self.LISTS[name]
        pages = set(with_every(seen(load)))
        new_tags()
        written("INSERT INTO shop_premium (product_ptr_id, bonus) VALUES (11, 'x')")
        assert new_tags() & pages

    def test_another_draft(self, new_tags, fez, shoes):
        pages = {name: seen(load) for name, load in self.LISTS.items()}
        new_tags()
        premium("draft", active=False)
        Premium.objects.create(pk=99, slug="elsewhere", category=shoes)
        tags = new_tags(parts=True)
        assert {name for name, page in pages.items() if page & tags} == {"sliced"}


def values_of(row):
    return {field.attname: getattr(row, field.attname) for field in Product._meta.concrete_fields}
