"""Several colos for real: three runtimes, each with its own memory and its own cache, that share
one journal, one set of shards and one L2. `ams` has what they share; calls of the others are
carried to it by HTTP (colo_worker.mjs).
"""

import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from conftest import Edge
from origin import page
from stack import ROOT, TOKENS, WEBHOOK_SECRET, Process, free_port, signed, wait_until

HOST = "www.example.test"
MAX_LAG_SECONDS = 1
LOST_LIMIT_SECONDS = 4
CONFIG = {
    "max_lag": MAX_LAG_SECONDS,
    "sync_interval": 0.5,
    "journal_lost_limit": LOST_LIMIT_SECONDS,
    "origin_timeout": 5,
    "new_keys_per_second": 10_000,
}
COLOS = ("ams", "fra", "sin")


class Colo(Edge):
    """One colo, on one port for as long as it is restarted."""

    def __init__(self, name, directory, origin, home=None):
        self.name, self.directory, self.origin, self.home = name, directory, origin, home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def begin(self, later=False, config=None):
        """Starts its runtime. A later version's messages have fields that this version does not
        know.
        """
        bindings = {
            "ORIGIN": self.origin.url,
            "EDGE_ISR": {**CONFIG, **(config or {})},
            "WEBHOOK_SECRETS": WEBHOOK_SECRET,
            "TOKENS": " ".join(
                f"{name}:{scopes}:{value}" for name, (scopes, value) in TOKENS.items()
            ),
            **({"HOME": self.home.url} if self.home else {}),
            **({"LATER": "yes"} if later else {}),
        }
        given = {
            "around": str(ROOT / "tests/e2e/colo_worker.mjs"),
            "bindings": bindings,
            "build": os.environ.get("EDGE_ISR_BUILD", str(ROOT / "build")),
            "persist": str(self.directory / self.name),
            "port": self.port,
        }
        arguments = [
            ROOT / "node_modules/.bin/node",
            ROOT / "tests/e2e/wrapped.mjs",
            json.dumps(given),
        ]
        log = self.directory / f"{self.name}-{time.monotonic_ns()}.log"
        self.process = Process(self.name, arguments, log)

    def ready(self):
        """Waits until it serves, with new connections."""
        said = re.compile(r"^ready$", re.MULTILINE)
        self.process.wait_for(lambda: said.search(self.process.output()), 60, "ready")
        super().__init__(self)

    def start(self, **options):
        """Starts it, and waits until it serves."""
        self.begin(**options)
        self.ready()

    def cut(self, *what):
        """Cuts it off from these, until it is called again."""
        response = httpx.post(f"{self.url}/__colos/cut", params=[("from", one) for one in what])
        assert response.status_code == 204, response

    def get(self, path, **headers):
        """GET of a page of the site, whose host is the same everywhere."""
        return super().get(path, host=HOST, **headers)

    def alone(self, path):
        """GET on a connection of its own, for one of several at once."""
        with self.visitor() as client:
            return self.request("GET", path, {"host": HOST}, client)


@pytest.fixture(scope="module")
def world(tmp_path_factory, origin):
    """The three colos, by name."""
    directory = tmp_path_factory.mktemp("colos")
    colos = {"ams": Colo("ams", directory, origin)}
    colos.update({name: Colo(name, directory, origin, colos["ams"]) for name in COLOS[1:]})
    yield colos
    for colo in colos.values():
        colo.process.kill()


@pytest.fixture
def colos(world):
    """The three colos, of one version and connected."""
    yield list(world.values())
    for colo in world.values():
        assert colo.process.alive(), colo.process.tail()
        colo.cut()


def restarted(*colos, **options):
    """Other runtimes in their places, as after a crash of the machine."""
    for colo in colos:
        colo.process.kill()
        colo.begin(**options)
    for colo in colos:
        colo.ready()


def stored_everywhere(colos, origin, path, tag, body="old", **more):
    """A page that each colo has."""
    origin.on(path, page(body, tags=tag, **more))
    for colo in colos:
        colo.get(path)
        colo.until_hit(path)


def all_at_once(colos, path, each):
    """What readers in all colos get who ask at the same time."""
    with ThreadPoolExecutor(len(colos) * each) as pool:
        return list(pool.map(lambda colo: colo.alone(path), list(colos) * each))


def none_after(colos, path, word, moment, until):
    """No colo answers with a word to who asks from a moment on; asked until another one."""
    asked = []
    while time.monotonic() < until:
        for colo in colos:
            began = time.monotonic()
            asked.append((began > moment, colo.name, colo.get(path)))
    late = [(name, answer) for after, name, answer in asked if after]
    assert {name for name, _ in late} == {colo.name for colo in colos}, (
        "each was asked after the bound"
    )
    assert [(name, answer) for name, answer in late if word in answer.text] == []


