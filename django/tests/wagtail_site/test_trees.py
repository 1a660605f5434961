"""Trees of pages that are copied for another language, aliased and moved."""

import pytest
from django.db import connection
from wagtail.actions.convert_alias import ConvertAliasPageAction
from wagtail.actions.copy_for_translation import CopyPageForTranslationAction
from wagtail.actions.create_alias import CreatePageAliasAction
from wagtail.models import Locale, Page

from .conftest import published
from .models import Note
from .test_readers import seen

pytestmark = pytest.mark.django_db


@pytest.fixture
def below(notes):
    return [notes[0].add_child(instance=Note(title=name, slug=name)) for name in ("d", "e")]


@pytest.fixture
def german():
    return Locale.objects.create(language_code="de")


def is_untold(pages, new_tags):
    """Where texts are no tags, lists depend on where any page is."""
    bytewise = connection.vendor in ("postgresql", "sqlite")
    anywhere = {"wagtailcore.page:@path", "wagtailcore.page:@depth"}
    return new_tags & pages <= (set() if bytewise else anywhere)


def fresh(page):
    return Page.objects.get(pk=page.pk)


def children(page):
    return lambda: [(one.title, one.url) for one in fresh(page).get_children()]


def translations(page):
    return lambda: [one.title for one in fresh(page).get_translations(inclusive=True)]


class TestTranslations:
    def test_of_a_page_and_then_of_those_below(self, home, notes, below, german, tags):
        shows = {page.pk: seen(translations(page)) for page in (home, notes[0], notes[1], below[0])}
        roots = seen(children(Page.get_first_root_node()))
        tags()
        CopyPageForTranslationAction(home, german).execute(skip_permission_checks=True)
        new_tags = tags()
        assert new_tags & shows[home.pk] and new_tags & roots
        CopyPageForTranslationAction(notes[0], german, include_subtree=True).execute(
            skip_permission_checks=True
        )
        new_tags = tags()
        assert new_tags & shows[notes[0].pk] and new_tags & shows[below[0].pk]
        assert not new_tags & seen(lambda: fresh(notes[1]).title)

    def test_of_a_page_whose_parents_are_aliased_for_it(self, home, notes, below, german, tags):
        tags()
        made = CopyPageForTranslationAction(below[0], german, copy_parents=True).execute(
            skip_permission_checks=True
        )
        alias = Page.objects.get(pk=made.get_parent().pk)
        assert alias.alias_of_id == notes[0].pk
        assert {f"wagtailcore.page:{one.pk}" for one in (made, alias)} <= tags()
        shows = seen(lambda: fresh(alias).title)
        # What was aliased for it follows its source, until it is translated itself.
        published(notes[0], title="renamed")
        assert fresh(alias).title == "renamed" and tags() & shows
        follows = seen(lambda: fresh(alias).alias_of_id)
        ConvertAliasPageAction(fresh(alias).specific, user=None).execute(
            skip_permission_checks=True
        )
        assert fresh(alias).alias_of_id is None and tags() & follows
        published(notes[0], title="again")
        assert fresh(alias).title == "renamed" and is_untold(shows, tags())


class TestAliases:
    @pytest.fixture
    def alias(self, home, notes, below):
        return CreatePageAliasAction(
            notes[0], recursive=True, parent=notes[2], update_slug="alias", user=None
        ).execute(skip_permission_checks=True)

    def test_the_source_is_moved(self, notes, below, alias, tags):
        lists = {name: seen(children(page)) for name, page in (
            ("source", notes[0]), ("alias", alias), ("from", notes[0].get_parent()),
            ("to", notes[1]),
        )}  # fmt: skip
        of_alias = seen(lambda: [(one.title, one.url) for one in [fresh(alias)]])
        tags()
        fresh(notes[0]).move(notes[1], "last-child")
        new_tags = tags()
        assert new_tags & lists["source"] and new_tags & lists["from"] and new_tags & lists["to"]
        # Where its aliases are is as it was, and so is what they show.
        assert is_untold(of_alias, new_tags) and is_untold(lists["alias"], new_tags)
        # They follow it from its new place.
        published(notes[0], title="renamed")
        assert tags() & of_alias
        published(below[0], title="renamed")
        assert tags() & lists["alias"]

    def test_the_alias_is_moved(self, notes, below, alias, tags):
        of_alias, of_source = seen(children(alias)), seen(children(notes[0]))
        to = seen(children(notes[1]))
        tags()
        fresh(alias).move(notes[1], "first-child")
        new_tags = tags()
        assert new_tags & of_alias and new_tags & to and is_untold(of_source, new_tags)
        published(below[1], title="renamed")
        new_tags = tags()
        assert new_tags & of_source and new_tags & seen(children(alias))

    def test_a_slug_above_it_changes_its_address(self, notes, below, alias, tags):
        of_alias, of_source = seen(children(alias)), seen(children(notes[0]))
        tags()
        published(notes[2], slug="other")
        new_tags = tags()
        assert new_tags & of_alias and is_untold(of_source, new_tags)

    def test_its_source_goes(self, notes, below, alias, tags):
        of_alias = seen(lambda: fresh(alias).alias_of_id)
        tags()
        fresh(notes[0]).delete()
        assert fresh(alias).alias_of_id is None and tags() & of_alias
