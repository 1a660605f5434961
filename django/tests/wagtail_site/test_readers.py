"""What an editor's change invalidates: menus, and the readers of columns that are bookkeeping."""

import copy
import datetime
import pickle

import pytest
from django.core import serializers
from django.db import connection
from django.db.models import Max
from django.db.models.functions import TruncDay
from django.utils import timezone
from wagtail.models import Page

from edge_isr.context import Recorder, recording

from .conftest import published
from .models import Note

pytestmark = pytest.mark.django_db


def seen(load):
    """What a page that loads something is tagged with."""
    recorder = Recorder()
    with recording(recorder):
        load()
    return set(recorder.named())


def menu(home):
    return [(page.title, page.url) for page in home.get_children().live().in_menu()]


class TestMenus:
    @pytest.fixture
    def shown(self, home, notes):
        Page.objects.filter(pk__in=[note.pk for note in notes]).update(show_in_menus=True)
        return lambda: seen(lambda: menu(Page.objects.get(pk=home.pk)))

    def test_what_it_does_not_show(self, notes, tags, shown):
        # The first time says when that was, by which pages are often ordered.
        published(notes[0])
        tags()
        published(notes[0], text="new")
        assert not tags() & shown()
        published(notes[0])
        assert not tags() & shown()

    def test_what_it_shows(self, home, notes, tags, shown):
        pages = shown()
        tags()
        published(notes[0], title="other")
        assert tags() & pages
        Note.objects.get(pk=notes[1].pk).unpublish()
        assert tags() & pages
        Page.objects.get(pk=notes[2].pk).delete()
        assert tags() & pages
        home.add_child(instance=Note(title="d", slug="d", show_in_menus=True))
        assert tags() & pages

    def test_a_page_below_one_of_its_pages(self, notes, tags, shown):
        pages = shown()
        tags()
        Note.objects.get(pk=notes[0].pk).add_child(instance=Note(title="d", slug="d"))
        # It is in no menu itself, on databases too where paths are no tags.
        assert not tags() & pages

    def test_whether_there_is_anything_below(self, notes, tags):
        below = seen(lambda: Page.objects.get(pk=notes[0].pk).get_children().exists())
        leaf = seen(lambda: Page.objects.get(pk=notes[0].pk).is_leaf())
        tags()
        child = Note.objects.get(pk=notes[0].pk).add_child(instance=Note(title="d", slug="d"))
        new_tags = tags()
        assert new_tags & below and new_tags & leaf
        below = seen(lambda: Page.objects.get(pk=notes[0].pk).get_children().exists())
        leaf = seen(lambda: Page.objects.get(pk=notes[0].pk).is_leaf())
        Page.objects.get(pk=child.pk).delete()
        new_tags = tags()
        assert new_tags & below and new_tags & leaf


