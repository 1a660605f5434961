"""What is read through a cache of the site's own has its tags, and is renewed for the edge."""

import pytest
from asgiref.sync import async_to_sync
from conftest import aget, is_public, tags_of, ttl_of
from django.core.cache import cache, caches
from django.core.cache.backends.db import DatabaseCache
from django.core.management import call_command
from django.db import transaction
from django.db.models.signals import post_save
from django.http import HttpResponse
from django.template import engines
from shop.models import Category, Product

import edge_isr
from edge_isr import isr
from edge_isr.tags import ANYTHING

pytestmark = pytest.mark.django_db(transaction=True)

LIST = {"shop.category:@", "shop.category:1"}
# Of instances without their query.
WHOLE = {"shop.category", "shop.category:1"}
NAMES = {"shop.category:@", "shop.category:@name", "shop.category:1"}
FEWER = {
    "count": {"shop.category:@"},
    "get_or_set of rows": NAMES,
    "get_or_set of a queryset": LIST | WHOLE,
}
BACKENDS = {
    "locmem": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "tags"},
    "file": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache"},
    "database": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "shop_cache_table",
    },
}  # fmt: skip


@pytest.fixture(params=BACKENDS)
def backend(request, settings, tmp_path):
    options = dict(BACKENDS[request.param])
    if request.param == "file":
        options["LOCATION"] = str(tmp_path)
    settings.CACHES = {"default": options}
    if request.param == "database":
        call_command("createcachetable")
    return request.param


def names():
    return ",".join(category.name for category in Category.objects.all())


def get_and_set():
    value = cache.get("names")
    if value is None:
        value = names()
        cache.set("names", value, 300)
    return value


def get_with_default():
    value = cache.get("names", "")
    if not value:
        value = names()
        cache.set("names", value, timeout=300)
    return value


def by_presence():
    if "names" not in cache:
        cache.set("names", names())
    return cache.get("names")


def add():
    if cache.get("names") is None:
        cache.add("names", names())
    return cache.get("names")


def many():
    found = cache.get_many(["names", "more"])
    if "names" not in found:
        found["names"] = names()
        cache.set_many({"names": found["names"], "more": 1})
    return found["names"]


def version():
    value = cache.get("names", version=3)
    if value is None:
        value = names()
        cache.set("names", value, version=3)
    return value


def looked_up_again():
    """As in django-cms: whether it is there decides what is loaded, whoever renders asks again."""
    found = names() if cache.get("names") is None else ""
    if cache.get("names") is None:
        cache.set("names", found)
    return cache.get("names")


def count():
    value = cache.get("count")
    if value is None:
        value = f"{Category.objects.count()}"
        cache.set("count", value)
    return value + " Hats Caps"


def template():
    text = "{% load cache %}{% cache 300 'n' %}{% for c in all %}{{ c }}{% endfor %}{% endcache %}"
    return engines["django"].from_string(text).render({"all": Category.objects.all()})


def nested():
    def outer():
        return "<" + cache.get_or_set("names", names) + ">"

    return cache.get_or_set("outer", outer)


async def asynchronous():
    value = await cache.aget("names")
    if value is None:
        value = ",".join([category.name async for category in Category.objects.all()])
        await cache.aset("names", value)
    return value


WAYS = {
    "get, set": get_and_set,
    "get with a default": get_with_default,
    "in": by_presence,
    "add": add,
    "many": many,
    "version": version,
    "get_or_set": lambda: cache.get_or_set("names", names),
    "get_or_set of a list": lambda: str(
        cache.get_or_set("l", lambda: list(Category.objects.all()))),
    "get_or_set of a queryset": lambda: str(list(
        cache.get_or_set("q", lambda: Category.objects.all()))),
    "get_or_set of rows": lambda: str(cache.get_or_set(
        "v", lambda: [(c.pk, c.name) for c in Category.objects.only("name").iterator()])),
    "another cache": lambda: caches["default"].get_or_set("names", names),
    "template": template,
    "nested": nested,
    "looked up again": looked_up_again,
    "asynchronous": async_to_sync(asynchronous),
}  # fmt: skip


def serve(site, way):
    return site(isr(s_maxage=3600)(lambda request: HttpResponse(way())))


