"""Rows of many-to-many relations, in every way that they come and go."""

import pytest
from django.db.models import Count
from django.http import HttpResponse
from shop.models import Category, Label, Product

import edge_isr
from edge_isr import isr

pytestmark = pytest.mark.django_db

Through = Product.labels.through


@pytest.fixture
def new():
    return Label.objects.create(pk=41, name="new")


@pytest.fixture
def old():
    return Label.objects.create(pk=42, name="old")


def through(product):
    return Through.objects.filter(product=product)


def bulk_update(product):
    rows = list(through(product))
    for row in rows:
        row.label_id = 42
    Through.objects.bulk_update(rows, ["label"])


def save(product):
    row = through(product).get()
    row.label_id = 42
    row.save()


OUT = {
    "product.delete()": lambda fez: fez.delete(),
    "products.delete()": lambda fez: Product.objects.filter(pk=fez.pk).delete(),
    "products._raw_delete() after the rows": lambda fez: (
        through(fez)._raw_delete("default"),
        Product.objects.filter(pk=fez.pk)._raw_delete("default"),
    ),
    "a cascade from its category": lambda fez: fez.category.delete(),
    "a cascade by queryset": lambda fez: Category.objects.all().delete(),
    "label.delete()": lambda fez: Label.objects.get(pk=41).delete(),
    "labels.delete()": lambda fez: Label.objects.all().delete(),
    "remove": lambda fez: fez.labels.remove(Label.objects.get(pk=41)),
    "remove from the other end": lambda fez: Label.objects.get(pk=41).products.remove(fez),
    "clear": lambda fez: fez.labels.clear(),
    "clear from the other end": lambda fez: Label.objects.get(pk=41).products.clear(),
    "set": lambda fez: fez.labels.set([]),
    "set with clear": lambda fez: fez.labels.set([42], clear=True),
    "through.delete()": lambda fez: through(fez).get().delete(),
    "through.objects.delete()": lambda fez: through(fez).delete(),
    "through._raw_delete()": lambda fez: through(fez)._raw_delete("default"),
    "through.update()": lambda fez: through(fez).update(label_id=42),
    "through.bulk_update()": bulk_update,
    "through.save()": save,
}
IN = {
    "add": lambda fez: fez.labels.add(41),
    "add from the other end": lambda fez: Label.objects.get(pk=41).products.add(fez),
    "set": lambda fez: fez.labels.set([41]),
    "create": lambda fez: fez.labels.create(name="x"),
    "get_or_create": lambda fez: fez.labels.get_or_create(name="x"),
    "update_or_create": lambda fez: fez.labels.update_or_create(name="x"),
    "through.objects.create()": lambda fez: Through.objects.create(product=fez, label_id=41),
    "through.objects.bulk_create()": lambda fez: Through.objects.bulk_create(
        [Through(product=fez, label_id=41)]
    ),
    "through.objects.get_or_create()": lambda fez: Through.objects.get_or_create(
        product=fez, label_id=41
    ),
    "through.save()": lambda fez: Through(product=fez, label_id=41).save(),
}


def counts(request):
    labels = Label.objects.annotate(count=Count("products")).order_by("pk")
    return HttpResponse(" ".join(str(label.count) for label in labels))


@pytest.mark.parametrize("way", OUT)
def test_out(way, site, new_tags, fez, new, old):
    fez.labels.add(new)
    client = site(isr()(counts))
    before = client.get("/page/")
    new_tags()
    OUT[way](fez)
    tags = new_tags()
    after = client.get("/page/")
    assert before.content != after.content
    assert tags & set(before["X-Edge-ISR-Tags"].split())
    assert "shop.product_labels" in tags


@pytest.mark.parametrize("way", IN)
def test_in(way, site, new_tags, fez, new):
    client = site(isr()(counts))
    before = client.get("/page/")
    new_tags()
    IN[way](fez)
    tags = new_tags()
    assert before.content != client.get("/page/").content
    assert "shop.product_labels" in tags
    assert tags & set(before["X-Edge-ISR-Tags"].split())


@pytest.mark.parametrize("way", OUT)
def test_out_of_what_is_registered(way, edge, new_tags, fez, new, old):
    """Without automatic tags: a page of the label is named by what the label says."""
    edge(AUTO_TAGS=False)
    fez.labels.add(new)
    edge_isr.register(Label, tags=lambda label: f"label-{label.pk}")
    new_tags()
    OUT[way](fez)
    assert "label-41" in new_tags()


@pytest.mark.parametrize("way", IN)
def test_into_what_is_registered(way, edge, new_tags, fez, new):
    edge(AUTO_TAGS=False)
    edge_isr.register(Product, tags=lambda p: [f"label-{x.name}" for x in p.labels.all()])
    new_tags()
    IN[way](fez)
    assert {"label-new", "label-x"} & new_tags()


def test_rows_that_go_with_one_end_leave_lists_of_the_other_alone(new_tags, fez, new):
    """A list of labels shows nothing of their products; one that does has the relation's tag."""
    fez.labels.add(new)
    new_tags()
    fez.delete()
    assert not {"shop.label", "shop.label:41"} & new_tags()


def test_fast_deletions_stay_fast(fez, new, django_assert_num_queries):
    with edge_isr.silence(), django_assert_num_queries(2):  # as without the package
        new.delete()
    with edge_isr.silence(), django_assert_num_queries(1):
        Through.objects.all().delete()


def test_additions_stay_fast(fez, new, django_assert_num_queries):
    with edge_isr.silence(), django_assert_num_queries(1):
        fez.labels.add(new)
