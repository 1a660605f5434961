"""A small tree of pages."""

import pytest
from wagtail.models import Collection, Locale, Page, Site


@pytest.fixture(autouse=True)
def home():
    Collection.add_root(name="Root")
    Locale.objects.create(language_code="en")
    root = Page.add_root(instance=Page(title="Root", slug="root"))
    home = root.add_child(instance=_note(title="Home", slug="home"))
    Site.objects.create(hostname="testserver", root_page=home, is_default_site=True)
    return home


@pytest.fixture
def notes(home):
    return [home.add_child(instance=_note(title=name, slug=name)) for name in ("a", "b", "c")]


@pytest.fixture
def tags(new_tags):
    """What was sent since the last call."""
    new_tags()
    return lambda: new_tags(parts=True)


def _note(**values):
    from .models import Note

    return Note(**values)


def published(page, **changes):
    from .models import Note

    page = Note.objects.get(pk=page.pk)
    for name, value in changes.items():
        setattr(page, name, value)
    page.save_revision().publish()
    return page
