"""Which answers are public, and which are not: one row per rule."""

import pytest
from conftest import is_public, tags_of
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.http import (
    FileResponse,
    Http404,
    HttpResponse,
    HttpResponseNotFound,
    HttpResponseRedirect,
    HttpResponseServerError,
    StreamingHttpResponse,
)
from django.middleware.csrf import get_token
from django.template import engines
from django.utils.functional import SimpleLazyObject
from django.views.decorators.cache import cache_control, never_cache

from edge_isr import isr

pytestmark = pytest.mark.django_db


def page(request):
    return HttpResponse("page")


def with_cookie(request):
    response = HttpResponse("page")
    response.set_cookie("seen", "1")
    return response


def with_csrf(request):
    return HttpResponse(get_token(request))


def with_message(request):
    messages.info(request, "saved")
    return HttpResponse("page")


def writes_session(request):
    request.session["cart"] = [1]
    return HttpResponse("page")


def navbar(request):
    template = engines["django"].from_string(
        "{% if user.is_authenticated %}{{ user }}{% else %}Log in{% endif %}"
        "{% for message in messages %}{{ message }}{% endfor %}"
    )
    return HttpResponse(template.render({}, request))


def without_caching(request):
    request.do_not_cache = True
    return HttpResponse("page")


def missing(request):
    raise Http404


def varies_on_all(request):
    return HttpResponse("page", headers={"Vary": "*"})


def no_cache(request):
    return HttpResponse("page", headers={"Cache-Control": "No-Cache"})


NEVER_PUBLIC = {
    "404": missing,
    "404-returned": lambda request: HttpResponseNotFound("no"),
    "302": lambda request: HttpResponseRedirect("/other/"),
    "500": lambda request: HttpResponseServerError("no"),
    "206": lambda request: HttpResponse("pa", status=206),
    "set-cookie": with_cookie,
    "csrf": with_csrf,
    "message": with_message,
    "session": writes_session,
    "never-cache": never_cache(page),
    "private": cache_control(private=True)(page),
    "no-store": cache_control(no_store=True)(page),
    "no-cache": no_cache,
    "do-not-cache": without_caching,
    "vary-any": varies_on_all,
}


@pytest.mark.parametrize("name", NEVER_PUBLIC)
def test_never_public(site, name):
    response = site(isr(tags="t")(NEVER_PUBLIC[name])).get("/page/")
    assert not is_public(response)
    assert "X-Edge-ISR-Tags" not in response
    assert "public" not in response["Cache-Control"]


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_only_get_and_head_are_public(site, method):
    client = site(isr(page))
    assert not is_public(getattr(client, method)("/page/"))
    assert is_public(client.get("/page/")) and is_public(client.head("/page/"))


def test_never_cache_is_left_as_it_is(site):
    response = site(isr(never_cache(page))).get("/page/")
    plain = site(never_cache(page)).get("/page/")
    assert response["Cache-Control"] == plain["Cache-Control"]


def test_an_anonymous_user_in_the_navbar_is_public(site):
    response = site(isr(navbar)).get("/page/")
    assert response.content == b"Log in"
    assert is_public(response)
    assert "Cookie" in response["Vary"]


def test_a_user_who_is_logged_in_is_private(site):
    client = site(isr(navbar))
    client.force_login(get_user_model().objects.create_user("ada"))
    response = client.get("/page/")
    assert response.content == b"ada"
    assert not is_public(response)
    assert response["Cache-Control"] == "private, no-cache"


def test_a_user_that_something_else_put_there_is_private(site):
    ada = get_user_model().objects.create_user("ada")

    def by_key(request):
        request.user = ada
        return navbar(request)

    def lazily(request):
        request.user = SimpleLazyObject(lambda: ada)
        return navbar(request)

    def unused(request):
        request.user = SimpleLazyObject(lambda: ada)
        return page(request)

    assert not is_public(site(isr(by_key)).get("/page/"))
    assert not is_public(site(isr(lazily)).get("/page/"))
    assert is_public(site(isr(unused)).get("/page/"))


def test_a_session_that_nobody_looks_at_is_no_reason(site):
    client = site(isr(page))
    client.force_login(get_user_model().objects.create_user("ada"))
    assert is_public(client.get("/page/"))


def test_a_session_that_was_read_is_private(site):
    def reads(request):
        return HttpResponse(str(request.session.get("cart")))

    client = site(isr(reads))
    assert is_public(client.get("/page/"))
    session = client.session
    session["cart"] = [3]
    session.save()
    assert not is_public(client.get("/page/"))


def test_a_waiting_message_is_private_once_shown(site):
    client = site(isr(navbar), extra=with_message)
    with_one = site(with_message)
    with_one.get("/page/")
    client.cookies = with_one.cookies
    shown = site(isr(navbar))
    shown.cookies = with_one.cookies
    response = shown.get("/page/")
    assert b"saved" in response.content
    assert not is_public(response)


def test_csrf_in_the_session_is_private(site, settings):
    settings.CSRF_USE_SESSIONS = True
    assert not is_public(site(isr(with_csrf)).get("/page/"))


def test_authorization_is_private(site):
    response = site(isr(page)).get("/page/", HTTP_AUTHORIZATION="Basic eDp5")
    assert not is_public(response)


@pytest.mark.parametrize("name", ["CDN-Cache-Control", "Surrogate-Control"])
@pytest.mark.parametrize("value", ["no-store", "max-age=60, Private", "no-cache"])
def test_what_a_view_forbids_the_edge_stays_forbidden(site, name, value):
    def view(request):
        return HttpResponse("page", headers={name: value})

    response = site(isr(view)).get("/page/")
    assert response[name] == value and response["X-Edge-ISR"] == "bypass"


