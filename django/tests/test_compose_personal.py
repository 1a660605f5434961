"""Personal parts: in the page, as placeholders for the edge, and in the answer that fills them."""

from unittest import mock

import pytest
from composing import (
    EDGE,
    ID,
    MENU,
    ask_parts,
    fill,
    members,
    page_of,
    part,
    parts_of,
    shell,
    token_of,
)
from conftest import is_public
from django import VERSION
from django.core.cache import cache
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.test import Client
from django.urls import path, reverse
from django.utils.translation import get_language, gettext

import edge_isr
from edge_isr import isr
from edge_isr.compose import personal
from edge_isr.compose.problems import Problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("menu_part")]


def test_a_place_with_its_fallback(site):
    client = site(page_of(MENU))
    response = shell(client)
    said = members(response)
    marker = said["marker"]
    assert response.content.decode() == (
        f'<nav>{marker}p00<a href="/in/">Log in</a>{marker}e00</nav>'
    )
    assert said["placeholders"] == 2 and said["personal"] == ["menu"]
    assert said["cookies"] == ["sessionid", "messages"] and said["csrf-personal"] is True
    assert said["csrf"] == ["csrftoken", "Max-Age=31449600; Path=/; SameSite=Lax"]
    assert said["audience"] == "all"


def test_the_page_by_both_ways_is_the_same(site, ada):
    client = site(page_of(MENU + "{% csrf_token %}" + MENU))
    client.force_login(ada)
    secret = "V" * 32
    client.cookies["csrftoken"] = secret
    made = parts_of(ask_parts(client, ["menu"], page="/page/"))
    assert made == {"menu": "<b>ada.lovelace</b> at /page/"}
    filled = fill(shell(client), secret=secret, parts=made)
    with mock.patch("django.middleware.csrf._get_new_csrf_string", lambda: "m" * 32):
        own = client.get("/page/")
        assert own.content.decode() == filled
        assert not is_public(own) and own["Cache-Control"] == "private, no-cache"
        nobody = Client().get("/page/", HTTP_COOKIE=f"csrftoken={secret}")
    assert fill(shell(client), secret=secret) == nobody.content.decode()


def test_who_has_no_personal_cookie_gets_the_fallback(site):
    """So the page is for everyone, as one without parts."""
    response = site(page_of(MENU)).get("/page/")
    assert is_public(response) and b"Log in" in response.content


def test_a_page_that_is_not_composed_has_its_parts(site, ada):
    client = site(page_of(MENU, compose=False))
    assert members(shell(client)) is None
    client.force_login(ada)
    response = client.get("/page/")
    assert b"<b>ada.lovelace</b>" in response.content and not is_public(response)


def test_a_view_that_says_that_its_answer_is_public(site, ada):
    def view(request):
        text = engines["django"].from_string(MENU).render({}, request)
        return HttpResponse(text, headers={"CDN-Cache-Control": "max-age=60", "Expires": "0"})

    client = site(view)
    client.force_login(ada)
    response = client.get("/page/")
    assert response["Cache-Control"] == "private, no-cache" and not is_public(response)
    assert not response.has_header("Expires")


def test_nothing_is_learned_without_the_edges_field(site, ada, edge):
    client = site(page_of(MENU))
    assert client.get("/_edge_isr/personal?n=menu").status_code == 404
    asked = {"HTTP_X_EDGE_ISR_PERSONAL": f'id="{ID}", page="/page/"'}
    assert client.post("/_edge_isr/personal?n=menu", **asked).status_code == 404
    edge(ORIGIN_SECRET="s" * 20, ORIGIN_SECRET_EXEMPT=["."])
    assert client.get("/_edge_isr/personal?n=menu", **asked).status_code == 404
    asked["HTTP_X_EDGE_ISR_ORIGIN_AUTH"] = "s" * 20
    assert client.get("/_edge_isr/personal?n=menu", **asked).status_code == 200


