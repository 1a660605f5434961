"""Packages that keep what was read: pages that found it there are made again when it changes."""

import pytest


@pytest.fixture(scope="module")
def cached_by(start_site, redis_url):
    """A site whose queries, or whose values, a package keeps in Redis."""
    sites = {}

    def start(app):
        if app not in sites:
            sites[app] = start_site("caches", SITE_CACHE=app, SITE_REDIS=redis_url)
        return sites[app]

    yield start
    for site in sites.values():
        site.stop()


@pytest.mark.parametrize(
    ("app", "page"),
    [
        ("cachalot", "django-cachalot"),
        ("cachalot", "django-redis"),
        ("cachalot", "django-redis-lock"),
        ("cacheops", "django-cacheops"),
        ("cacheops", "django-cacheops-count"),
    ],
)
def test_what_was_found_in_a_cache_is_made_again(cached_by, app, page):
    site = cached_by(app)
    site.run("Note.objects.all().delete()")
    twins = [f"/{page}/{twin}/" for twin in (1, 2)]
    for path in twins:
        site.edge.until(lambda answer: answer.text == "", path)
    steps = [
        ("Note.objects.create(title='a')", "a"),
        ("note = Note.objects.get()\nnote.title = 'b'\nnote.save()", "b"),
        ("Note.objects.bulk_create([Note(title='c')])", "b c"),
        ("Note.objects.filter(title='b').delete()", "c"),
    ]
    if app == "cachalot":
        steps.append(("Note.objects.update(title='d')", "d"))
    else:
        steps.append(("Note.objects.all().invalidated_update(title='d')", "d"))
    for change, text in steps:
        text = str(len(text.split())) if page.endswith("count") else text
        for path in twins:
            site.stored(path)
        site.run(change)
        for path in twins:
            site.edge.until(lambda answer, text=text: answer.text == text, path)
