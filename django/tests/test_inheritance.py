"""Models that extend others and have a key of their own: each row is named by its own table's."""

import datetime

import pytest
import test_exact
from django.core.cache import cache
from django.utils import timezone
from shop.models import Notice, Poster

import edge_isr
from edge_isr.models import OutboxMessage
from edge_isr.tags import with_every

pytestmark = pytest.mark.django_db


def seen(load):
    """What a page with it is tagged with, whose rows are all known."""
    return set(with_every(test_exact.seen(load)))


@pytest.fixture
def poster(new_tags):
    # Its number is another notice's key.
    Notice.objects.create(id=7, text="another")
    made = Poster.objects.create(id=3, number=7, text="one")
    assert made.notice_id == 3
    new_tags()
    return made


LOADS = {
    "all": lambda: list(Poster.objects.all()),
    "by its key": lambda: Poster.objects.get(pk=7),
    "by a value": lambda: list(Poster.objects.filter(shelf=0)),
    "without the columns above": lambda: [row.text for row in Poster.objects.only("size")],
    "from the row above": lambda: Notice.objects.select_related("poster").get(poster__pk=7).poster,
    "one by one": lambda: [row.text for row in Poster.objects.iterator()],
    "raw": lambda: [row.text for row in Poster.objects.raw("SELECT * FROM shop_poster")],
    "out of a cache": lambda: cache.get_or_set("poster", lambda: Poster.objects.get(pk=7)),
}
WRITES = {
    "saved": lambda: Poster(pk=7, notice_id=Poster.objects.get().notice_id, text="new").save(),
    "saved as it is above": lambda: save(Notice.objects.get(poster=7)),
    "updated": lambda: Poster.objects.update(text="new"),
    "updated above": lambda: Notice.objects.filter(text="one").update(text="new"),
    "in bulk": lambda: bulk(Poster.objects.get()),
    "deleted": lambda: Poster.objects.get().delete(),
    "deleted with others": lambda: Poster.objects.all().delete(),
    "deleted above": lambda: Notice.objects.filter(text="one").delete(),
}


def save(row):
    row.text = "new"
    row.save()


def bulk(row):
    # Django itself takes its key for that of the row above.
    row.size = "A2"
    Poster.objects.bulk_update([row], ["size"])


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("load", LOADS)
def test_a_change_of_either_row_is_sent(poster, new_tags, load, write):
    pages = seen(LOADS[load])
    assert f"shop.notice:{poster.notice_id}" in pages or "shop.notice" in pages
    WRITES[write]()
    assert new_tags(parts=True) & pages


def test_the_row_with_the_same_key_above_is_another(poster, new_tags):
    pages = seen(lambda: [(row.text, row.size) for row in Poster.objects.filter(pk=7)])
    assert "shop.notice:7" not in pages
    save(Notice.objects.get(pk=7))
    assert not new_tags(parts=True) & pages
    other = seen(lambda: Notice.objects.get(pk=poster.notice_id).text)
    save(Poster.objects.get())
    assert new_tags(parts=True) & other


def test_each_has_its_own_times(poster, new_tags):
    edge_isr.register(Notice, at=["shown"])
    shown = timezone.now() + datetime.timedelta(hours=1)
    for row in (Notice.objects.get(pk=7), Poster.objects.get()):
        row.shown = shown
        row.save()
    new_tags()
    names = set(OutboxMessage.objects.exclude(at=None).values_list("name", flat=True))
    assert names == {"@shop.notice:7:shown", "@shop.poster:7:shown"}
