"""Django's page cache in front of cached views: all that a page had, and nothing that is old."""

import pytest
from conftest import is_public, tags_of, ttl_of
from django.http import HttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.test import Client
from django.views.decorators.cache import cache_page
from shop.models import Category

import edge_isr
from edge_isr import isr

pytestmark = pytest.mark.django_db(transaction=True)

LIST = {"shop.category:@", "shop.category:1"}


def names():
    return ",".join(category.name for category in Category.objects.all())


SITEWIDE = [
    "edge_isr.middleware.EdgeISRMiddleware",
    "django.middleware.cache.UpdateCacheMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.middleware.cache.FetchFromCacheMiddleware",
]


@pytest.fixture(params=["middleware", "outside", "inside", "rule"])
def paged(request, settings, edge):
    """Django's page cache around, or inside of, a cached view; renders are counted."""
    settings.CACHE_MIDDLEWARE_SECONDS = 300
    renders = []

    def decorate(view):
        def counted(request, **kwargs):
            renders.append(request.path)
            return view(request, **kwargs)

        if paged_by == "inside":
            return isr(s_maxage=3600)(cache_page(300)(counted))
        if paged_by == "rule":
            return counted
        cached = isr(s_maxage=3600, tags="named")(counted)
        return cache_page(300)(cached) if paged_by == "outside" else cached

    paged_by = request.param
    if paged_by in ("middleware", "rule"):
        settings.MIDDLEWARE = SITEWIDE
    if paged_by == "rule":
        edge(RULES=[{"path": "^/page/", "s_maxage": 3600, "tags": ["named"]}])
    decorate.renders = renders
    return decorate


class TestPages:
    """Whole pages in Django's cache."""

    def test_out_of_the_cache_with_all_that_it_had(self, paged, site, hats):
        client = site(paged(lambda request: HttpResponse(names())))
        first = client.get("/page/")
        for _ in range(2):
            again = client.get("/page/")
            assert is_public(again) and tags_of(again) == tags_of(first) >= LIST
            assert again["CDN-Cache-Control"] == first["CDN-Cache-Control"]
            # The edge takes what has an age for the answer of a cache that may hide a change.
            assert not again.has_header("Age")
        assert len(paged.renders) == 1

    def test_an_age_of_the_views_own_stays(self, site, hats):
        client = site(isr(s_maxage=60)(lambda request: HttpResponse(names(), headers={"Age": "5"})))
        assert client.get("/page/")["Age"] == "5"

    def test_a_change_goes_round_it_and_renews_it(self, paged, site, hats):
        client = site(paged(lambda request: HttpResponse(names())))
        client.get("/page/")
        Category.objects.update(name="Caps")
        for _ in range(2):
            assert client.get("/page/").content == b"Caps"
        assert len(paged.renders) == 2

    def test_a_template_response(self, paged, site, hats):
        text = engines["django"].from_string("{% for c in all %}{{ c }}{% endfor %}")

        def view(request):
            return TemplateResponse(request, text, {"all": Category.objects.all()})

        client = site(paged(view))
        for _ in range(2):
            assert tags_of(client.get("/page/")) >= LIST
        Category.objects.update(name="Caps")
        assert client.get("/page/").content == b"Caps"

    def test_another_process_made_the_change(self, paged, site, hats):
        """What this process keeps in its memory is not sent; the edge's refetch goes round it."""
        client = site(paged(lambda request: HttpResponse(names())))
        client.get("/page/")
        with edge_isr.silence():
            Category.objects.update(name="Caps")
        assert client.get("/page/").content == b"Hats"
        assert client.get("/page/", headers={"X-Edge-ISR-Warmup": "1"}).content == b"Caps"
        assert client.get("/page/").content == b"Caps"

    def test_what_was_private_stays_private(self, paged, site):
        def view(request):
            request.session.get("a")
            return HttpResponse(f"for {request.session.get('a')}")

        client = site(paged(view))
        client.session
        session = client.session
        session["a"] = "me"
        session.save()
        client.cookies["sessionid"] = session.session_key
        for _ in range(2):
            response = client.get("/page/")
            assert response.content == b"for me"
            assert not is_public(response)
        # Django's own decorator stores it without Vary; the edge does not.
        other = Client().get("/page/")
        assert other.content == b"for None" or not is_public(other)

    def test_until(self, paged, site):
        def view(request):
            request.edge_isr.until(100)
            return HttpResponse("x")

        client = site(paged(view))
        client.get("/page/")
        assert 90 < ttl_of(client.get("/page/")) <= 100


def test_only_if_is_asked_every_time(site, hats):
    allowed = [True]
    view = cache_page(300)(isr(only_if=lambda r: allowed[0])(lambda r: HttpResponse(names())))
    client = site(view)
    assert is_public(client.get("/page/"))
    allowed[0] = False
    assert not is_public(client.get("/page/"))


def test_pages_of_other_views_are_left_alone(site, hats):
    renders = []

    def view(request):
        renders.append(1)
        return HttpResponse(names())

    client = site(cache_page(300)(view))
    client.get("/page/")
    Category.objects.update(name="Caps")
    assert client.get("/page/").content == b"Hats" and len(renders) == 1
