"""Shared parts: the same for everybody, at an address of their own, and in the page itself."""

import re

import pytest
from composing import EDGE, ask_shared, fill, members, page_of, shell
from conftest import is_public
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.http import HttpResponse
from django.template import engines
from django.test import Client
from django.test.utils import override_settings
from django.urls import path, reverse
from django.utils import timezone, translation

import edge_isr
from edge_isr import isr
from edge_isr.compose import shared
from edge_isr.compose.problems import Problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("menu_part")]
PAGE = '{% load edge_isr %}<p>{% shared "groups" %}none{% endshared %}</p>'


@pytest.fixture(autouse=True)
def groups():
    """A part that shows rows."""
    Group.objects.create(name="readers")
    before = dict(shared._parts)

    @edge_isr.shared("groups", tags="menu")
    def made(most=5):
        return ", ".join(Group.objects.values_list("name", flat=True)[:most])

    yield made
    shared._parts.clear()
    shared._parts.update(before)


def address(client):
    [found] = members(shell(client))["shared"]
    return found


def test_a_place_and_an_address(site, ada):
    client = site(page_of(PAGE))
    response = shell(client)
    said = members(response)
    marker = said["marker"]
    assert response.content.decode() == f"<p>{marker}s00none{marker}e00</p>"
    assert said["placeholders"] == 2 and said["audience"] == "all"
    assert not {"cookies", "personal", "csrf"} & set(said)
    [where] = said["shared"]
    assert where.startswith("/_edge_isr/f/groups/") and "?" not in where
    # What it shows is the part's, not the page's.
    assert "auth.group" not in response.get("X-Edge-ISR-Tags", "")
    answer = Client().get(where, **EDGE)
    assert answer.content == b"readers" and is_public(answer)
    assert {"menu", "auth.group"} <= set(answer["X-Edge-ISR-Tags"].split())
    assert fill(response, shared=ask_shared) == "<p>readers</p>"
    assert fill(response) == "<p>none</p>"


def test_everyone_else_gets_it_in_the_page(site, ada):
    client = site(page_of(PAGE))
    for visitor in (Client(), client):
        response = visitor.get("/page/")
        assert response.content == b"<p>readers</p>"
        assert is_public(response)
        assert {"menu", "auth.group"} <= set(response["X-Edge-ISR-Tags"].split())
    client.force_login(ada)
    assert client.get("/page/").content == b"<p>readers</p>"


def test_the_same_for_all_pages(site):
    """So a change is one refetch."""
    client = site(page_of(PAGE))
    one, two = (address(client) for _ in range(2))
    assert one == two


def test_its_lifetime_is_its_own(site):
    @edge_isr.shared("slow", s_maxage=86_400, swr=7)
    def slow():
        return "x"

    client = site(page_of(PAGE.replace("groups", "slow"), s_maxage=60))
    assert "max-age=60" in shell(client)["X-Edge-ISR-Compose"]
    stated = Client().get(address(client))["CDN-Cache-Control"]
    assert "max-age=86400" in stated and "stale-while-revalidate=7" in stated