@pytest.mark.parametrize("way", WAYS)
def test_a_value_brings_its_tags(backend, site, hats, way):
    client = serve(site, WAYS[way])
    for _ in range(3):
        response = client.get("/page/")
        assert is_public(response) and ttl_of(response) == 3600
        assert tags_of(response) == FEWER.get(way, LIST)
        assert b"Hats" in response.content


@pytest.mark.parametrize("way", [*WAYS, "count"])
def test_a_change_shows(site, hats, way):
    """The page is fetched anew, and what was made of old data is made anew for it."""
    client = serve(site, WAYS.get(way, count))
    client.get("/page/")
    Category.objects.update(name="Caps")
    for _ in range(2):
        response = client.get("/page/")
        assert b"Caps" in response.content and ttl_of(response) == 3600
        assert tags_of(response) == FEWER.get(way, LIST)
    Product.objects.create(name="Fez", slug="fez", category=hats)
    assert tags_of(client.get("/page/")) >= FEWER.get(way, LIST)


def test_made_by_an_uncached_view(site, hats):
    """A visitor who is logged in comes first: what they put there has its tags as well."""
    site(lambda request: HttpResponse(get_and_set())).get("/page/")
    assert tags_of(serve(site, get_and_set).get("/page/")) == LIST


@pytest.mark.parametrize("way", ["get_or_set", "template"])
def test_made_outside_of_requests(site, hats, way):
    WAYS[way]()
    assert tags_of(serve(site, WAYS[way]).get("/page/")) == LIST


def test_a_part_brings_its_own_tags_only(site, hats, fez):
    """Not those of the page that happened to make it."""

    def view(request, pk=0):
        if pk:
            Product.objects.get(pk=pk)
        return HttpResponse(get_and_set())

    client = site(isr(view))
    assert tags_of(client.get(f"/page/{fez.pk}/")) == {*LIST, f"shop.product:{fez.pk}"}
    assert tags_of(client.get("/page/")) == LIST


def test_put_there_again_it_is_made_of_both(site, hats, fez):
    def view(request):
        cache.set("log", f"{cache.get('log', '')}{Category.objects.count()}")
        return HttpResponse("x")

    def later(request):
        cache.set("log", f"{cache.get('log')}{Product.objects.count()}")
        return HttpResponse("x")

    site(isr(view)).get("/page/")
    site(isr(later)).get("/page/")
    response = site(isr(lambda request: HttpResponse(cache.get("log")))).get("/page/")
    assert tags_of(response) == {"shop.category:@", "shop.product:@"}


class TestUnseen:
    """Values that were put there without a look-up before."""

    def page(self, site, key="unseen"):
        return site(isr(s_maxage=3600)(lambda r: HttpResponse(str(cache.get(key))))).get("/page/")

    def test_instances_speak_for_themselves(self, site, hats):
        cache.set("unseen", hats)
        assert tags_of(self.page(site)) == {"shop.category:1"}
        cache.set("unseen", [hats])
        assert tags_of(self.page(site)) == WHOLE
        cache.set("unseen", Category.objects.all())
        assert tags_of(self.page(site)) == WHOLE

    def test_others_may_be_of_anything(self, site, settings):
        settings.DEBUG = True
        cache.set("unseen", "text")
        response = self.page(site)
        assert tags_of(response) == {ANYTHING} and ttl_of(response) == 60
        assert "cached value 'unseen'" in response["X-Edge-ISR-Reason"]

    @pytest.mark.parametrize("atomic", [False, True])
    def test_while_a_row_is_saved_it_is_made_of_that(self, site, hats, atomic):
        """By a receiver, as packages do that keep settings."""

        def keep(instance, **kwargs):
            cache.set("unseen", f"{instance.name} {Product.objects.count()}")

        def save(name):
            hats.name = name
            hats.save()

        post_save.connect(keep, sender=Category)
        try:
            for name in ("Caps", "Fezzes"):
                transaction.atomic(save)(name) if atomic else save(name)
                for _ in range(2):
                    response = self.page(site)
                    assert response.content.decode() == f"{name} 0"
                    assert tags_of(response) == {*WHOLE, "shop.product:@"}
                    assert ttl_of(response) == 3600
        finally:
            post_save.disconnect(keep, sender=Category)

    def test_it_replaces_what_was_known(self, site, hats):
        """The tags of the value before are not the new one's."""
        serve(site, get_and_set).get("/page/")
        cache.set("names", "text")
        assert ANYTHING in tags_of(self.page(site, "names"))

    def test_it_never_counts_as_missing(self, site, hats):
        """Nobody might be there to make it again."""

        def fill(request):
            cache.set("unseen", names())
            return HttpResponse("x")

        site(isr(fill)).get("/page/")
        assert tags_of(self.page(site)) == LIST
        Category.objects.update(name="Caps")
        response = self.page(site)
        assert response.content == b"Hats" and ttl_of(response) == 60

    def test_nothing_of_sessions_and_counters(self, site):
        cache.set("throttle_anon_1", [1.0])
        assert tags_of(self.page(site, "throttle_anon_1")) == set()

    def test_left_out_by_the_settings(self, site, edge):
        edge(CACHE_TAGS_EXCLUDE=["uns"])
        cache.set("unseen", 1)
        assert tags_of(self.page(site)) == set()
        edge(CACHE_TAGS_EXCLUDE=["default"])
        assert tags_of(self.page(site)) == set()
        edge(CACHE_TAGS_EXCLUDE=[], CACHE_TAGS=False)
        assert tags_of(self.page(site)) == set()