@pytest.mark.parametrize("where", COLOS)
def test_an_acknowledged_invalidation_is_seen_everywhere_within_max_lag(
    world, colos, origin, path, tag, where
):
    stored_everywhere(colos, origin, path, tag)
    assert origin.count(path) == 1, "one colo fetched it, the others have it from L2"
    origin.on(path, page("new", tags=tag))
    world[where].revalidate({"tags": [tag], "mode": "hard", "warm": False})
    bound = time.monotonic() + MAX_LAG_SECONDS
    none_after(colos, path, "old", bound, bound + 0.5)
    assert {colo.get(path).text for colo in colos} == {"new"}
    assert origin.count(path) == 2, "and one of them fetched it anew"


def test_one_fetch_in_the_world_of_a_cold_page(colos, origin, path, tag):
    def slow(connection, request):
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 0.7, 5)
        page("cold", tags=tag)(connection, request)

    origin.on(path, slow)
    answers = all_at_once(colos, path, 5)
    assert {answer.text for answer in answers} == {"cold"}
    assert origin.count(path) == 1


def test_one_refresh_in_the_world(colos, origin, path, tag):
    """A warm and readers in three colos, while the origin takes its time."""
    stored_everywhere(colos, origin, path, tag)
    go = threading.Event()

    def slow(connection, request):
        go.wait(10)
        page("new", tags=tag)(connection, request)

    origin.on(path, slow)
    colos[1].revalidate({"tags": [tag]})
    seen = time.monotonic() + MAX_LAG_SECONDS
    wait_until(lambda: time.monotonic() > seen, 5)
    answers = all_at_once(colos, path, 5)
    assert {answer.text for answer in answers} == {"old"}, "who asks meanwhile waits for nobody"
    go.set()
    for colo in colos:
        colo.until(lambda answer: answer.text == "new" and answer.hit, path)
    assert origin.count(path) == 2


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_a_fill_that_began_before_a_purge_never_shows_in_another_colo(
    colos, origin, path, tag, mode
):
    ams, fra, sin = colos
    go = threading.Event()

    def slow(connection, request):
        go.wait(10)
        page("old", tags=tag)(connection, request)

    origin.on(path, slow)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(fra.alone, path)
        wait_until(lambda: origin.count(path) == 1, 5, "the fill is under way")
        origin.on(path, page("new", tags=tag))
        sin.revalidate({"tags": [tag], "mode": mode, "warm": False})
        bound = time.monotonic() + MAX_LAG_SECONDS
        wait_until(lambda: time.monotonic() > bound, 5)
        go.set()
        assert first.result().text == "old", "its reader asked before the purge"
    none_after([ams, sin], path, "old", bound, time.monotonic() + 0.7)
    fra.until(lambda answer: answer.text == "new", path)


def test_a_colo_that_is_cut_off_from_the_journal(colos, origin, path, tag):
    """Stale for `journal_lost_limit`, then after validation; an error never, and others don't
    notice.
    """
    ams, fra, sin = colos
    later = f"{path}/later"
    for each in (path, later):
        stored_everywhere(colos, origin, each, tag)
        origin.on(each, page("new", tags=tag))
    fra.cut("JOURNAL")
    limit = time.monotonic() + LOST_LIMIT_SECONDS
    refused = fra.post("/__isr/v1/revalidate", *signed_purge(tag))
    assert refused.status == 503 and "not-recorded" in refused.text
    ams.revalidate({"tags": [tag], "mode": "hard", "warm": False})
    bound = time.monotonic() + MAX_LAG_SECONDS
    none_after([ams, sin], path, "old", bound, bound + 0.3)
    stale = fra.get(path)
    assert stale.text == "old" and stale.cache["detail"] == "journal-unreachable", stale
    fra.until(lambda answer: answer.text == "new", path, what="a refresh that its reader began")
    assert fra.request("GET", "/__isr/healthz").status == 200
    wait_until(lambda: time.monotonic() > limit, 10)
    validated = fra.get(later)
    assert validated.text == "new" and validated.cache["detail"] == "journal-unreachable", validated
    assert fra.request("GET", "/__isr/healthz").status == 503

    fra.cut()
    for each in (path, later):
        fra.until(
            lambda answer: answer.text == "new" and answer.hit and "detail" not in answer.cache,
            each,
        )
    assert fra.request("GET", "/__isr/healthz").status == 200


def signed_purge(tag):
    """The body and the fields of a hard purge."""
    return signed({"tags": [tag], "mode": "hard", "warm": False})


