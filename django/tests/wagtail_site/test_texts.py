"""Texts and streams of a page's own type: who reads one is invalidated by it, and nobody else."""

import copy
import pickle

import pytest
from django.core import serializers
from django.core.cache import cache
from django.db.models import Case, F, Max, Value, When
from django.db.models.functions import Concat, Lower
from django.forms.models import model_to_dict
from django.template import engines
from wagtail.images.models import Image
from wagtail.images.tests.utils import get_test_image_file
from wagtail.models import Page, Site

import edge_isr

from .conftest import published
from .models import Note
from .test_readers import seen

pytestmark = pytest.mark.django_db


def shown_by(template):
    return lambda note: engines["django"].from_string(template).render({"note": note})


READERS = {
    "an attribute": lambda note: note.text,
    "a template": shown_by("{{ note.text }}"),
    "a stream": shown_by("{% for block in note.body %}{{ block }}{% endfor %}"),
    "whether it has a stream": lambda note: bool(note.body),
    "its own type of a page": lambda note: Page.objects.get(pk=note.pk).specific.text,
    "specific pages": lambda note: [one.text for one in Page.objects.type(Note).specific()],
    "a copy": lambda note: copy.copy(note).text,
    "a deep copy": lambda note: copy.deepcopy(note).text,
    "a pickle": lambda note: pickle.loads(pickle.dumps(note)).text,
    "a serializer": lambda note: serializers.serialize("json", [note]),
    "a dictionary": model_to_dict,
    "a dictionary of modelcluster": lambda note: note.serializable_data(),
    "deferred": lambda note: Note.objects.defer("text").get(pk=note.pk).text,
    "only": lambda note: Note.objects.only("text").get(pk=note.pk).text,
    "again": lambda note: note.refresh_from_db() or note.text,
    "values": lambda note: list(Note.objects.filter(pk=note.pk).values("text", "body")),
    "values of all": lambda note: list(Note.objects.values_list("text", "body")),
    "a condition": lambda note: list(Note.objects.filter(text="one")),
    "a condition beside the key": lambda note: Note.objects.filter(pk=note.pk, text="one").first(),
    "a condition beside a slug": lambda note: list(Note.objects.filter(slug="a", text="one")),
    "none of": lambda note: list(Note.objects.exclude(text="one")),
    "an order": lambda note: list(Note.objects.order_by("text")),
    "the first": lambda note: Note.objects.order_by("text").first(),
    "annotated": lambda note: [one.low for one in Note.objects.annotate(low=Lower("text"))],
    "an expression": lambda note: list(Note.objects.filter(title__lt=F("text"))),
    "counted": lambda note: Note.objects.filter(text="one").count(),
    "exists": lambda note: Note.objects.filter(pk=note.pk, text="one").exists(),
    "aggregated": lambda note: Note.objects.aggregate(last=Max("text")),
    "a union": lambda note: [
        one.text for one in Note.objects.order_by().union(Note.objects.order_by())
    ],
    "an iterator": lambda note: [one.text for one in Note.objects.iterator()],
    "raw": lambda note: [one.text for one in Note.objects.raw("SELECT * FROM wagtail_site_note "
        "JOIN wagtailcore_page ON id = page_ptr_id")],
    "extra": lambda note: list(Note.objects.extra(where=["text = 'one'"])),
    "a relation": lambda note: [
        tag.content_object.text
        for tag in note.tagged_items.model.objects.select_related("content_object")
    ],
    "a prefetched one": lambda note: [
        tag.content_object.text
        for tag in note.tagged_items.model.objects.prefetch_related("content_object")
    ],
    "from the page": lambda note: Page.objects.select_related("note").get(pk=note.pk).note.text,
}  # fmt: skip


def values(text):
    return {"text": text, "body": [("words", text)]}


# Each by a text that it writes; the last one leaves nothing.
WRITES = {
    "published": lambda note, text: published(note, **values(text)),
    "saved": lambda note, text: changed(note, text).save(),
    "saved in part": lambda note, text: changed(note, text).save(update_fields=["text", "body"]),
    "updated": lambda note, text: Note.objects.filter(pk=note.pk).update(**values(text)),
    "updated by an expression": lambda note, text: Note.objects.update(
        **values(text) | {"text": Concat(F("text"), Value("!"))}
    ),
    "updated case by case": lambda note, text: Note.objects.update(
        **values(text) | {"text": Case(When(pk=note.pk, then=Value(text)), default="text")}
    ),
    "updated in bulk": lambda note, text: Note.objects.bulk_update(
        [changed(note, text)], ["text", "body"]
    ),
    "deleted": lambda note, text: Note.objects.get(pk=note.pk).delete(),
}


def changed(note, text):
    note = Note.objects.get(pk=note.pk)
    note.text, note.body = text, [("words", text)]
    return note


