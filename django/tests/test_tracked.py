"""Columns that a site has registered as read by few: who reads one is sent, nobody else is."""

import pytest
from django.core.cache import cache
from django.db.models import F, Value
from django.db.models.functions import Concat
from shop.models import Notice, Poster, Product, Review
from test_exact import seen

import edge_isr
from edge_isr.explanation import writes_that_invalidate
from edge_isr.tags import with_every

pytestmark = pytest.mark.django_db


@pytest.fixture
def review(fez, new_tags):
    # What is known of the table before is not what counts after.
    seen(lambda: Review.objects.filter(text="x").count())
    edge_isr.register(Review, tracked_fields=["text"])
    made = Review.objects.create(pk=1, product=fez, text="good")
    new_tags()
    return made


READERS = {
    "an attribute": lambda: [row.text for row in Review.objects.all()],
    "a relation": lambda: [row.text for row in Product.objects.get().reviews.all()],
    "by the key": lambda: Review.objects.get(pk=1).text,
    "values": lambda: list(Review.objects.values_list("text")),
    "a value of a row": lambda: Review.objects.values_list("text").get(pk=1),
    "a condition": lambda: Review.objects.filter(pk=1, text="good").first(),
    "a copy without a key": lambda: copied(Review.objects.get()).text,
    "out of a cache": lambda: cache.get_or_set("review", Review.objects.get),
    "named": lambda: edge_isr.add_tags(edge_isr.tag(Review.objects.get())),
}
WRITES = {
    "saved": lambda: changed().save(),
    "saved in part": lambda: changed().save(update_fields=["text"]),
    "updated": lambda: Review.objects.update(text="bad"),
    "updated by an expression": lambda: Review.objects.update(text=Concat(F("text"), Value("!"))),
    "in bulk": lambda: Review.objects.bulk_update([changed()], ["text"]),
}


def copied(row):
    row.pk = None
    return row


def changed(model=Review):
    row = model.objects.get()
    row.text = "bad"
    return row


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("read", READERS)
def test_who_reads_one_is_sent(review, new_tags, read, write):
    pages = seen(READERS[read])
    new_tags()
    WRITES[write]()
    assert new_tags(parts=True) & pages


@pytest.mark.parametrize("write", WRITES)
def test_who_has_loaded_the_row_is_not(review, new_tags, write):
    pages = seen(lambda: [row.product_id for row in Review.objects.all()])
    WRITES[write]()
    assert new_tags(parts=True) & pages == set()
    Review.objects.all().delete()
    assert new_tags(parts=True) & pages


def test_other_columns_send_the_row(review, new_tags):
    pages = seen(lambda: [row.pk for row in Review.objects.filter(pk=review.pk)])
    other = Product.objects.create(name="b", slug="b", category_id=1)
    new_tags()
    Review.objects.update(product=other)
    assert new_tags(parts=True) & pages


def test_by_what_rows_are_found_is_none(fez):
    for model, name in (
        (Product, "slug"), (Product, "category"), (Product, "active"), (Product, "id"),
        (Product, "price"),
    ):  # fmt: skip
        with pytest.raises(TypeError, match=f"{name} of Product is not only shown"):
            edge_isr.register(model, tracked_fields=[name])


def test_of_rows_that_others_extend_under_a_key_of_their_own(new_tags):
    edge_isr.register(Notice, tracked_fields=["text"])
    Poster.objects.create(id=3, number=7, text="one")
    pages = set(with_every(seen(lambda: Notice.objects.get(pk=3).text)))
    for write in (
        lambda: Poster.objects.update(text="two"),
        lambda: Notice.objects.update(text="three"),
        lambda: changed(Poster).save(),
    ):
        new_tags()
        write()
        assert new_tags(parts=True) & pages


def test_it_is_explained(review):
    assert writes_that_invalidate("shop.review:@=1") == "a change of text in the review 1"
    assert writes_that_invalidate("shop.review:@text=1") == "a change of text in the review 1"