def test_arguments_are_signed(site):
    client = site(page_of(PAGE.replace('"groups"', '"groups" 1')))
    Group.objects.create(name="writers")
    where = address(client)
    assert Client().get(where).content == b"readers"
    other = shared.address_of("groups", "", (2,))
    head, text, mac = where.rsplit("/", 2)
    forged = [
        f"{head}/{other.split('/')[-2]}/{mac}", f"{head}/{text}/{'a' * 22}", f"{head}/{text}/",
        f"{head}/{text}", f"/_edge_isr/f/secret/{text}/{mac}", where + "/", where + "x",
        where.replace("groups", "Groups"), f"{head}/{text}/{mac[:-1]}é",
    ]  # fmt: skip
    for one in forged:
        assert Client().get(one).status_code == 404, one
    assert Client().post(where).status_code in (404, 405)
    with override_settings(SECRET_KEY="another", SECRET_KEY_FALLBACKS=[]):
        assert Client().get(where).status_code == 404
    from django.conf import settings

    with override_settings(SECRET_KEY="new", SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        assert Client().get(where).content == b"readers"


@pytest.mark.parametrize("name", ["a b", "", "é", 7, "x" * 65])
def test_names(name):
    with pytest.raises(TypeError, match="takes a name"):
        edge_isr.shared(name)


@pytest.mark.parametrize("options", [{"vary": "x"}, {"s_maxage": len}, {"compose": True}])
def test_options(options):
    with pytest.raises(TypeError, match="shared\\(\\) takes no"):
        edge_isr.shared("x", **options)


def test_a_coroutine_makes_none():
    with pytest.raises(TypeError, match="coroutine"):

        @edge_isr.shared("x")
        async def part():
            return ""


@pytest.mark.parametrize("debug", [True, False])
@pytest.mark.parametrize("said", ["'unknown'", "'groups' request", "'groups' 1.5"])
def test_what_is_no_part(site, settings, said, debug, caplog):
    settings.DEBUG = debug
    client = site(page_of("{% load edge_isr %}{% shared " + said + " %}none{% endshared %}"))
    if debug:
        assert client.get("/page/").status_code == 500 and "PartError" in caplog.text
    else:
        assert client.get("/page/").content == b"none"
        assert shell(client).content == b"none"


def test_one_that_fails(site, caplog):
    @edge_isr.shared("groups")
    def broken():
        raise RuntimeError("the database is gone")

    client = site(page_of(PAGE))
    assert client.get("/page/").content == b"<p>none</p>"
    answer = Client(raise_request_exception=False).get(address(client))
    assert answer.status_code == 500 and answer.content == b"" and not is_public(answer)
    assert "the shared part groups failed" in caplog.text


@pytest.mark.parametrize("made", [None, HttpResponse("x")])
def test_one_that_returns_no_text(site, caplog, made):
    edge_isr.shared("groups")(lambda: made)
    assert site(page_of(PAGE)).get("/page/").content == b"<p>none</p>"
    assert "returns text" in caplog.text


def test_text_is_escaped(site):
    edge_isr.shared("groups")(lambda: "<script>")
    client = site(page_of(PAGE))
    assert client.get("/page/").content == b"<p>&lt;script&gt;</p>"
    assert Client().get(address(client)).content == b"&lt;script&gt;"


def test_nothing_of_the_visitor_is_in_it(site, ada):
    """There is no request: no user, no token, no part of theirs."""
    seen = []

    @edge_isr.shared("groups")
    def part():
        source = "{% load edge_isr %}[{{ user }}{{ request }}{% csrf_token %}{{ csp_nonce }}]"
        seen.append((timezone.get_current_timezone_name(), translation.get_language()))
        return engines["django"].from_string(source).render({})

    client = site(page_of(PAGE))
    client.force_login(ada)
    with timezone.override("Asia/Tokyo"):
        assert client.get("/page/").content == b"<p>[]</p>"
    assert Client().get(address(client), HTTP_COOKIE="sessionid=x").content == b"[]"
    assert len(set(seen)) == 1


def test_a_part_of_a_visitor_within_it(site, settings, ada, caplog):
    """It would be everyone's: it is refused where it is written."""
    edge_isr.shared("groups")(
        lambda: engines["django"].from_string("{% load edge_isr %}{% personal 'menu' %}-{% "
                                              "endpersonal %}").render({})
    )  # fmt: skip
    client = site(page_of(PAGE))
    client.force_login(ada)
    assert b"ada" not in client.get("/page/").content
    assert Client().get(address(client)).content in (b"-", b"")
    settings.DEBUG = True
    assert client.get("/page/").status_code == 500 and "PartError" in caplog.text


def test_where_there_are_no_places_it_is_made(site, ada):
    """In what a cache keeps, in a part, in another part."""
    edge_isr.shared("outer")(lambda: engines["django"].from_string(PAGE).render({}))
    edge_isr.personal("part")(
        lambda request: engines["django"].from_string(PAGE).render({}, request)
    )
    for source in (
        "{% load cache %}{% cache 60 x %}[]{% endcache %}".replace("[]", PAGE),
        "{% load edge_isr %}{% edge_fragment 'x' %}[]{% endedge_fragment %}".replace("[]", PAGE),
    ):
        cache.clear()
        client = site(page_of(source))
        for _ in range(2):
            response = shell(client)
            assert response.content == b"<p>readers</p>", source
            assert "shared" not in members(response)
    client = site(page_of(PAGE.replace("groups", "outer")))
    assert client.get("/page/").content == b"<p><p>readers</p></p>"
    assert fill(shell(client), shared=ask_shared) == "<p><p>readers</p></p>"


def test_a_page_that_is_not_composed_has_it(site):
    """… and says what it depends on; it has no placeholder left."""
    rows = {
        "<title>{}</title>": Problem.NOT_IN_HTML,
        "{} {{% csrf_token %}}<!-- {{{{ csrf_token|slice:'2' }}}} -->": Problem.TOKEN_LOST,
        "{{% shared 'groups' %}}{}{{% endshared %}}": Problem.NESTED,
    }
    for source, problem in rows.items():
        client = site(page_of("{% load edge_isr %}" + source.format(PAGE)))
        response = shell(client)
        assert response.wsgi_request.edge_isr.problem is problem, source
        assert members(response) is None and b"eIsR" not in response.content
        assert b"readers" in response.content, source
        if problem is not Problem.TOKEN_LOST:
            assert {"menu", "auth.group"} <= set(response["X-Edge-ISR-Tags"].split())


def test_an_error_page_has_it(site):
    @isr(compose=True, statuses=[404])
    def view(request):
        return HttpResponse(engines["django"].from_string(PAGE).render({}, request), status=404)

    response = shell(site(view))
    assert response.status_code == 404 and response.content == b"<p>readers</p>"
    assert is_public(response) and "auth.group" in response["X-Edge-ISR-Tags"]


def test_a_view_without_composing_has_it(site):
    client = site(page_of(PAGE, compose=False))
    assert shell(client).content == b"<p>readers</p>"


def test_a_rule_that_excludes_the_page(site, edge):
    """No marker leaves in what is passed."""
    edge(RULES=[{"path": "^/page/", "cache": False}])
    source = PAGE + '{% personal "menu" %}Log in{% endpersonal %}{% csrf_token %}'
    response = site(page_of(source)).get("/page/", **EDGE)
    assert b"eIsR" not in response.content and members(response) is None
    assert b"readers" in response.content and b"Log in" in response.content


def test_personal_and_shared_parts_have_numbers_of_their_own(site, ada):
    source = (
        '{% load edge_isr %}{% personal "menu" %}in{% endpersonal %}|'
        '{% shared "groups" %}{% csrf_token %}{% endshared %}|'
        '{% shared "groups" 1 %}{% endshared %}|{% personal "menu" %}{% endpersonal %}|'
        '{% shared "groups" %}{% endshared %}'
    )
    client = site(page_of(source))
    response = shell(client)
    said = members(response)
    found = re.findall(re.escape(said["marker"]) + r"([a-z]\d\d)", response.content.decode())
    assert found == [
        "p00", "e00", "s00", "t00", "e00", "s01", "e01", "p00", "e00", "s00", "e00",
    ]  # fmt: skip
    assert len(said["shared"]) == 2 and said["personal"] == ["menu"]
    got = fill(response, parts={"menu": "M"}, shared=ask_shared)
    assert got == "M|readers|readers|M|readers"


def test_the_language_is_the_pages(site, settings):
    settings.USE_I18N = True
    edge_isr.shared("groups")(lambda: translation.gettext("Monday"))
    client = site(page_of(PAGE))
    with translation.override("de"):
        german = shared.address_of("groups", "de", ())
    assert Client().get(german, HTTP_ACCEPT_LANGUAGE="fr").content == b"Montag"
    answer = client.get("/page/", HTTP_ACCEPT_LANGUAGE="en")
    assert answer.content == b"<p>Monday</p>"
    assert Client().get(address(client), HTTP_ACCEPT_LANGUAGE="fr").content == b"Monday"


def test_addresses_of_the_site_are_found_in_it(site):
    view = page_of(PAGE)
    edge_isr.shared("groups")(lambda: reverse("here"))
    client = site(view, urlpatterns=[path("page/", view, name="here")])
    assert client.get("/page/").content == b"<p>/page/</p>"
    assert Client().get(address(client)).content == b"/page/"


def test_the_origin_secret_is_asked_for(site, edge):
    client = site(page_of(PAGE))
    where = address(client)
    edge(ORIGIN_SECRET="s" * 20)
    from django.conf import settings

    first = "edge_isr.middleware.OriginSecretMiddleware"
    with override_settings(MIDDLEWARE=[first, *settings.MIDDLEWARE]):
        assert Client().get(where).status_code == 403
        assert Client().get(where, HTTP_X_EDGE_ISR_ORIGIN_AUTH="s" * 20).status_code == 200


def test_a_change_is_sent(site):
    client = site(page_of(PAGE))
    where = address(client)
    assert Client().get(where).content == b"readers"
    Group.objects.update(name="writers")
    assert Client().get(where).content == b"writers"


def test_a_template_without_its_request(site):
    """A part is made for mails, too."""
    assert engines["django"].from_string(PAGE).render({}) == "<p>readers</p>"
