"""For whom a shell is good: what a view and its templates read of a visitor, and where."""

from unittest import mock

import pytest
from composing import EDGE, members, shell
from django import VERSION
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import HttpResponse
from django.template import engines
from django.utils.functional import SimpleLazyObject
from django.views.decorators.cache import cache_page

import edge_isr
from edge_isr import isr

pytestmark = pytest.mark.django_db


def page_of(source="", read=None, **policy):
    @isr(**{"compose": True, **policy})
    def view(request):
        if read is not None:
            read(request)
        return HttpResponse(engines["django"].from_string(source).render({}, request))

    return view


def audience(client, cookie=None):
    client.cookies.clear()
    more = {"HTTP_COOKIE": cookie} if cookie else {}
    response = client.get("/page/", **EDGE, **more)
    return members(response)["audience"]


@pytest.mark.parametrize(
    "source",
    [
        "{% if user.is_staff %}edit{% endif %}",
        "{{ user }}",
        "{{ request.user.username }}",
        "{{ request.session.cart }}",
        "{{ request.session.session_key }}",
        "{% for message in messages %}{{ message }}{% endfor %}",
        "{% if messages %}x{% endif %}",
        "{{ request.COOKIES.theme }}",
        "{{ perms.auth }}",
        "{% for name in request.COOKIES %}{% endfor %}",
    ],
)
def test_what_a_template_reads(site, source):
    assert audience(site(page_of(source))) == "anonymous"
    assert audience(site(page_of(source, compose="trusted"))) == "all"


@pytest.mark.parametrize(
    "read",
    [
        lambda request: request.user.is_authenticated,
        lambda request: bool(request.user),
        lambda request: request.session.get("cart"),
        lambda request: "cart" in request.session,
        lambda request: request.session.session_key,
        lambda request: list(messages.get_messages(request)),
        lambda request: len(messages.get_messages(request)),
        lambda request: request.COOKIES.get("theme"),
        lambda request: request.COOKIES.get("sessionid"),
        lambda request: "theme" in request.COOKIES,
        lambda request: dict(request.COOKIES.items()),
        lambda request: request.get_signed_cookie("seen", None),
    ],
)
def test_what_a_view_reads(site, read):
    assert audience(site(page_of(read=read))) == "anonymous"


def test_nothing_read(site):
    source = "{{ request.path }}{{ request.GET.x }}{% if request %}x{% endif %}"
    assert audience(site(page_of(source))) == "all"


def test_a_cookie_of_the_key_is_declared(site):
    def read(request):
        assert request.COOKIES["theme"] == "dark" and request.COOKIES.get("theme") == "dark"

    client = site(page_of(read=read))
    assert audience(client, cookie="theme=dark") == "all"
    assert audience(site(page_of("{{ request.COOKIES.size }}")), cookie="theme=dark") == "anonymous"


def test_the_same_read_inside_a_personal_part(site):
    @edge_isr.personal("audience_part")
    def part(request):
        return f"{request.user} {request.session.get('cart')}"

    source = '{% load edge_isr %}{% personal "audience_part" %}{% endpersonal %}'
    assert audience(site(page_of(source))) == "all"
    fallback = '{% load edge_isr %}{% personal "audience_part" %}{{ user }}{% endpersonal %}'
    assert audience(site(page_of(fallback))) == "anonymous"


@pytest.mark.parametrize("around", [True, False])
def test_a_decorator(site, around):
    client = site(
        login_required(page_of()) if around else isr(compose=True)(login_required(page_of()))
    )
    response = client.get("/page/", **EDGE)
    assert response.status_code == 302 and members(response) is None


def _eager(get_response):
    def middleware(request):
        request.is_reader = request.user.is_authenticated
        return get_response(request)

    return middleware


def _lazy(get_response):
    def middleware(request):
        request.cart = SimpleLazyObject(lambda: request.session.get("cart"))
        return get_response(request)

    return middleware


def _by_cookie(get_response):
    def middleware(request):
        request.theme = request.COOKIES.get("theme", "light")
        return get_response(request)

    return middleware


