"""Packages that keep data, or show it: what is written by their own API is on the page in time.

For each package its page, `/its-name/`, and steps: what is done, and all that the page says then. A
step is Python in another process than the site's server, or a request through the edge.
"""

import re
from urllib.parse import quote

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
        assert answer.status < 300 and "errors" not in answer.text, answer

    return send


def said(answer):
    """All that the page says: of an API or a form the notes' titles."""
    if not answer.text.strip().startswith(("{", "[", "<")):
        return answer.text
    found = re.findall(r'"title": ?"(.*?)"|<option[^>]*>(.*?)</option>', answer.text)
    return " ".join("".join(titles) for titles in found)


def add_note(path, arguments):
    """The mutation of both GraphQL packages."""
    query = f"mutation {{addNote({arguments}) {{__typename}}}}"
    return call("POST", path, json={"query": query})


NOTES = "?query=" + quote("{notes {title}}")
PATHS = {
    "django-filter": "/django-filter/?of=filter&title=b",
    "graphene-django": "/graphene-django/" + NOTES,
    "strawberry-graphql-django": "/strawberry-graphql-django/" + NOTES,
}
STEPS = {
    "django-constance": [
        ("config.GREETING = 'Hi'", "Hi"),
        ("config.GREETING = 'Servus'", "Servus"),
    ],
    "django-crispy-forms": [
        ("Note.objects.create(of='crispy', title='a')", "a"),
        ("Note.objects.filter(of='crispy').update(title='b')", "b"),
    ],
    "django-extensions": [
        ("Timed.objects.create(title='An Event')", "an-event"),
        ("Timed.objects.update(status=Timed.INACTIVE_STATUS)", ""),
        ("one = Timed.objects.get()\none.status = Timed.ACTIVE_STATUS\none.save()", "an-event"),
    ],
    "django-filter": [
        ("for title in 'ab': Note.objects.create(of='filter', title=title)", "b"),
        ("Note.objects.filter(of='filter').update(title='b')", "b b"),
        ("Note.objects.filter(of='filter').first().delete()", "b"),
    ],
    "django-fsm-2": [
        ("Ticket.objects.create()", "new"),
        ("ticket = Ticket.objects.get()\nticket.open()\nticket.save()", "open"),
    ],
    "django-guardian": [
        (
            "Document.objects.create(title='b')\n"
            "one = Document.objects.create(title='a')\n"
            "assign_perm('view_document', get_anonymous_user(), one)",
            "a",
        ),
        ("assign_perm('data.view_document', get_anonymous_user(), Document.objects.all())", "a b"),
        (
            "one = Document.objects.get(title='a')\n"
            "remove_perm('view_document', get_anonymous_user(), one)",
            "b",
        ),
        (
            "group = Group.objects.create(name='visitors')\n"
            "get_anonymous_user().groups.add(group)\n"
            "assign_perm('view_document', group, Document.objects.get(title='a'))",
            "a b",
        ),
    ],
    "django-import-export": [
        (
            "rows = Dataset(headers=['id', 'of', 'title'])\n"
            "rows.extend([['', 'import', 'a'], ['', 'import', 'b']])\n"
            "modelresource_factory(Note)().import_data(rows, raise_errors=True)",
            "a b",
        ),
        (
            "rows = Dataset(headers=['id', 'of', 'title'])\n"
            "for note in Note.objects.filter(of='import'):\n"
            "    rows.append([note.pk, 'import', note.title.upper()])\n"
            "resource = modelresource_factory(Note)\n"
            "resource._meta.use_bulk = True\n"
            "resource().import_data(rows, raise_errors=True)",
            "A B",
        ),
    ],
    "django-model-utils": [
        ("Cafe.objects.create(title='Sperl', coffee='black')", "Sperl:black;"),
        ("Cafe.objects.update(coffee='white')", "Sperl:white;"),
        ("Draft.objects.create(title='d', status='published')", "Sperl:white;d"),
        ("Draft.objects.update(status='draft')", "Sperl:white;"),
        ("one = Draft.objects.get()\none.status = 'published'\none.save()", "Sperl:white;d"),
        ("Draft.available_objects.get().delete()", "Sperl:white;"),
    ],
    "django-modelcluster": [
        ("Band(title='Trio', members=[Member(title='a'), Member(title='b')]).save()", "Trio:a b"),
        ("band = Band.objects.get()\nband.members = [Member(title='c')]\nband.save()", "Trio:c"),
        ("band = Band.objects.get()\nband.members.add(Member(title='d'))\nband.save()", "Trio:c d"),
    ],
    "django-modeltranslation": [
        ("Localized.objects.create(title_en='Hello')", "Hello"),
        ("one = Localized.objects.get()\none.title_de = 'Hallo'\none.save()", "Hallo"),
        ("with override('de'):\n    Localized.objects.update(title='Servus')", "Servus"),
    ],
    "django-money": [
        ("Priced.objects.create(price=5)", "5.00EUR"),
        ("Priced.objects.update(price=Money(7, 'CHF'))", "7.00CHF"),
        ("one = Priced.objects.get()\none.price *= 2\none.save()", "14.00CHF"),
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
    "django-ninja": [
        (call("POST", "/django-ninja/", json={"title": "a"}), "a"),
        ("Note.objects.filter(of='ninja').update(title='b')", "b"),
    ],
    "django-ordered-model": [
        ("for title in 'abc': Step.objects.create(title=title)", "a b c"),
        ("Step.objects.get(title='c').top()", "c a b"),
        ("Step.objects.get(title='c').swap(Step.objects.get(title='b'))", "b a c"),
        ("Step.objects.get(title='a').to(0)", "a b c"),
        ("Step.objects.get(title='a').down()", "b a c"),
        ("Step.objects.get(title='b').delete()", "a c"),
    ],
    "django-parler": [
        ("Translated.objects.language('en').create(title='Hello')", "Hello=Hello"),
        ("Translated.objects.get().create_translation('de', title='Hallo')", "Hello=Hallo"),
        (
            "one = Translated.objects.language('de').get()\none.title = 'Servus'\none.save()",
            "Hello=Servus",
        ),
        ("Translated.objects.get().delete_translation('de')", "Hello=Hello"),
    ],
    "django-polymorphic": [
        ("Dog.objects.create(title='Rex', bark='wow')", "Rex:wow"),
        ("Dog.objects.update(bark='wuff')", "Rex:wuff"),
        ("dog = Animal.objects.get()\ndog.bark = 'ouah'\ndog.save()", "Rex:ouah"),
        ("Animal.objects.create(title='Cat')", "Rex:ouah Cat:"),
        ("Animal.objects.all().delete()", ""),
    ],
    "django-reversion": [
        ("with reversion.create_revision():\n    Versioned.objects.create(title='first')", "first"),
        (
            "with reversion.create_revision():\n"
            "    one = Versioned.objects.get()\n    one.title = 'second'\n    one.save()",
            "second",
        ),
        (
            "Version.objects.get_for_object(Versioned.objects.get()).last().revision.revert()",
            "first",
        ),
        ("Versioned.objects.get().delete()", ""),
        ("Version.objects.get_deleted(Versioned).get().revert()", "second"),
    ],
    "django-safedelete": [
        ("Kept.objects.create(title='a')", "a"),
        ("Kept.objects.get().delete()", ""),
        ("Kept.deleted_objects.get().undelete()", "a"),
        ("Kept.objects.all().delete()", ""),
        ("Kept.deleted_objects.all().undelete()", "a"),
    ],
    "django-simple-history": [
        ("Recorded.objects.create(title='a')", "a,a"),
        ("one = Recorded.objects.get()\none.title = 'b'\none.save()", "b,b a"),
        ("Recorded.history.earliest().instance.save()", "a,a b a"),
        (
            "one = Recorded.objects.get()\none.title = 'c'\n"
            "bulk_update_with_history([one], Recorded, ['title'])",
            "c,c a b a",
        ),
    ],
    "django-solo": [
        ("one = Settings.get_solo()\none.title = 'a'\none.save()", "a"),
        ("one = Settings.objects.get()\none.title = 'b'\none.save()", "b"),
    ],
    "django-tables2": [
        ("Note.objects.create(of='tables', title='c')", "c"),
        ("Note.objects.create(of='tables', title='a')", "a c"),
        ("Note.objects.create(of='tables', title='b')", "a b"),
    ],
    "django-taggit": [
        ("Article.objects.create(title='a').tags.add('red')", "a"),
        ("Article.objects.create(title='b').tags.set(['red', 'blue'])", "a b"),
        ("Article.objects.get(title='a').tags.remove('red')", "b"),
        ("Article.objects.get(title='b').tags.clear()", ""),
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
    "django-waffle": [
        ("Switch.objects.create(name='sale', active=True)", "True False False"),
        ("Flag.objects.create(name='beta', everyone=True)", "True True False"),
        ("Sample.objects.create(name='some', percent=100)", "True True True"),
        ("one = Switch.objects.get()\none.active = False\none.save()", "False True True"),
        ("call_command('waffle_flag', 'beta', everyone=False)", "False False True"),
    ],
    "djangorestframework": [
        (call("POST", "/djangorestframework/", json={"of": "drf", "title": "a"}), "a"),
        ("Note.objects.filter(of='drf').update(title='b')", "b"),
        (call("PATCH", "/djangorestframework/drf/", json={"title": "c"}), "c"),
        (call("DELETE", "/djangorestframework/drf/"), ""),
    ],
    "easy-thumbnails": [
        ("Picture(of='easy').draw(20, 10)", "10x5"),
        ("Picture.objects.get(of='easy').draw(20, 20)", "10x10"),
    ],
    "graphene-django": [
        (add_note("/graphene-django/", 'title: "a"'), "a"),
        ("Note.objects.filter(of='graphene').update(title='b')", "b"),
    ],
    "sorl-thumbnail": [
        ("Picture(of='sorl').draw(20, 10)", "10x5"),
        ("Picture.objects.get(of='sorl').draw(20, 20)", "10x10"),
    ],
    "strawberry-graphql-django": [
        (add_note("/strawberry-graphql-django/", 'data: {of: "strawberry", title: "a"}'), "a"),
        ("Note.objects.filter(of='strawberry').update(title='b')", "b"),
    ],
}


@pytest.mark.parametrize("package", STEPS)
def test_what_is_written_is_on_the_page(site, package):
    beside = site.stored("/beside/")
    path = PATHS.get(package, f"/{package}/")
    for change, text in STEPS[package]:
        site.becomes(path, text, change, said)
    assert site.edge.get("/beside/").text == beside.text


def test_pages_of_an_api(site):
    """django-ninja: what its decorator adds around `@isr`."""
    site.run("Note.objects.filter(of='ninja').delete()")
    path = "/django-ninja/pages"
    site.edge.until(lambda answer: '"count": 0' in answer.text, path)
    site.becomes(path, "p", "Note.objects.create(of='ninja', title='p')", said)


@pytest.mark.parametrize("path", ["/graphene-django/own/" + NOTES, "/django-waffle/some/"])
def test_a_page_whose_package_sets_a_cookie_is_not_kept(site, path):
    site.run("Flag.objects.update_or_create(name='some', percent=50)")
    for _ in range(3):
        answer = site.edge.get(path)
        assert answer.status == 200 and "set-cookie" in answer.headers and not answer.hit