class TestTextsOfPages:
    """Columns of a page's own type."""

    @pytest.fixture
    def note(self, notes):
        published(notes[0], text="one", body=[("words", "one")])
        note = Note.objects.get(pk=notes[0].pk)
        note.tags.add("red")
        note.save_revision().publish()
        return Note.objects.get(pk=note.pk)

    @pytest.mark.parametrize("read", READERS)
    def test_who_reads_one_is_sent(self, note, tags, read):
        for name, write in WRITES.items():
            pages = seen(lambda: READERS[read](Note.objects.get(pk=note.pk)))
            tags()
            write(note, name)
            assert tags() & pages, name

    def test_who_has_loaded_it_alone_is_not(self, note, tags):
        rows = Page.objects.filter(pk__in=[note.pk])
        pages = seen(lambda: [one.title for one in rows.specific()])
        assert f"wagtail_site.note:{note.pk}" in pages
        for name, write in WRITES.items():
            tags()
            write(note, name)
            assert bool(tags() & pages) == (name == "deleted"), name

    def test_addresses_below_are_not_sent_of_the_home_page(self, home, notes, tags):
        """Wagtail loads it as its own type for each of them."""
        pages = seen(
            lambda: Site.objects.get().root_page.specific.route(None, ["a"]).page.specific.text
        )
        assert {f"wagtail_site.note:{home.pk}", f"wagtail_site.note:{notes[0].pk}"} <= pages
        tags()
        published(home, text="new")
        # The first time says when that was.
        tags()
        published(home, text="newer", body=[("words", "new")])
        # Where paths are no tags, it depends on all pages.
        assert tags() & pages <= {"wagtailcore.page"}
        published(notes[0], text="new")
        assert tags() & pages

    def test_many_rows_are_known_by_themselves(self, home, note, tags):
        for at in range(110):
            home.add_child(instance=Note(title=str(at), slug=f"many-{at}"))
        pages = seen(lambda: [one.text for one in Note.objects.all()])
        assert f"wagtail_site.note:@text={note.pk}" in pages
        pages = seen(lambda: [(one.text, len(one.body)) for one in Note.objects.all()])
        assert f"wagtail_site.note:@={note.pk}" in pages
        assert "wagtail_site.note" not in pages
        tags()
        published(note, text="two")
        assert tags() & pages

    def test_a_list_shows_how_its_texts_begin(self, home, note, tags):
        text = "These are the first words of it, and then it goes on as it "
        published(note, text=f"{text}began, now")
        card = "{% if note.text %}{{ note.specific.text|truncatewords:9 }}{% endif %}"
        pages = seen(lambda: shown_by(card)(Page.objects.get(pk=note.pk).specific))
        whole = seen(lambda: Note.objects.get(pk=note.pk).text)
        tags()
        published(note, text=f"{text}began, today")
        sent = tags()
        assert not sent & pages and sent & whole
        published(note, text="Others")
        assert tags() & pages

    def test_who_names_the_row_itself_is_sent(self, note, tags):
        pages = seen(lambda: edge_isr.add_tags(edge_isr.tag(note)))
        assert f"wagtail_site.note:{note.pk}" in pages
        tags()
        published(note, text="two")
        assert tags() & pages

    def test_out_of_a_cache(self, note, tags):
        seen(lambda: cache.get_or_set("note", lambda: [Note.objects.get(pk=note.pk)]))
        values = seen(lambda: cache.get("note"))
        tags()
        published(note, text="two")
        assert tags() & values

    def test_what_was_made_of_its_title_and_is_in_a_cache(self, note, tags):
        def make():
            return [(one.pk, one.title) for one in Note.objects.filter(pk=note.pk)]

        seen(lambda: cache.get_or_set("titles", make))
        values = seen(lambda: cache.get("titles"))
        assert f"wagtail_site.note:{note.pk}" in values
        tags()
        published(note, text="two")
        assert not tags() & values


class TestImages:
    def test_who_shows_the_title_is_sent(self, tags):
        image = Image.objects.create(title="one", file=get_test_image_file())
        shows = seen(lambda: Image.objects.get(pk=image.pk).get_rendition("width-10").alt)
        file = seen(lambda: Image.objects.get(pk=image.pk).get_rendition("width-10").url)
        tags()
        image.title = "two"
        image.save()
        new_tags = tags()
        assert new_tags & shows and not new_tags & file


class TestBookkeeping:
    def test_who_takes_it_out_of_a_cache_is_sent(self, notes, tags):
        published(notes[0])
        key = notes[0].pk
        seen(lambda: cache.get_or_set("page", lambda: Page.objects.get(pk=key)))
        pages = seen(lambda: cache.get("page").last_published_at)
        values = seen(lambda: cache.get("page"))
        tags()
        published(notes[0])
        new_tags = tags()
        # The value is made anew then, and not only the page.
        assert new_tags & pages and new_tags & values

    def test_who_reads_that_of_a_copy_without_a_key_is_sent(self, notes, tags):
        published(notes[0])

        def load():
            page = Page.objects.get(pk=notes[0].pk)
            page.pk = page.id = None
            return page.last_published_at

        pages = seen(load)
        tags()
        published(notes[0])
        assert tags() & pages
