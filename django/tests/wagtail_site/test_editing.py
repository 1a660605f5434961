"""Each row of docs/wagtail.md: what an editor's change sends, and what it does not."""

import datetime

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from wagtail.actions.copy_for_translation import CopyPageForTranslationAction
from wagtail.actions.create_alias import CreatePageAliasAction
from wagtail.contrib.redirects.models import Redirect
from wagtail.documents.models import Document
from wagtail.images.models import Image
from wagtail.images.tests.utils import get_test_image_file
from wagtail.models import (
    GroupApprovalTask,
    Locale,
    PageViewRestriction,
    Site,
    Workflow,
    WorkflowTask,
)

from .conftest import published
from .models import Brand, Contact, Note, Teaser

pytestmark = pytest.mark.django_db
BYTEWISE = connection.vendor in ("postgresql", "sqlite")


def named(tags):
    """Without values of texts, where the database finds the same texts equal otherwise."""
    texts = ("path=", "path>", "slug=", "url_path=")
    return {tag for tag in tags if BYTEWISE or not any(text in tag for text in texts)}


@pytest.fixture
def editor():
    return User.objects.create_superuser("editor", password="x")


class TestNothingIsTold:
    def test_of_a_draft(self, notes, tags):
        tags()
        for text in ("one", "two"):
            note = Note.objects.get(pk=notes[0].pk)
            note.text = note.title = text
            note.save_revision(overwrite_revision=note.get_latest_revision())
        assert tags() == set()

    def test_of_a_draft_of_a_snippet(self, tags):
        teaser = Teaser.objects.create(text="one")
        tags()
        teaser.text = "two"
        teaser.save_revision()
        assert tags() == set()

    def test_of_a_workflow_before_its_end(self, notes, editor, tags):
        workflow = Workflow.objects.create(name="two steps")
        for order, name in enumerate(("first", "second")):
            task = GroupApprovalTask.objects.create(name=name)
            WorkflowTask.objects.create(workflow=workflow, task=task, sort_order=order)
        note = Note.objects.get(pk=notes[0].pk)
        note.text = "new"
        note.save_revision()
        tags()
        state = workflow.start(note, editor)
        state.current_task_state.approve(user=editor)
        assert tags() == set()
        state.current_task_state.reject(user=editor)
        assert tags() == set()
        state.resume(user=editor)
        state.refresh_from_db()
        state.current_task_state.approve(user=editor)
        assert f"wagtail_site.note:{note.pk}" in tags()

    def test_of_a_lock(self, notes, editor, tags):
        note = Note.objects.get(pk=notes[0].pk)
        tags()
        for locked in (True, False):
            note.locked, note.locked_by = locked, editor if locked else None
            note.locked_at = timezone.now() if locked else None
            note.save()
        assert tags() == set()


def test_scheduled_publishing(notes, tags, monkeypatch):
    published(notes[0])
    note = Note.objects.get(pk=notes[0].pk)
    note.text = "later"
    note.go_live_at = timezone.now() + datetime.timedelta(hours=1)
    tags()
    note.save_revision().publish()
    assert tags() == set()
    later = timezone.now() + datetime.timedelta(hours=2)
    monkeypatch.setattr(timezone, "now", lambda: later)
    call_command("publish_scheduled")
    assert {f"wagtail_site.note:{note.pk}", "wagtail_site.note:@text"} <= tags()


def test_publishing(home, notes, tags):
    published(notes[0])
    tags()
    published(notes[0], text="new")
    pk, found = notes[0].pk, tags()
    cell = f"wagtail_site.note:@text={pk}"
    assert {"wagtailcore.page", cell, "wagtail_site.note:@text"} <= found
    # Who has the page as its own type, and does not read the text.
    assert f"wagtail_site.note:{pk}" not in found
    # What every page has is as it was, but for the time of publishing.
    assert not {f"wagtailcore.page:{one.pk}" for one in (home, *notes)} & found
    assert "wagtailcore.page:@title" not in found
    published(notes[0], title="other")
    assert named({
        f"wagtailcore.page:{pk}", f"wagtailcore.page:path={notes[0].path}",
        f"wagtailcore.page:path>{home.path}", f"wagtailcore.page:path>>{home.path}",
        "wagtailcore.page:slug=a", "wagtailcore.page:@title",
    }) <= tags()  # fmt: skip


def test_publishing_without_a_difference(notes, tags):
    published(notes[0])
    tags()
    published(notes[0])
    pk, found = notes[0].pk, tags()
    assert {"wagtailcore.page:@last_published_at",
            f"wagtailcore.page:@last_published_at={pk}"} <= found  # fmt: skip
    assert not {"wagtail_site.note:@text", "wagtailcore.page:@title",
                f"wagtailcore.page:{pk}", f"wagtail_site.note:{pk}"} & found  # fmt: skip


def test_unpublishing(notes, tags):
    tags()
    Note.objects.get(pk=notes[0].pk).unpublish()
    assert {f"wagtailcore.page:{notes[0].pk}", "wagtailcore.page:@live"} <= tags()


def test_a_new_page(home, notes, tags):
    tags()
    new = home.add_child(instance=Note(title="d", slug="d"))
    found = tags()
    # The page above counts its children.
    assert {f"wagtailcore.page:{new.pk}", f"wagtailcore.page:@numchild={home.pk}",
            "wagtailcore.page:@", "wagtailcore.page:@numchild"} <= found  # fmt: skip
    assert f"wagtailcore.page:{home.pk}" not in found
    assert named({f"wagtailcore.page:path>{home.path}"}) <= found
    assert f"wagtailcore.page:{notes[0].pk}" not in found