class TestDrafts:
    @pytest.fixture
    def shown(self, home):
        pages = {
            "live": lambda: list(Page.objects.child_of(home).live().values_list("pk")),
            "specific": lambda: list(Note.objects.child_of(home).live().order_by("-pk")[:9]),
            "drafts": lambda: list(Page.objects.child_of(home).not_live().values_list("pk")),
            "all": lambda: list(Page.objects.child_of(home).values_list("pk")),
        }
        return lambda: {name: seen(load) for name, load in pages.items()}

    @pytest.fixture
    def who(self, shown, tags):
        """The lists that were notified of a change."""

        def who(change):
            pages = shown()
            tags()
            change()
            new_tags = tags()
            return {name for name, page in pages.items() if page & new_tags}

        return who

    def test_which_lists_are_sent(self, home, notes, who):
        draft = Note(title="d", slug="d", live=False)
        assert who(lambda: home.add_child(instance=draft)) == {"drafts", "all"}
        assert who(lambda: published(draft)) >= {"live", "specific", "drafts"}
        assert who(lambda: Note.objects.get(pk=draft.pk).unpublish()) >= {
            "live", "specific", "drafts",
        }  # fmt: skip
        fresh = Page.objects.get(pk=draft.pk)
        where = notes[0] if connection.vendor in ("postgresql", "sqlite") else None
        if where is not None:
            assert who(lambda: fresh.move(where, "first-child")) == {"drafts", "all"}
            assert who(lambda: Page.objects.get(pk=draft.pk).delete()) == set()
        else:
            # Where paths are no tags, whoever looks at them is notified of each.
            assert who(lambda: fresh.delete()) >= {"drafts", "all"}
        assert who(lambda: Page.objects.get(pk=notes[1].pk).delete()) >= {"live", "specific", "all"}

    def test_the_list_of_a_tag(self, home, notes, tags):
        tagged = Note.objects.get(pk=notes[0].pk)
        tagged.tags.add("new")
        tagged.save()
        new = Note.tags.through.objects.get(tag__name="new").tag
        pages = seen(lambda: list(Note.objects.live().descendant_of(home).filter(tags=new)))
        tags()
        home.add_child(instance=Note(title="d", slug="d"))
        published(notes[1], title="other")
        Note.objects.get(pk=notes[1].pk).unpublish()
        Page.objects.get(pk=notes[2].pk).delete()
        assert not tags() & pages
        Note.objects.get(pk=notes[0].pk).unpublish()
        assert tags() & pages
        pages = seen(lambda: list(Note.objects.live().descendant_of(home).filter(tags=new)))
        published(notes[0])
        assert tags() & pages
        made = Note(title="e", slug="e", live=False)
        made.tags.add("new")
        home.add_child(instance=made)
        assert tags() & pages
        pages = seen(lambda: list(Note.objects.live().descendant_of(home).filter(tags=new)))
        published(made)
        assert tags() & pages
        Page.objects.get(pk=made.pk).delete()
        assert tags() & pages


class TestColumnsWhoseReadersAreSeen:
    @pytest.mark.parametrize(
        "load",
        [
            lambda page: page.last_published_at,
            lambda page: page.specific.last_published_at,
            lambda page: copy.copy(page).last_published_at,
            lambda page: pickle.loads(pickle.dumps(page)).last_published_at,
            lambda page: serializers.serialize("json", [page]),
            lambda page: list(Page.objects.filter(pk=page.pk).values()),
            lambda page: list(Page.objects.values_list("last_published_at")),
            lambda page: Page.objects.defer("last_published_at").get(pk=page.pk).last_published_at,
            lambda page: list(Page.objects.order_by("-last_published_at")[:1]),
            lambda page: Page.objects.aggregate(latest=Max("last_published_at")),
            # MariaDB needs tables of time zones for others than UTC, and where there is no time.
            lambda page: list(
                Page.objects.filter(pk=page.pk).annotate(
                    day=TruncDay("last_published_at", tzinfo=datetime.timezone.utc)
                )
            ),
            lambda page: list(Page.objects.filter(last_published_at__year=2020)),
            lambda page: list(Page.objects.iterator()),
            lambda page: list(Page.objects.raw("SELECT * FROM wagtailcore_page")),
            lambda page: list(Page.objects.extra(where=["last_published_at IS NULL"])),
        ],
    )
    def test_who_reads_one_is_sent(self, notes, tags, load):
        published(notes[0])
        pages = seen(lambda: load(Page.objects.get(pk=notes[0].pk)))
        tags()
        published(notes[0])
        assert tags() & pages

    def test_who_reads_that_of_another_is_not(self, notes, tags):
        pages = seen(lambda: Page.objects.get(pk=notes[1].pk).last_published_at)
        assert f"wagtailcore.page:@last_published_at={notes[1].pk}" in pages
        tags()
        published(notes[0])
        assert not tags() & pages

    def test_saving_goes_on_as_before(self, notes):
        page = Page.objects.get(pk=notes[0].pk)
        assert page.get_deferred_fields() == set()
        page.last_published_at = timezone.now()
        page.save(update_fields=["last_published_at"])
        again = Page.objects.get(pk=page.pk)
        assert again.last_published_at == page.last_published_at
        del again.last_published_at
        assert again.get_deferred_fields() == {"last_published_at"}
        assert again.last_published_at == page.last_published_at
        del again.last_published_at
        with pytest.raises(AttributeError):
            del again.last_published_at