@pytest.mark.parametrize(
    "said",
    [
        "", "x", 'id="short", page="/"', f'id="{ID}"', f'id="{ID}", page="//other.example/"',
        f'id="{ID}", page="page/"', f'id="{ID}", page="/", x="y"', f'id="{ID}", page="/", late="x"',
        f'id="{ID}", page=/', f'id="{ID}", page="/", id="{ID}"', f'id="{ID}",page="/" ,',
        f'id="{ID}", page="/", nonce="<x>"', f'id="{ID}", page="/", lang="<>"', f"id={ID}, page=1",
    ],
)  # fmt: skip
def test_what_the_edge_would_not_say(site, said):
    client = site(page_of(MENU))
    answer = client.get("/_edge_isr/personal?n=menu", HTTP_X_EDGE_ISR_PERSONAL=said)
    assert answer.status_code == 404


def test_names_are_of_the_registry(site, ada):
    client = site(page_of(MENU))
    client.force_login(ada)
    assert set(parts_of(ask_parts(client, ["menu", "nothing", "../x", "menu"]))) == {"menu"}
    assert parts_of(ask_parts(client, [])) == {}
    assert ask_parts(client, [f"n{n}" for n in range(33)]).status_code == 404


def test_it_is_the_visitors_request_for_the_page(site, ada):
    seen = {}

    @edge_isr.personal("part")
    def see(request):
        seen.update(
            path=request.path, query=request.GET["x"], full=request.get_full_path(),
            user=request.user.username, match=request.resolver_match.kwargs,
            reversed=reverse("here"), host=request.get_host(), info=request.path_info,
        )  # fmt: skip
        return "x"

    view = page_of("")
    client = site(view, urlpatterns=[path("caf\u00e9/<int:pk>/", view, name="here")][:0])
    import sys

    from django.conf import settings

    module = sys.modules[settings.ROOT_URLCONF]
    module.urlpatterns = [path("page/", view, name="here"), path("caf\u00e9/<int:pk>/", view)]
    client.force_login(ada)
    answer = ask_parts(client, ["part"], page="/caf%C3%A9/7/?x=1%202&y=")
    assert parts_of(answer) == {"part": "x"}
    assert seen == {
        "path": "/café/7/", "query": "1 2", "full": "/caf%C3%A9/7/?x=1%202&y=",
        "user": "ada.lovelace",
        "match": {"pk": 7}, "reversed": "/page/", "host": "testserver", "info": "/café/7/",
    }  # fmt: skip


def test_middlewares_see_what_they_saw_before(site, ada, settings):
    settings.MIDDLEWARE = [f"{__name__}.both_ways", *settings.MIDDLEWARE]
    client = site(page_of(MENU))
    client.force_login(ada)
    answer = ask_parts(client, ["menu"], page="/page/?x=1")
    assert answer["X-Paths"] == "/_edge_isr/personal?n=menu /_edge_isr/personal?n=menu menu"


def both_ways(get_response):
    def middleware(request):
        before = request.get_full_path()
        response = get_response(request)
        response["X-Paths"] = f"{before} {request.get_full_path()} {request.GET['n']}"
        return response

    return middleware


def test_a_page_that_there_is_no_more(site, ada):
    client = site(page_of(MENU))
    client.force_login(ada)
    parts = parts_of(ask_parts(client, ["menu"], page="/gone/"))
    assert parts == {"menu": "<b>ada.lovelace</b> at /gone/"}


def test_a_catch_all_rule_keeps_no_part(site, ada, edge):
    edge(RULES=[{"path": "", "s_maxage": 600, "compose": True}])
    client = site(page_of(MENU))
    client.force_login(ada)
    assert parts_of(ask_parts(client, ["menu"])) == {"menu": "<b>ada.lovelace</b> at /page/"}


def test_text_is_escaped_and_html_is_not(site):
    client = site(page_of(part(lambda request: "<b>")))
    assert parts_of(ask_parts(client, ["part"])) == {"part": "&lt;b&gt;"}