def test_an_alias_follows(home, notes, tags):
    alias = CreatePageAliasAction(
        notes[0], parent=home, update_slug="alias", user=None
    ).execute(skip_permission_checks=True)  # fmt: skip
    assert f"wagtailcore.page:{alias.pk}" in tags()
    published(notes[0], title="renamed")
    found = tags()
    assert {f"wagtailcore.page:{alias.pk}", f"wagtailcore.page:{notes[0].pk}"} <= found


def test_a_translation(home, tags):
    german = Locale.objects.create(language_code="de")
    tags()
    page = CopyPageForTranslationAction(home, german).execute(skip_permission_checks=True)
    found = tags()
    assert {f"wagtailcore.page:{page.pk}", f"wagtailcore.page:locale={german.pk}"} <= found


def test_a_page_deleted(home, notes, tags):
    tags()
    pk = notes[0].pk
    Note.objects.get(pk=pk).delete()
    assert {f"wagtailcore.page:{pk}", f"wagtail_site.note:{pk}", "wagtailcore.page:@"} <= tags()


def test_a_move_sends_what_moves_from_where_to_where(home, notes, tags):
    below = notes[0].add_child(instance=Note(title="below", slug="below"))
    tags()
    Note.objects.get(pk=notes[0].pk).move(notes[1], "last-child")
    found = tags()
    new = Note.objects.get(pk=notes[0].pk)
    moved = {f"wagtailcore.page:{one.pk}" for one in (notes[0], below)}
    count = f"wagtailcore.page:@numchild={notes[1].pk}"
    assert moved | {count, "wagtailcore.page:@path"} <= found
    assert named({
        f"wagtailcore.page:path={notes[0].path}", f"wagtailcore.page:path={new.path}",
        f"wagtailcore.page:path>{home.path}", f"wagtailcore.page:path>{notes[1].path}",
    }) <= found  # fmt: skip
    assert f"wagtailcore.page:{notes[2].pk}" not in found


def test_a_slug_sends_each_page_below(home, notes, tags):
    below = notes[0].add_child(instance=Note(title="below", slug="below"))
    tags()
    published(notes[0], slug="z")
    found = tags()
    assert named({"wagtailcore.page:slug=a", "wagtailcore.page:slug=z"}) <= found
    every = "wagtailcore.page:*" in found
    assert every or f"wagtailcore.page:{below.pk}" in found


def test_pages_reordered(home, notes, tags):
    tags()
    Note.objects.get(pk=notes[2].pk).move(notes[0], "left")
    found = tags()
    assert {f"wagtailcore.page:{one.pk}" for one in notes} <= found
    assert f"wagtailcore.page:{home.pk}" not in found


def test_a_snippet(tags):
    teaser = Teaser.objects.create(text="one")
    tags()
    teaser.text = "two"
    teaser.save_revision().publish()
    found = tags()
    assert {f"wagtail_site.teaser:{teaser.pk}", "wagtail_site.teaser:@text"} <= found


def test_settings(home, tags):
    site = Site.objects.get()
    contact, brand = Contact.for_site(site), Brand.load()
    tags()
    contact.phone = "1"
    contact.save()
    assert {f"wagtail_site.contact:{contact.pk}", f"wagtail_site.contact:site={site.pk}"} <= tags()
    brand.slogan = "new"
    brand.save()
    assert {f"wagtail_site.brand:{brand.pk}", "wagtail_site.brand:@slogan"} <= tags()


def test_an_image_and_its_renditions(tags):
    image = Image.objects.create(title="one", file=get_test_image_file())
    tags()
    image.get_rendition("width-10")
    assert {tag for tag in tags() if "wagtailimages" in tag} == set()
    image.title = "two"
    image.save()
    found = tags()
    assert {f"wagtailimages.image:@title={image.pk}", "wagtailimages.image:@title"} <= found
    assert f"wagtailimages.image:{image.pk}" not in found
    image.file = get_test_image_file("other.png")
    image.save()
    assert {f"wagtailimages.image:{image.pk}", "wagtailimages.image:@file"} <= tags()


def test_a_document(tags):
    document = Document.objects.create(title="one", file=ContentFile(b"x", name="one.txt"))
    tags()
    document.title = "two"
    document.save()
    assert {f"wagtaildocs.document:{document.pk}", "wagtaildocs.document:@title"} <= tags()


def test_a_redirect(home, tags):
    tags()
    made = Redirect.add_redirect("/old/", redirect_to=home)
    found = tags()
    assert f"wagtailredirects.redirect:{made.pk}" in found
    if BYTEWISE:
        assert "wagtailredirects.redirect:old_path=%2Fold" in found


def test_who_may_see_a_page(notes, tags):
    tags()
    PageViewRestriction.objects.create(page=notes[0], restriction_type="login")
    assert f"wagtailcore.pageviewrestriction:page={notes[0].pk}" in tags()


def test_tags(notes, tags):
    note = Note.objects.get(pk=notes[0].pk)
    note.tags.add("red")
    tags()
    note.save_revision().publish()
    found = tags()
    assert f"wagtail_site.pagetag:content_object={note.pk}" in found
    assert f"wagtail_site.note:{note.pk}" in found or f"wagtailcore.page:{note.pk}" in found
