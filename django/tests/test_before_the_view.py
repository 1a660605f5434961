"""What middlewares load and change before a view begins that is cached."""

from functools import wraps

import pytest
from conftest import aget, is_public, tags_of, ttl_of
from django.contrib import admin
from django.core.cache import cache
from django.http import HttpResponse
from django.utils.decorators import method_decorator, sync_and_async_middleware
from django.views import View
from shop.models import Category, Label

from edge_isr import isr, tags
from edge_isr.context import automatic, page_of
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db


def menu(get_response):
    def middleware(request):
        request.menu = [category.name for category in Category.objects.all()]
        return get_response(request)

    return middleware


def cached_menu(get_response):
    def middleware(request):
        names = (category.name for category in Category.objects.all())
        request.menu = cache.get_or_set("menu", lambda: list(names))
        return get_response(request)

    return middleware


def flag(get_response):
    def middleware(request):
        request.is_closed = cache.get("closed")
        return get_response(request)

    return middleware


def visits(get_response):
    def middleware(request):
        Label.objects.create(name="visit")
        return get_response(request)

    return middleware


@sync_and_async_middleware
def async_menu(get_response):
    async def middleware(request):
        request.menu = [category.name async for category in Category.objects.all()]
        return await get_response(request)

    return middleware


@pytest.fixture
def within(settings):
    def put(name):
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.{name}"]

    return put


def shown(request):
    return HttpResponse(",".join(request.menu))


async def shown_async(request):
    return HttpResponse(",".join(request.menu))


def test_what_a_middleware_loads(site, within, hats):
    within("menu")
    assert {"shop.category:@", "shop.category:1"} <= tags_of(site(isr(shown)).get("/page/"))
    assert tags_of(site(isr(auto_tags=False)(shown)).get("/page/")) == set()


def test_by_a_rule(site, edge, within, hats):
    within("menu")
    edge(RULES=[{"path": "^/page/", "s_maxage": 60}])
    assert "shop.category:1" in tags_of(site(shown).get("/page/"))


def test_asynchronously(async_site, within, hats):
    within("async_menu")
    assert "shop.category:1" in tags_of(aget(async_site(isr(shown_async)), "/page/"))


def test_a_cached_view_inside_of_another(site, within, hats):
    within("menu")
    inner = isr(shown)
    assert "shop.category:1" in tags_of(site(lambda request: inner(request)).get("/page/"))


def with_menu(view):
    @wraps(view)
    def decorated(request):
        request.menu = [category.name for category in Category.objects.all()]
        return view(request)

    return decorated


class Shown(View):
    """It loads before the method that is cached."""

    def setup(self, request):
        super().setup(request)
        request.menu = [category.name for category in Category.objects.all()]

    @method_decorator(isr)
    def get(self, request):
        return shown(request)


@pytest.mark.parametrize("view", [with_menu(isr(shown)), Shown.as_view()])
def test_what_comes_before_in_the_view_itself(site, hats, view):
    assert "shop.category:1" in tags_of(site(view).get("/page/"))


def test_an_uncached_view_records_nothing(site, within, hats):
    within("menu")
    seen = []

    def view(request):
        seen.append(automatic())
        list(Label.objects.all())
        assert page_of(request).tags == []
        return HttpResponse("x")

    assert not is_public(site(view).get("/page/")) and seen == [None]


def test_what_a_middleware_takes_out_of_a_cache(site, within, hats):
    within("cached_menu")
    client = site(isr(shown))
    for _ in range(2):
        assert "shop.category:1" in tags_of(client.get("/page/"))
    Category.objects.update(name="new")
    answer = client.get("/page/", headers={"X-Edge-ISR-Warmup": "1"})
    assert answer.content == b"new" and "shop.category:1" in tags_of(answer)
    assert ttl_of(answer) == 300


@pytest.mark.parametrize("early", [True, False])
def test_the_site_that_is_kept_in_memory(site, settings, early):
    settings.SITE_ID = 1
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.sites"]
    from django.contrib.sites.models import SITE_CACHE, Site

    if early:
        current = "django.contrib.sites.middleware.CurrentSiteMiddleware"
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, current]
    # Apps do not come and go but in tests.
    tags._model_labels.cache_clear()
    SITE_CACHE[1] = Site(pk=1, domain="a.example", name="A")

    def view(request):
        return HttpResponse((request.site if early else Site.objects.get_current()).name)

    try:
        assert tags_of(site(isr(view)).get("/page/")) == {"sites.site:1"}
    finally:
        SITE_CACHE.clear()
        tags._model_labels.cache_clear()
        # The app that is gone again has registered it.
        if admin.site.is_registered(Site):
            admin.site.unregister(Site)


def test_a_middlewares_own_flags_shorten_no_lifetime(site, within):
    within("flag")
    cache.set("closed", False)
    assert ttl_of(site(isr(s_maxage=600)(lambda r: HttpResponse("x"))).get("/page/")) == 600


@pytest.mark.parametrize("cached", [True, False])
def test_what_a_middleware_changes_is_sent_and_not_refetched_for(site, within, written, cached):
    """A page that shows the number of visits would be refetched for each refetch."""
    within("visits")

    def view(request):
        return HttpResponse(str(Label.objects.count()))

    client = site(isr(view) if cached else view)
    for _ in range(8):
        client.get("/page/", headers={"X-Edge-ISR-Warmup": "1"} if cached else {})
    rows = written()
    assert rows and {row.payload["warm"] for row in rows} == {False}
    late = {row.due_at > row.created_at for row in rows}
    assert late == ({True, False} if cached else {False})
    OutboxMessage.objects.all().delete()
    client.post("/page/")
    assert {row.payload["warm"] for row in written()} == {True}
