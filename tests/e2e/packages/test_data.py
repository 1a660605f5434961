"""Packages that keep data, or show it: what is written by their own API is on the page within the bound.

For each package its page, `/its-name/`, and steps: what is done, and what the page says then.
"""

import pytest


@pytest.fixture(scope="module")
def site(start_site):
    """The site of all these packages."""
    site = start_site("data")
    yield site
    site.stop()


def call(method, path, **more):
    """A request of a visitor's, through the edge."""

    def send(site):
        answer = site.edge.request(method, path, **more)
        assert answer.status < 300, answer
        return answer

    return send


def drf(title):
    """The list of one note."""
    return f'[{{"id":1,"of":"drf","title":"{title}"}}]'


STEPS = {
    "djangorestframework": [
        (call("POST", "/djangorestframework/", json={"of": "drf", "title": "A"}), drf("A")),
        ("Note.objects.filter(of='drf').update(title='B')", drf("B")),
        (call("PATCH", "/djangorestframework/1/", json={"title": "C"}), drf("C")),
        (call("DELETE", "/djangorestframework/1/"), "[]"),
    ],
    "django-mptt": [
        (
            "a, b = (Section.objects.create(title=title) for title in 'ab')\n"
            "Section.objects.create(title='c', parent=b)",
            "a b -c",
        ),
        (
            "Section.objects.get(title='b').move_to(Section.objects.get(title='a'), 'first-child')",
            "a -b --c",
        ),
        ("Section.objects.get(title='c').move_to(None)", "a -b c"),
        ("Section.objects.get(title='a').delete()", "c"),
    ],
    "django-treebeard": [
        ("Branch.load_bulk([{'data': {'title': 'a'}}, {'data': {'title': 'b'}}])", "-a -b"),
        ("Branch.objects.get(title='a').add_child(title='c')", "-a --c -b"),
        (
            "Branch.objects.get(title='c').move(Branch.objects.get(title='b'), 'last-child')",
            "-a -b --c",
        ),
        ("Branch.objects.get(title='b').delete()", "-a"),
    ],
    "django-taggit": [
        ("Article.objects.create(title='a').tags.add('red')", "a."),
        ("Article.objects.create(title='b').tags.set(['red', 'blue'])", "a b."),
        ("Article.objects.get(title='a').tags.remove('red')", "b."),
        ("Article.objects.get(title='b').tags.clear()", "."),
    ],
    "django-polymorphic": [
        ("Dog.objects.create(title='Rex', bark='wow')", "Rex:wow"),
        ("Dog.objects.update(bark='wuff')", "Rex:wuff"),
        ("dog = Animal.objects.get()\ndog.bark = 'ouah'\ndog.save()", "Rex:ouah"),
        ("Animal.objects.create(title='Cat')", "Rex:ouah Cat:"),
    ],
}


@pytest.mark.parametrize("package", STEPS)
def test_what_is_written_is_on_the_page(site, package):
    beside = site.stored("/beside/")
    for change, text in STEPS[package]:
        site.becomes(f"/{package}/", text, change)
    assert site.edge.get("/beside/").text == beside.text
