"""What a site is notified of composed pages: by checks, the routes' settings, the doctor."""

import json
from io import StringIO

import pytest
from composing import FORM, MENU, page_of
from django.core.management import call_command

from edge_isr import checks, isr

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("menu_part")]


def run(name, *args):
    out = StringIO()
    call_command(name, *args, stdout=out, no_color=True)
    return out.getvalue()


def _passing(get_response):
    return get_response


@pytest.fixture
def unknown(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}._passing"]


def test_routes_are_composed(site):
    site(page_of(FORM))
    routes = json.loads(run("edge_isr_routes"))["routes"]
    assert routes[0] == {"path": "/page/", "compose": True}


@pytest.mark.parametrize("rule", [{}, {"compose": False}, {"compose": True}])
def test_the_workers_route_is_compared(site, worker, rule):
    site(page_of(FORM))
    worker.answer = (200, {"ready": True, "config": {"rules": [{"path": "/page/*", **rule}]}})
    found = [one.msg for one in checks.check_routes()]
    assert (found == []) == (rule == {"compose": True})
    assert all("keep it out of the cache (compose)" in text for text in found)


def test_middlewares_of_which_nothing_is_known(site, edge, unknown):
    site(page_of(FORM))
    [found] = checks.check_gate()
    assert found.id == "edge_isr.W008" and "_passing may refuse it" in found.msg
    for gate in (True, False):
        edge(GATE=gate)
        assert checks.check_gate() == []


def test_only_where_something_is_composed(site, edge, unknown):
    site(isr(lambda request: None))
    assert checks.check_gate() == []
    edge(RULES=[{"path": "^/x/", "compose": True}, {"path": "^/y/", "cache": False}])
    assert len(checks.check_gate()) == 1
    edge(RULES=[], DEFAULTS={"compose": True})
    assert len(checks.check_gate()) == 1


def test_all_of_djangos_are_known(site):
    site(page_of(FORM))
    assert checks.check_gate() == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (FORM, "kept (max-age=300, swr=3600, sie=86400; 1 tags); composed, for every visitor"),
        (MENU, "composed, for every visitor"),
        ("{{ user }}", "visitors without a cookie alone, because it reads user ("),
        ("<title>" + MENU + "</title>", "not composed: a personal part stands in an attribute"),
        (
            "{{ csrf_token|truncatechars:9 }}<p>",
            "not composed: a CSRF token was made and is not in",
        ),
    ],
)
def test_the_doctor(site, edge, source, words):
    edge(ORIGIN_SECRET="s" * 20)
    site(page_of(source))
    printed = run("edge_isr_doctor", "/page/")
    assert words in printed, printed