def test_caching_is_opt_in(site):
    response = site(page).get("/page/")
    assert not is_public(response)
    assert "Cache-Control" not in response


def test_what_another_view_says_of_caching_is_left_alone(site):
    response = site(cache_control(max_age=60)(page)).get("/page/")
    assert response["Cache-Control"] == "max-age=60" and "X-Edge-ISR" not in response


@pytest.mark.parametrize("view", [missing, NEVER_PUBLIC["404-returned"]])
def test_other_statuses_when_sent(site, view):
    response = site(isr(statuses={200: None, 404: 30}, tags="posts")(view)).get("/page/")
    assert is_public(response) and response.status_code == 404
    assert response["CDN-Cache-Control"].startswith("max-age=30,")
    assert tags_of(response) == {"posts"}


def test_a_handler_of_404_can_be_cached(site):
    handler = isr(statuses={404: 30})(lambda request, exception: HttpResponseNotFound("none"))
    client = site(page, handler404=handler)
    response = client.get("/nowhere/")
    assert is_public(response) and response.status_code == 404


def test_a_failing_view_is_never_public(site):
    def fails(request):
        raise RuntimeError("no")

    assert not is_public(site(isr(fails)).get("/page/"))


def test_vary_is_kept_and_added_to(site):
    def view(request):
        return HttpResponse("page", headers={"Vary": "Accept-Language"})

    response = site(isr(vary=["X-Device", "Accept-Language"])(view)).get("/page/")
    assert response["Vary"] == "Accept-Language, X-Device"


def test_vary_on_names_facts_of_the_visitor(site):
    response = site(isr(vary_on=["device", "language"])(page)).get("/page/")
    assert response["Vary"] == "X-Device, Accept-Language"


def test_browsers_ask_again_unless_sent(site):
    assert site(isr(page)).get("/page/")["Cache-Control"] == "public, max-age=0"
    assert site(isr(max_age=60)(page)).get("/page/")["Cache-Control"] == "public, max-age=60"


def test_a_views_own_lifetime_for_browsers_stays(site):
    response = site(isr(cache_control(max_age=60, public=True)(page))).get("/page/")
    assert response["Cache-Control"] == "max-age=60, public"
    assert is_public(response)


def test_freshness_in_other_fields(site, edge):
    edge(CACHE_HEADER="Surrogate-Control")
    response = site(isr(s_maxage=60)(page)).get("/page/")
    assert response["Surrogate-Control"].startswith("max-age=60, stale-while-revalidate=")
    edge(CACHE_HEADER="Cache-Control")
    response = site(isr(s_maxage=60, swr=5, sie=7)(page)).get("/page/")
    assert response["Cache-Control"] == (
        "public, max-age=0, s-maxage=60, stale-while-revalidate=5, stale-if-error=7"
    )


def test_the_reason_is_shown_with_debug_only(site, settings):
    assert "X-Edge-ISR-Reason" not in site(isr(with_cookie)).get("/page/")
    settings.DEBUG = True
    response = site(isr(with_cookie)).get("/page/")
    assert response["X-Edge-ISR-Reason"] == "set-cookie"


def test_only_if(site):
    view = isr(only_if=lambda request: request.user.is_anonymous)(page)
    client = site(view)
    response = client.get("/page/")
    assert is_public(response) and "Cookie" in response["Vary"]
    client.force_login(get_user_model().objects.create_user("ada"))
    assert not is_public(client.get("/page/"))


def test_only_if_that_fails_is_not_cached(site, caplog):
    assert not is_public(site(isr(only_if=lambda request: 1 / 0)(page)).get("/page/"))
    assert "the policy of /page/ failed" in caplog.text


class TestRules:
    def test_paths_are_opted_in_by_pattern(self, site, edge):
        edge(RULES=[{"path": "^/page/1", "cache": False}, {"path": "^/page/", "s_maxage": 9}])
        client = site(lambda request, pk=0: HttpResponse("page"))
        response = client.get("/page/")
        assert response["CDN-Cache-Control"].startswith("max-age=9,")
        assert not is_public(client.get("/page/1/"))

    def test_a_rule_can_forbid_what_a_view_allows(self, site, edge):
        edge(RULES=[{"path": "^/page/", "cache": False}])
        assert not is_public(site(isr(page)).get("/page/"))

    def test_a_views_own_policy_comes_before_a_rules(self, site, edge):
        edge(RULES=[{"path": ".", "s_maxage": 9, "tags": ["all"]}])
        response = site(isr(s_maxage=5, tags="mine")(page)).get("/page/")
        assert response["CDN-Cache-Control"].startswith("max-age=5,")
        assert tags_of(response) == {"all", "mine"}


class TestStreaming:
    def test_a_stream_with_tags_of_its_own_is_public(self, site):
        view = isr(tags="export")(lambda request: StreamingHttpResponse(iter([b"a", b"b"])))
        response = site(view).get("/page/")
        assert is_public(response) and b"".join(response) == b"ab"

    def test_a_stream_that_automatic_tags_can_not_follow_is_not(self, site):
        view = isr(lambda request: StreamingHttpResponse(iter([b"a"])))
        assert not is_public(site(view).get("/page/"))
        view = isr(auto_tags=False)(lambda request: StreamingHttpResponse(iter([b"a"])))
        assert is_public(site(view).get("/page/"))

    def test_a_file_is_public(self, site, tmp_path):
        file = tmp_path / "file.bin"
        file.write_bytes(b"\x00\xff" * 5000)
        response = site(isr(lambda request: FileResponse(file.open("rb")))).get("/page/")
        assert is_public(response) and b"".join(response) == b"\x00\xff" * 5000
