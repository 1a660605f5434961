"""A change is sent last: the site clears what it keeps itself in receivers and after
the commit, and a page that is refetched before would have the old value once more."""

import pytest
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.signals import m2m_changed, post_delete, post_save
from shop.models import Category, Label, Product

from edge_isr import hooks, invalidate_tags
from edge_isr.patching import replace_method

pytestmark = pytest.mark.django_db(transaction=True)

order = []


def deliver(using):
    """A deliverer of the site's own."""
    order.append("sent")


@pytest.fixture(autouse=True)
def _delivery(edge):
    edge(OUTBOX=True, DELIVERY=f"{__name__}.deliver")
    order.clear()
    yield
    order.clear()


@pytest.fixture
def category():
    made = Category.objects.create(name="a", slug="a")
    order.clear()
    return made


@pytest.fixture
def cleared():
    """A receiver of each signal that clears something."""

    def clear(**kwargs):
        order.append("cleared")

    signals = (post_save, post_delete, m2m_changed)
    for signal in signals:
        signal.connect(clear)
    yield clear
    for signal in signals:
        signal.disconnect(clear)


def saved(category):
    category.name = "b"
    category.save()


@pytest.mark.parametrize(
    "write",
    [
        saved,
        lambda category: Category.objects.create(name="c", slug="c"),
        lambda category: Category.objects.update_or_create({"name": "d"}, pk=category.pk),
        lambda category: category.delete(),
        lambda category: Category.objects.filter(pk=category.pk).delete(),
    ],
)
def test_after_receivers(category, cleared, write):
    write(category)
    assert order[-1] == "sent" and "cleared" in order and order.count("sent") == 1


def test_after_the_receivers_of_a_relation(cleared):
    category, label = Category.objects.create(name="c", slug="c"), Label.objects.create(name="l")
    product = Product.objects.create(name="p", slug="p", category=category)
    for write, value in (
        (product.labels.add, label),
        (product.labels.remove, label),
        (product.labels.set, [label]),
    ):
        order.clear()
        write(value)
        assert order[-1] == "sent" and "cleared" in order and order.count("sent") == 1


@pytest.mark.parametrize("robust", [False, True])
def test_after_callbacks_of_the_commit(category, robust):
    with transaction.atomic():
        transaction.on_commit(lambda: order.append("before"), robust=robust)
        saved(category)
        transaction.on_commit(lambda: order.append("after"), robust=robust)
    assert order == ["before", "after", "sent"]


def test_a_callback_that_fails(category):
    def fail():
        order.append("failed")
        raise ValueError

    with pytest.raises(ValueError), transaction.atomic():
        saved(category)
        transaction.on_commit(fail)
    assert order == ["failed", "sent"]


def test_a_receiver_that_fails(category):
    def fail(**kwargs):
        order.append("failed")
        raise ValueError

    post_save.connect(fail)
    try:
        with pytest.raises(ValueError):
            saved(category)
    finally:
        post_save.disconnect(fail)
    # In autocommit the row is written when its receivers are called.
    assert order == ["failed", "sent"]


def test_what_a_callback_writes_is_sent_too(category):
    with transaction.atomic():
        saved(category)
        transaction.on_commit(lambda: invalidate_tags(["by-the-callback"]))
    assert order == ["sent", "sent"]


def test_after_what_packages_put_around_a_query_set(category, monkeypatch):
    original = QuerySet.bulk_create.edge_isr_original

    def keeping(self, objs, **kwargs):
        made = original(self, objs, **kwargs)
        if self.model is Category:
            # As django-cacheops does: at once, or when the transaction commits.
            transaction.on_commit(lambda: order.append("cleared"), using=self.db)
        return made

    monkeypatch.setattr(QuerySet, "bulk_create", keeping)
    replace_method(QuerySet, "bulk_create", hooks._bulk_create)
    Category.objects.bulk_create([Category(name="c", slug="c")])
    assert order == ["cleared", "sent"]