@pytest.mark.parametrize("made", [ZeroDivisionError, TypeError])
def test_a_part_that_fails(site, ada, made, caplog):
    def failing(request):
        raise made

    client = site(page_of(part(failing) + MENU))
    client.force_login(ada)
    assert set(parts_of(ask_parts(client, ["part", "menu"]))) == {"menu"}
    assert "the personal part part failed" in caplog.text
    own = client.get("/page/")
    assert b"[none]" in own.content and b"<b>ada.lovelace</b>" in own.content and not is_public(own)


def test_a_part_that_returns_a_response_fails(site):
    client = site(page_of(part(lambda request: HttpResponse("x"))))
    assert parts_of(ask_parts(client, ["part"])) == {}


def test_parts_that_are_too_large(site, ada):
    client = site(page_of(part(lambda request: "x" * 300_000)))
    client.force_login(ada)
    answer = ask_parts(client, ["menu", "part"])
    assert set(parts_of(answer)) == {"menu"} and len(answer.content) < 262_144


def test_many_parts(site):
    for number in range(33):
        edge_isr.personal(f"p{number}")(lambda request: "x")
    tags = [f"{{% personal 'p{number}' %}}-{{% endpersonal %}}" for number in range(33)]
    response = shell(site(page_of("{% load edge_isr %}" + "".join(tags[::-1][:32]))))
    assert members(response)["personal"] == [f"p{number}" for number in range(32, 0, -1)]
    response = shell(site(page_of("{% load edge_isr %}" + "".join(tags))))
    assert response.wsgi_request.edge_isr.problem is Problem.TOO_MANY


def test_what_is_not_in_the_page_is_not_named(site):
    source = (
        MENU + "{% firstof 'x' %}" + part(lambda request: "x").replace("[", "{% filter cut:'[' %}[")
    )
    source = source.replace("]", "]{% endfilter %}")
    assert members(shell(site(page_of(source))))["personal"] == ["menu", "part"]

    @isr(compose=True)
    def view(request):
        engines["django"].from_string(MENU).render({}, request)
        text = engines["django"].from_string(part(lambda request: "x")).render({}, request)
        return HttpResponse(text)

    said = members(shell(site(view)))
    assert said["personal"] == ["part"]


@pytest.mark.parametrize("change", ["upper", "lower", "slice:':-1'", "truncatechars:60"])
def test_a_place_that_was_changed(site, change):
    source = (
        "{% load edge_isr %}{% filter " + change + " %}" + '{% personal "menu" %}{% endpersonal %}'
    )
    response = shell(site(page_of(source + "{% endfilter %}")))
    assert members(response) is None or members(response)["placeholders"] == 0


def test_a_token_in_a_fallback(site):
    """A log-in form in the header."""
    source = (
        '{% load edge_isr %}{% personal "menu" %}<form>{% csrf_token %}</form>{% endpersonal %}'
    )
    response = shell(site(page_of(source)))
    said = members(response)
    assert said["placeholders"] == 3 and "csrf-personal" not in said
    assert token_of("s" * 32) in fill(response)
    assert "csrfmiddlewaretoken" not in fill(response, parts={"menu": "hello"})


def test_a_form_in_a_part(site, ada):
    """The edge fixes the secret, sends it along, and sets the cookie itself."""
    form = part(
        lambda request: engines["django"].from_string("{% csrf_token %}").render({}, request)
    )
    client = site(page_of(form), client=lambda **more: Client(enforce_csrf_checks=True, **more))
    client.force_login(ada)
    secret = "Z" * 32
    client.cookies["csrftoken"] = secret
    answer = ask_parts(client, ["part"])
    assert "csrftoken" not in answer.cookies
    token = parts_of(answer)["part"].partition('value="')[2].partition('"')[0]
    assert client.post("/page/", {"csrfmiddlewaretoken": token}).status_code == 200