def _plain_user(get_response):
    def middleware(request):
        request.user = object()
        return get_response(request)

    return middleware


def _after(get_response):
    def middleware(request):
        response = get_response(request)
        response["X-Who"] = str(request.user)
        return response

    return middleware


@pytest.mark.parametrize(
    ("middleware", "source", "expected"),
    [
        ("_eager", "", "anonymous"),
        ("_lazy", "", "all"),
        ("_lazy", "{{ request.cart }}", "anonymous"),
        ("_by_cookie", "", "anonymous"),
        ("_plain_user", "", "anonymous"),
        ("_after", "", "anonymous"),
    ],
)
def test_what_a_middleware_reads(site, settings, middleware, source, expected):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.{middleware}"]
    assert audience(site(page_of(source))) == expected


@pytest.mark.parametrize("storage", ["cookie.Cookie", "session.Session", "fallback.Fallback"])
def test_every_message_storage(site, settings, storage):
    settings.MESSAGE_STORAGE = f"django.contrib.messages.storage.{storage}Storage"
    source = "{% if messages %}x{% endif %}"
    assert audience(site(page_of(source))) == "anonymous"
    assert audience(site(page_of())) == "all"


@pytest.mark.parametrize("engine", ["db", "signed_cookies", "cache"])
def test_every_session(site, settings, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    assert audience(site(page_of("{{ request.session.cart }}"))) == "anonymous"
    assert audience(site(page_of())) == "all"


def test_async_reads(async_site):
    from conftest import aget

    @isr(compose=True)
    async def view(request):
        if VERSION >= (5, 0):
            await request.auser()
        else:
            str(request.COOKIES.get("theme"))
        return HttpResponse("x")

    response = aget(async_site(view), "/page/", headers={"X-Edge-ISR-Compose": "v=1"})
    assert members(response)["audience"] == "anonymous"


def test_a_page_out_of_djangos_page_cache(site):
    """Nobody has seen what it read when it was made."""
    view = isr(compose=True)(cache_page(60)(lambda request: HttpResponse(str(request.user))))
    client = site(view)
    assert audience(client) == "anonymous"
    assert audience(client) == "anonymous"
    plain = isr(compose=True)(cache_page(60)(lambda request: HttpResponse("x")))
    client = site(plain)
    cache.clear()
    assert audience(client) == "all"
    assert audience(client) == "anonymous"


def test_where_it_was_read_is_sent_with_debug(site, settings):
    settings.DEBUG = True
    template = engines["django"].from_string("a\nb\n{{ user }}")
    template.template.origin.template_name = "header.html"

    @isr(compose=True)
    def view(request):
        return HttpResponse(template.render({}, request))

    reason = site(view).get("/page/", **EDGE)["X-Edge-ISR-Reason"]
    assert reason.startswith("audience=anonymous: user (header.html:3)")
    reason = site(page_of(read=lambda request: request.session.get("x"))).get("/page/", **EDGE)
    assert f"session ({__name__}:" in reason["X-Edge-ISR-Reason"]


def test_the_stack_is_not_walked_without_debug(site):
    with mock.patch("edge_isr.compose.watch.place_of_call", side_effect=AssertionError):
        assert audience(site(page_of("{{ user }}"))) == "anonymous"


def test_who_is_logged_in_otherwise(site, settings, django_user_model):
    """By a middleware that knows users without a cookie."""
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}._somebody"]
    django_user_model.objects.create_user("ada")
    response = site(page_of("x")).get("/page/", **EDGE)
    assert members(response) is None and response.edge_isr_reason == "user"


def _somebody(get_response):
    def middleware(request):
        from django.contrib.auth.models import User

        request.user = User.objects.get(username="ada")
        return get_response(request)

    return middleware


def test_a_page_for_the_anonymous_says_who_is_not(site, settings):
    """The edge need not be configured by its own settings."""
    settings.SESSION_COOKIE_NAME = "sid"
    response = shell(site(page_of("{{ request.user.is_staff }}")))
    said = members(response)
    assert said["audience"] == "anonymous" and said["cookies"] == ["sid", "messages"]
    assert "cookies" not in members(shell(site(page_of("plain"))))