def test_a_colo_that_is_cut_off_from_shards_and_l2(colos, origin, path, tag):
    """Its pages stay in it, and what is invalidated is seen there as everywhere."""
    ams, fra, _ = colos
    fra.cut("SHARDS", "PAGES")
    origin.on(path, page("old", tags=tag))
    assert fra.get(path).cache.get("detail") in ("index-unreachable", "lease-timeout")
    fra.until_hit(path)
    origin.on(path, page("new", tags=tag))
    ams.revalidate({"tags": [tag], "mode": "hard", "warm": False})
    bound = time.monotonic() + MAX_LAG_SECONDS
    none_after([fra, ams], path, "old", bound, bound + 0.3)


def test_two_versions_side_by_side(colos, origin, path, tag):
    """A later version in one colo, then in the objects: messages of both have what the other does
    not know.
    """
    ams, fra, sin = colos
    stored_everywhere(colos, origin, path, tag)
    restarted(sin, later=True)
    assert sin.get(path).text == "old", "from L2, as the version before put it there"
    assert origin.count(path) == 1

    def purged(word, by):
        origin.on(path, page(word, tags=tag))
        before = origin.count(path)
        by.revalidate({"tags": [tag], "mode": "hard", "warm": False})
        bound = time.monotonic() + MAX_LAG_SECONDS
        wait_until(lambda: time.monotonic() > bound, 5)
        assert {answer.text for answer in all_at_once(colos, path, 3)} == {word}
        assert origin.count(path) == before + 1

    purged("by the later", sin)
    purged("by the earlier", fra)
    restarted(ams, later=True)
    purged("of later objects", fra)
    restarted(ams, sin)
    purged("after the way back", sin)


def test_two_numbers_of_shards_side_by_side(colos, origin, path, tag):
    """In the seconds of a gradual deployment: refetches are allowed, what is old is not."""
    ams, fra, sin = colos
    stored_everywhere(colos, origin, path, tag)
    restarted(sin, config={"shards": 3})
    assert sin.get(path).text == "old"
    for word, by in (("one", sin), ("two", fra)):
        before = page(word, tags=tag)
        origin.on(path, before)
        answers = [colo.get(path) for colo in colos]
        assert {answer.status for answer in answers} == {200}
        old = answers[0].text
        by.revalidate({"tags": [tag], "mode": "hard", "warm": False})
        bound = time.monotonic() + MAX_LAG_SECONDS
        none_after(colos, path, old, bound, bound + 0.3)
    restarted(sin)


def test_a_colo_is_killed_while_it_fetches(colos, origin, path, tag):
    """Its lease ends by itself; nobody gets an error, and what it knew is known afterwards."""
    ams, fra, sin = colos
    never = threading.Event()
    origin.on(path, lambda connection, request: never.wait(20))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sin.alone, path)
        wait_until(lambda: origin.count(path) == 1, 5, "the fill is under way")
        origin.on(path, page("page", tags=tag))
        sin.process.kill()
        with pytest.raises(httpx.HTTPError):
            first.result()
    never.set()
    sin.begin()
    answers = all_at_once([ams, fra], path, 3)
    assert {(answer.status, answer.text) for answer in answers} == {(200, "page")}
    sin.ready()
    assert sin.get(path).text == "page"
    fra.revalidate({"tags": [tag], "mode": "hard", "warm": False})
    origin.on(path, page("new", tags=tag))
    bound = time.monotonic() + MAX_LAG_SECONDS
    none_after(colos, path, "page", bound, bound + 0.3)


def test_the_colo_with_the_objects_is_killed(colos, origin, path, tag):
    """What was acknowledged before is seen after; meanwhile others serve, and refuse to record."""
    ams, fra, sin = colos
    stored_everywhere(colos, origin, path, tag)
    cold = f"{path}/cold"
    origin.on(cold, page("cold", tags=tag))
    origin.on(path, page("new", tags=tag))
    ams.revalidate({"tags": [tag], "mode": "hard", "warm": False})
    ams.process.kill()
    acknowledged = time.monotonic()
    for colo in (fra, sin):
        assert colo.get(cold).text == "cold"
        assert colo.get(path).status == 200
        assert colo.post("/__isr/v1/revalidate", *signed_purge(tag)).status == 503
    ams.start()
    bound = acknowledged + LOST_LIMIT_SECONDS
    wait_until(lambda: time.monotonic() > bound, 10)
    for colo in colos:
        assert colo.get(path).text == "new", colo.name
        colo.until(lambda answer: answer.hit and "detail" not in answer.cache, path)
    origin.on(path, page("newer", tags=tag))
    sin.revalidate({"tags": [tag], "mode": "hard", "warm": False})
    bound = time.monotonic() + MAX_LAG_SECONDS
    none_after(colos, path, "old", bound, bound + 0.3)
    assert {colo.get(path).text for colo in colos} == {"newer"}