def test_the_language_of_the_page(site, settings):
    settings.USE_I18N = True
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.locale.LocaleMiddleware"]
    source = part(lambda request: f"{get_language()} {request.LANGUAGE_CODE} {gettext('Yes')}")
    client = site(page_of(source, vary_on="language"))
    response = client.get("/page/", HTTP_ACCEPT_LANGUAGE="de", **EDGE)
    assert members(response)["lang"] == "de"
    assert parts_of(ask_parts(client, ["part"], lang="de")) == {"part": "de de Ja"}
    assert parts_of(ask_parts(client, ["part"], lang="xx"))["part"].startswith("en")


def test_a_part_within_a_part(site, ada, settings):
    edge_isr.personal("part")(
        lambda request: engines["django"].from_string(MENU).render({}, request)
    )
    client = site(page_of('{% load edge_isr %}{% personal "part" %}{% endpersonal %}'))
    client.force_login(ada)
    assert "Log in" in parts_of(ask_parts(client, ["part"]))["part"]
    settings.DEBUG = True
    client.raise_request_exception = True
    with pytest.raises(personal.PartError, match="has the personal part menu in it"):
        client.get("/page/")


@pytest.mark.parametrize(
    "kept",
    [
        "{% load cache %}{% cache 60 box %}{}{% endcache %}",
        "{% edge_fragment 'box' ttl=60 %}{}{% endedge_fragment %}",
    ],
)
def test_a_part_in_what_is_kept_for_all(site, ada, settings, kept, caplog):
    """It is no part there: what one visitor sees would be kept for the next."""
    source = "{% load edge_isr %}" + kept.replace("{}", '{% personal "menu" %}out{% endpersonal %}')
    client = site(page_of(source))
    client.force_login(ada)
    assert client.get("/page/").content == b"out"
    assert "a cache keeps for all visitors" in caplog.text
    assert b"eIsR" not in shell(client).content
    settings.DEBUG = client.raise_request_exception = True
    cache.clear()
    with pytest.raises(personal.PartError):
        client.get("/page/")


def test_djangos_page_cache_keeps_no_part(site, ada):
    from django.views.decorators.cache import cache_page

    for view in (cache_page(60)(page_of(MENU)), isr(compose=True)(cache_page(60)(page_of(MENU)))):
        cache.clear()
        client = site(view)
        client.force_login(ada)
        assert b"ada.lovelace" in client.get("/page/").content
        assert b"ada.lovelace" not in Client().get("/page/").content
        assert b"eIsR" not in Client().get("/page/").content


def test_an_unknown_part(site, settings, caplog):
    client = site(page_of('{% load edge_isr %}{% personal "nobody" %}out{% endpersonal %}'))
    assert client.get("/page/").content == b"out" and "no personal part nobody" in caplog.text
    settings.DEBUG = client.raise_request_exception = True
    with pytest.raises(personal.PartError):
        client.get("/page/")


if VERSION >= (5, 1):

    def test_where_everything_asks_for_a_login(site, settings, ada):
        from django.contrib.auth.decorators import login_not_required

        settings.MIDDLEWARE = [
            *settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware",
        ]  # fmt: skip
        client = site(login_not_required(page_of(MENU)))
        assert set(parts_of(ask_parts(client, ["menu"]))) == {"menu"}


def test_cookies_of_the_sites_own(site, edge):
    edge(PERSONAL_COOKIES=["cart"])
    client = site(page_of(part(lambda request: request.COOKIES["cart"])))
    assert members(shell(client))["cookies"] == ["sessionid", "messages", "cart"]
    client.cookies["cart"] = "3"
    response = client.get("/page/")
    assert response.content == b"[3]" and not is_public(response)
    assert members(client.get("/page/", **EDGE)) is None


def test_a_token_made_in_a_part_is_no_place_of_a_page(site, ada):
    """In the page itself it is the visitor's own."""
    client = site(page_of(part(get_token)))
    client.force_login(ada)
    client.cookies["csrftoken"] = "Y" * 32
    with mock.patch("django.middleware.csrf._get_new_csrf_string", lambda: "m" * 32):
        assert token_of("Y" * 32) in client.get("/page/").content.decode()
