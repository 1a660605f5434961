"""The kinds of Django's advisories of 2026 about its cache and session fields: a cached view, alone
and with Django's page cache around it."""

import pytest
from conftest import is_public
from django.http import HttpResponse
from django.test import Client
from django.views.decorators.cache import cache_page
from shop.models import Category

from edge_isr import isr

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["alone", "cache_page", "middleware"])
def serve(request, site, settings):
    """A cached view, alone and with each form of Django's page cache."""
    if request.param == "middleware":
        first, *others = [n for n in settings.MIDDLEWARE if "OriginSecret" not in n]
        settings.MIDDLEWARE = [
            first,
            "django.middleware.cache.UpdateCacheMiddleware",
            *others,
            "django.middleware.cache.FetchFromCacheMiddleware",
        ]
    around = cache_page(60) if request.param == "cache_page" else lambda view: view
    return lambda view: site(around(isr(view)))


def with_fields(**fields):
    def view(request):
        response = HttpResponse(f"page {Category.objects.count()}")
        for name, value in fields.items():
            response[name.replace("_", "-")] = value
        return response

    return view


@pytest.mark.parametrize("value", ["*", " * ", "Accept, *", "*, Cookie", "accept,*"])
def test_vary_any(serve, value):
    client = serve(with_fields(Vary=value))
    for _ in range(2):
        assert not is_public(client.get("/page/"))


def test_a_session_without_vary(serve):
    """Whoever looks at the session, wherever, and whatever becomes of Vary."""

    def view(request):
        response = HttpResponse(f"hello {request.session.get('name', 'nobody')}")
        # Something on the way takes it away.
        response.headers.pop("Vary", None)
        return response

    client = serve(view)
    session = client.session
    session["name"] = "me"
    session.save()
    client.cookies["sessionid"] = session.session_key
    for _ in range(2):
        assert not is_public(client.get("/page/"))
    response = Client().get("/page/")
    assert not is_public(response) or (
        b"nobody" in response.content and "cookie" in response["Vary"].lower()
    )


@pytest.mark.parametrize("value", ["cookie", "COOKIE", "accept, cOoKiE"])
def test_vary_in_any_case(serve, value):
    response = serve(with_fields(Vary=value)).get("/page/")
    assert is_public(response)
    assert response["Vary"].lower().split(", ").count("cookie") == 1


@pytest.mark.parametrize("value", ["PRIVATE", "No-Store", "max-age=60, No-Cache", 'Private="x"'])
def test_directives_in_any_case(serve, value):
    client = serve(with_fields(Cache_Control=value))
    for _ in range(2):
        assert not is_public(client.get("/page/"))


@pytest.mark.parametrize("cookies", [{}, {"_ga": "1"}, {"theme": "dark", "_ga": ""}])
@pytest.mark.parametrize("vary", [None, "Cookie", "cookie"])
def test_unrelated_cookies(serve, cookies, vary):
    """A visitor with any cookie gets a first session: it is nobody else's."""

    def view(request):
        response = HttpResponse("x", headers={"Vary": vary} if vary else {})
        response.set_cookie("sessionid", "secret")
        return response

    client = serve(view)
    for _ in range(2):
        client.cookies.load(cookies)
        assert not is_public(client.get("/page/"))


def test_empty_fields_state_nothing(serve):
    client = serve(with_fields(Vary="", Cache_Control="", Expires=""))
    for _ in range(2):
        response = client.get("/page/")
        assert is_public(response)
        assert response["Cache-Control"].strip() != ""


def test_an_empty_field_of_a_private_answer(serve):
    def view(request):
        request.session["a"] = 1
        return HttpResponse("x", headers={"Cache-Control": ""})

    response = serve(view).get("/page/")
    assert not is_public(response)
    assert "max-age=60" in response["Cache-Control"] or "private" in response["Cache-Control"]


@pytest.mark.parametrize("value", ["", " ", "Bearer x"])
def test_authorization_even_if_it_is_empty(serve, value):
    client = serve(with_fields())
    for _ in range(2):
        assert not is_public(client.get("/page/", headers={"Authorization": value}))


@pytest.mark.parametrize("value", ["", "sessionid", "sessionid=", "=x"])
def test_absent_or_empty_cookies(serve, value):
    """No session, however that is said: the page is everyone's."""

    def view(request):
        return HttpResponse(f"hello {request.session.get('name', 'nobody')}")

    response = serve(view).get("/page/", headers={"Cookie": value})
    assert response.content == b"hello nobody"
    assert "cookie" in response["Vary"].lower()
    # Django takes an empty one away, and that answer is the visitor's own.
    assert is_public(response) or response.cookies["sessionid"]["max-age"] == 0
