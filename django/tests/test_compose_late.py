"""Personal parts whose page has begun, messages, and middlewares that have their say."""

import pytest
from composing import EDGE, MENU, ask_parts, members, page_of, part, parts_of, shell
from conftest import is_public
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.sessions.models import Session
from django.http import HttpResponse, JsonResponse, StreamingHttpResponse
from django.template import engines

import edge_isr
from edge_isr import isr

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("menu_part")]


class TestMessages:
    """Shown once, whatever becomes of the answer."""

    @pytest.fixture
    def client(self, site):
        edge_isr.personal("messages")(
            lambda request: ", ".join(map(str, messages.get_messages(request)))
        )
        source = '{% load edge_isr %}{% personal "messages" %}{% endpersonal %}'

        @isr(compose=True)
        def view(request):
            if request.method == "POST":
                messages.success(request, "Saved.")
                return HttpResponse()
            return HttpResponse(engines["django"].from_string(source).render({}, request))

        return site(view)

    @pytest.mark.parametrize("storage", ["cookie.Cookie", "session.Session", "fallback.Fallback"])
    def test_once(self, client, settings, storage):
        settings.MESSAGE_STORAGE = f"django.contrib.messages.storage.{storage}Storage"
        client.post("/page/")
        assert parts_of(ask_parts(client, ["messages"])) == {"messages": "Saved."}
        assert parts_of(ask_parts(client, ["messages"])) == {"messages": ""}

    def test_at_once_in_the_answer_that_adds_one(self, client, site):
        """As without parts: the visitor has no cookie yet, and is somebody all the same."""

        @isr(compose=True)
        def view(request):
            messages.success(request, f"Saved by {request.method}.")
            source = "{% load edge_isr %}{% personal 'messages' %}{% endpersonal %}"
            return HttpResponse(engines["django"].from_string(source).render({}, request))

        client = site(view)
        for method in (client.get, client.post):
            answer = method("/page/")
            assert b"Saved by " in answer.content and not is_public(answer)
        assert members(shell(client)) is None

    def test_not_while_late(self, client):
        client.post("/page/")
        for _ in range(2):
            assert parts_of(ask_parts(client, ["messages"], late=True)) == {"messages": ""}
        assert parts_of(ask_parts(client, ["messages"])) == {"messages": "Saved."}

    def test_not_if_their_part_fails(self, client):
        def failing(request):
            assert [str(one) for one in messages.get_messages(request)] == ["Saved."]
            raise RuntimeError

        client.post("/page/")
        edge_isr.personal("failing")(failing)
        assert parts_of(ask_parts(client, ["failing"])) == {}
        assert parts_of(ask_parts(client, ["messages"])) == {"messages": "Saved."}

    def test_the_head_waits_where_no_cookie_says(self, client, settings):
        assert "wait" not in members(shell(client))
        settings.MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
        assert members(shell(client))["wait"] is True

    def test_the_head_waits_for_sessions_in_cookies(self, client, settings):
        settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
        assert members(shell(client))["wait"] is True

    def test_the_head_waits_for_sessions_that_are_always_saved(self, client, settings):
        settings.SESSION_SAVE_EVERY_REQUEST = True
        assert members(shell(client))["wait"] is True


def test_a_part_in_a_stream_is_none(site, ada, caplog):
    """When it comes, the head is gone, and has said who may keep the page."""

    @isr(compose=True, tags="a", auto_tags=False)
    def view(request):
        template = engines["django"].from_string(MENU)
        return StreamingHttpResponse(template.render({}, request) for _ in range(2))

    client = site(view)
    client.force_login(ada)
    for more in ({}, EDGE):
        assert b"".join(client.get("/page/", **more)) == b'<nav><a href="/in/">Log in</a></nav>' * 2
    assert "when the head is gone" in caplog.text


def test_a_part_in_json(site):
    @isr(compose=True)
    def view(request):
        return JsonResponse({"html": engines["django"].from_string(MENU).render({}, request)})

    response = shell(site(view))
    assert members(response) is None
    assert response.json() == {"html": '<nav><a href="/in/">Log in</a></nav>'}


class TestLate:
    """The page has begun: no cookie reaches the visitor."""

    @pytest.mark.parametrize("late", [True, False])
    @pytest.mark.parametrize(
        "do",
        [
            lambda request: request.session.cycle_key(),
            lambda request: request.session.flush(),
            lambda request: logout(request),
        ],
    )
    def test_a_session_keeps_its_key(self, site, ada, late, do):
        client = site(page_of(part(lambda request: do(request) or "done")))
        client.force_login(ada)
        before = client.cookies["sessionid"].value
        made = parts_of(ask_parts(client, ["part", "menu"], late=late))
        if not late:
            assert made["part"] == "done"
            return
        assert made == {"menu": "<b>ada.lovelace</b> at /page/"}
        assert client.cookies["sessionid"].value == before
        assert Session.objects.filter(session_key=before).exists()
        assert client.session["_auth_user_id"] == str(ada.pk)

    def test_a_message_can_not_be_added(self, site, ada):
        client = site(page_of(part(lambda request: messages.info(request, "x") or "x")))
        client.force_login(ada)
        assert parts_of(ask_parts(client, ["part"], late=True)) == {}

    def test_a_session_can_be_written(self, site, ada):
        def count(request):
            request.session["seen"] = request.session.get("seen", 0) + 1
            return str(request.session["seen"])

        client = site(page_of(part(count)))
        client.force_login(ada)
        for number in ("1", "2"):
            assert parts_of(ask_parts(client, ["part"], late=True)) == {"part": number}


class TestGate:
    @pytest.mark.parametrize(("said", "expected"), [(None, False), (True, True), (False, False)])
    def test_what_the_site_says(self, site, edge, said, expected):
        if said is not None:
            edge(GATE=said)
        assert members(shell(site(page_of(MENU))))["gate"] is expected

    def test_an_unknown_middleware(self, site, settings, edge):
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.two_factors"]
        client = site(page_of("x"))
        said = members(client.get("/page/", **EDGE))
        assert said["gate"] is True and said["cookies"] == ["sessionid", "messages"]
        edge(GATE=False)
        assert members(client.get("/page/", **EDGE))["gate"] is False

    def test_it_has_its_say(self, site, settings, ada):
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.two_factors"]
        client = site(page_of(MENU))
        client.force_login(ada)
        answer = ask_parts(client, ["menu"])
        assert answer.status_code == 302 and answer["Location"] == "/second/"


def two_factors(get_response):
    def middleware(request):
        if request.user.is_authenticated:
            return HttpResponse(status=302, headers={"Location": "/second/"})
        return get_response(request)

    return middleware
