"""Packages that make whole sites of pages: what editors change is on pages and in their menus."""

import re

import pytest

START = """
Site.objects.get_or_create(pk=1)
editor = User.objects.create_superuser('editor')
home = api.create_page('Home', 'cms.html', 'en', created_by=editor, in_navigation=True)
with transaction.atomic():
    home.set_as_homepage()
placeholder = PageContent.objects.get(page=home).rescan_placeholders()['content']
api.add_plugin(placeholder, 'Text', 'en', text='first')
"""
STEPS = [
    (
        "plugin = TextPlugin.objects.get()\nplugin.text = 'second'\nplugin.save()",
        "Home Home second",
    ),
    ("TextPlugin.objects.update(text='third')", "Home Home third"),
    (
        "content = PageContent.objects.get(title='Home')\n"
        "placeholder = content.placeholders.get(slot='content')\n"
        "api.add_plugin(placeholder, 'Text', 'en', text='more')",
        "Home Home third more",
    ),
    (
        "editor = User.objects.get()\n"
        "api.create_page('About', 'cms.html', 'en', created_by=editor, in_navigation=True)",
        "Home Home About third more",
    ),
    (
        "about = PageContent.objects.get(title='About')\nabout.title = 'Us'\nabout.save()",
        "Home Home Us third more",
    ),
    ("PageContent.objects.get(title='Us').page.delete()", "Home Home third more"),
]


@pytest.fixture(scope="module")
def site(start_site):
    """The site of these packages."""
    site = start_site("pages")
    site.run(START)
    yield site
    site.stop()


def said(answer):
    """The page's title, the menu, the text."""
    return " ".join(re.sub(r"<.*?>", " ", answer.text).split())


def test_django_cms(site):
    site.edge.until(lambda answer: said(answer) == "Home Home first", "/")
    for change, text in STEPS:
        site.becomes("/", text, change, said)
