"""Times that were set for pages and snippets: going live, and expiring."""

import datetime

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

import edge_isr
from edge_isr.batching import AfterCommit, before_commit
from edge_isr.models import OutboxMessage

from .conftest import published
from .models import Note, Teaser

pytestmark = pytest.mark.django_db


def in_an_hour():
    return timezone.now().replace(microsecond=0) + datetime.timedelta(hours=1)


class TestTimes:
    """What happens to a page, or to a snippet, at a time that was set for it."""

    @pytest.fixture
    def waits(self):
        """What the outbox has for a time, by name: when, and the tags."""

        def ask():
            before_commit(connection)
            for entry in connection.run_on_commit:
                if isinstance(entry[1], AfterCommit):
                    entry[1].is_written_as([])
            rows = OutboxMessage.objects.exclude(at=None).exclude(status="cancelled")
            return {row.name: (row.at, set(row.payload["tags"])) for row in rows}

        return ask

    def test_of_a_page_that_was_never_live(self, home, waits):
        at = in_an_hour()
        note = home.add_child(instance=Note(title="new", slug="new", live=False, go_live_at=at))
        assert waits() == {}
        note.save_revision().publish()
        assert not Note.objects.get(pk=note.pk).live
        ((name, (when, tags)),) = waits().items()
        assert name == f"@wagtailcore.page:{note.pk}:go_live_at" and when == at
        assert {f"wagtail_site.note:{note.pk}", "wagtailcore.page:@go_live_at"} <= tags

    def test_of_a_new_version_of_a_live_page(self, notes, waits, monkeypatch):
        published(notes[0])
        at = in_an_hour()
        published(notes[0], text="later", go_live_at=at)
        name = f"@wagtailcore.page:{notes[0].pk}:go_live_at"
        assert [(key, value[0]) for key, value in waits().items()] == [(name, at)]
        later = at + datetime.timedelta(hours=1)
        published(notes[0], text="later", go_live_at=later)
        assert waits()[name][0] == later
        monkeypatch.setattr(timezone, "now", lambda: later + datetime.timedelta(minutes=1))
        call_command("publish_scheduled")
        assert Note.objects.get(pk=notes[0].pk).text == "later"

    def test_taken_back(self, notes, waits):
        published(notes[0])
        at = in_an_hour()
        published(notes[0], text="later", go_live_at=at)
        assert waits()
        revision = Note.objects.get(pk=notes[0].pk).scheduled_revision
        # As Wagtail's view "unschedule" does.
        revision.approved_go_live_at = None
        revision.save(update_fields=["approved_go_live_at"])
        assert waits() == {}

    def test_published_at_once_instead(self, notes, waits):
        published(notes[0])
        at = in_an_hour()
        published(notes[0], text="later", go_live_at=at)
        assert waits()
        published(notes[0], text="now", go_live_at=None)
        assert waits() == {}

    def test_of_what_expires(self, notes, waits):
        at = in_an_hour()
        published(notes[0], expire_at=at)
        ((name, (when, tags)),) = waits().items()
        assert name == f"@wagtailcore.page:{notes[0].pk}:expire_at" and when == at
        assert {f"wagtail_site.note:{notes[0].pk}", "wagtailcore.page:@expire_at"} <= tags
        Note.objects.get(pk=notes[0].pk).unpublish()
        assert waits() == {}

    def test_of_a_page_deleted(self, notes, waits):
        published(notes[0], expire_at=in_an_hour())
        assert waits()
        Note.objects.get(pk=notes[0].pk).delete()
        assert waits() == {}

    def test_of_a_page_moved(self, notes, waits):
        published(notes[0], expire_at=in_an_hour())
        (before,) = waits().values()
        Note.objects.get(pk=notes[0].pk).move(notes[1], pos="last-child")
        (after,) = waits().values()
        assert after[0] == before[0]

    def test_of_a_snippet(self, waits):
        at = in_an_hour()
        teaser = Teaser.objects.create(text="one", expire_at=at)
        assert list(waits()) == [f"@wagtail_site.teaser:{teaser.pk}:expire_at"]
        teaser.go_live_at = at - datetime.timedelta(minutes=5)
        teaser.text = "two"
        teaser.save_revision().publish()
        key = f"@wagtail_site.teaser:{teaser.pk}"
        assert waits()[f"{key}:go_live_at"][0] == teaser.go_live_at
        teaser.delete()
        assert waits() == {}

    def test_of_what_was_registered_without(self, notes, waits, registered_without):
        published(notes[0], expire_at=in_an_hour())
        assert waits() == {}

    @pytest.fixture
    def registered_without(self):
        edge_isr.register(Note, at=())
