"""The parts that come with the package, a site's own in their place, and how parts are named."""

import pytest
from composing import ask_parts, page_of, parts_of
from django.contrib import messages
from django.http import HttpResponse
from django.template import engines

import edge_isr
from edge_isr import isr
from edge_isr.compose.personal import ready_made

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("menu_part")]
ACCOUNT = "{% load edge_isr %}{% personal 'account' %}<a>Log in</a>{% endpersonal %}"


def test_messages_are_shown_once_and_escaped(site):
    @isr(compose=True)
    def view(request):
        if request.method == "POST":
            messages.success(request, "<b>Saved.</b>")
            return HttpResponse()
        source = "{% load edge_isr %}{% personal 'messages' %}{% endpersonal %}"
        return HttpResponse(engines["django"].from_string(source).render({}, request))

    client = site(view)
    client.post("/page/")
    shown = '<ul class="messages"><li class="success">&lt;b&gt;Saved.&lt;/b&gt;</li></ul>'
    assert parts_of(ask_parts(client, ["messages"]))["messages"].strip() == shown
    assert parts_of(ask_parts(client, ["messages"])) == {"messages": ""}
    client.post("/page/")
    assert client.get("/page/").content.decode().strip() == shown


def test_an_account(site, ada):
    client = site(page_of(ACCOUNT))
    client.force_login(ada)
    [account] = parts_of(ask_parts(client, ["account"])).values()
    assert account == "<span>ada.lovelace</span>\n"
    assert client.get("/page/").content.decode() == account


def test_a_form_to_log_out(site, ada):
    from django.urls import path

    view = page_of(ACCOUNT)
    client = site(view, urlpatterns=[path("page/", view), path("out/", view, name="logout")])
    client.force_login(ada)
    [account] = parts_of(ask_parts(client, ["account"])).values()
    assert '<form method="post" action="/out/"><input type="hidden" name="csrf' in account


def test_a_session_of_somebody_who_is_not_logged_in(site):
    """A cart, say: there is no part, and so what stands between the tags."""
    client = site(page_of(ACCOUNT))
    client.cookies["sessionid"] = "x" * 32
    assert parts_of(ask_parts(client, ["account"])) == {}
    assert client.get("/page/").content == b"<a>Log in</a>"


def test_a_sites_own_comes_first(site, ada):
    client = site(page_of(ACCOUNT))
    client.force_login(ada)
    edge_isr.personal("account")(lambda request: "mine")
    ready_made("account")(lambda request: "the package's")
    assert parts_of(ask_parts(client, ["account"])) == {"account": "mine"}


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, 7, "é"])
def test_names(name):
    with pytest.raises(TypeError):
        edge_isr.personal(name)


def test_a_coroutine_is_no_part():
    async def part(request):
        return ""

    with pytest.raises(TypeError):
        edge_isr.personal("part")(part)


@pytest.mark.parametrize("tag", ["{% personal %}", "{% personal 'a' 'b' %}"])
def test_wrong_tags(tag):
    from django.template import TemplateSyntaxError

    with pytest.raises(TemplateSyntaxError):
        engines["django"].from_string("{% load edge_isr %}" + tag + "{% endpersonal %}")