def test_a_change_while_it_is_made(site, hats):
    def made():
        value = names()
        Category.objects.update(name="Caps")
        return value

    first = serve(site, lambda: cache.get_or_set("names", made)).get("/page/")
    assert first.content == b"Hats"
    assert serve(site, lambda: cache.get_or_set("names", names)).get("/page/").content == b"Caps"


def test_uncached_views_see_what_they_saw(site, hats):
    """A visitor who is logged in gets the cached value for as long as the site says."""
    serve(site, get_and_set).get("/page/")
    Category.objects.update(name="Caps")
    assert site(lambda r: HttpResponse(get_and_set())).get("/page/").content == b"Hats"


def test_a_cache_that_fails_fails_no_page(site, hats, monkeypatch):
    from edge_isr import kept

    def fail(*args):
        raise ConnectionError("the cache is down")

    monkeypatch.setattr(kept, "versions_of", fail)
    response = serve(site, get_and_set).get("/page/")
    assert response.content == b"Hats" and tags_of(response) == LIST


def test_the_backends_class_is_what_it_was():
    from django.core.cache.backends.locmem import LocMemCache

    instance = caches["default"]
    assert isinstance(instance, LocMemCache) and type(instance).__name__ == "LocMemCache"
    cache.set("a", 1)
    assert cache.incr("a") == 2 and cache.get("a") == 2
    assert cache.touch("a", 100) and cache.delete("a") and cache.get("a") is None


def test_an_asynchronous_view(async_site, hats):
    @isr
    async def view(request):
        return HttpResponse(await asynchronous())

    client = async_site(view)
    for _ in range(2):
        assert tags_of(aget(client, "/page/")) == LIST


def test_an_asynchronous_get_or_set(async_site, hats):
    value = Category.objects.all()

    @isr
    async def view(request):
        await cache.aget_or_set("names", lambda: value)
        return HttpResponse("x")

    client = async_site(view)
    for _ in range(2):
        assert tags_of(aget(client, "/page/")) == LIST


class Renamed(DatabaseCache):
    """A backend of the site's own, which keeps what it has in a table."""


@pytest.mark.parametrize("backend", ["test_caching.Renamed", BACKENDS["database"]["BACKEND"]])
def test_versions_that_are_kept_in_a_table_send_of_no_change(settings, new_tags, backend):
    from edge_isr.relations import labels_of_table

    assert labels_of_table("shop_cache_table") != ()
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": "shop_cache_table"}}
    call_command("createcachetable")
    Category.objects.create(pk=1, name="Hats", slug="hats")
    assert new_tags() - {ANYTHING} == WHOLE


def test_no_time_is_lost_where_nothing_is_recorded(hats):
    """A hit in an uncached view is one look-up, as it was."""
    calls = []
    instance = caches["default"]
    backend = type(instance).__mro__[2]
    original = backend.get

    def counted(self, key, *args, **kwargs):
        calls.append(key)
        return original(self, key, *args, **kwargs)

    cache.set("a", 1)
    backend.get = counted
    try:
        with edge_isr.context.recording(edge_isr.context.Recorder(active=False)):
            cache.get("a")
    finally:
        backend.get = original
    assert calls == ["a"]
