"""Warms of many pages: by tag and by sitemap, through crashes of everything at any moment."""

import gzip
import json
import threading

import pytest
from origin import Origin, Reply, page
from stack import TOKENS, wait_until

PAGES = 120
HOST = "warm.example"


@pytest.fixture
def persist(tmp_path):
    """Where a worker keeps its state over restarts."""
    return tmp_path / "state"


@pytest.fixture
def own():
    """An origin of the test's own."""
    server = Origin()
    yield server
    server.refuse()


def order(edge, command):
    """A call to warm; the job's id."""
    headers = {
        "authorization": f"Bearer {TOKENS['operator'][1]}",
        "content-type": "application/json",
    }
    answer = edge.post("/__isr/v1/warm", json.dumps(command).encode(), headers)
    assert answer.status == 202, answer
    return json.loads(answer.text)["id"]


def job(edge, name):
    """A job's progress."""
    answer = edge.control(f"/__isr/v1/jobs/{name}")
    assert answer.status == 200, answer
    return json.loads(answer.text)


def ended(edge, name, timeout=90):
    """A job's progress once nothing is left to do."""

    def look():
        said = job(edge, name)
        return said if said["complete"] and said["queued"] + said["running"] == 0 else None

    return wait_until(look, timeout, "the job's end", interval=0.1)


def paths(path, count=PAGES):
    """Paths of a test's pages."""
    return [f"{path}/{number}" for number in range(count)]


def filled(edge, origin, tag, path):
    """A site of many pages with one tag, all of them known to the index."""
    for each in paths(path):
        origin.on(each, page("old", tags=tag))
        assert edge.get(each, host=HOST).text == "old"
    tags = f"/__isr/v1/tags/{tag}/pages?limit=1000"
    wait_until(lambda: len(json.loads(edge.control(tags).text)["pages"]) == PAGES, 20, "the index")


def assert_warmed(edge, origin, path, before):
    """Each page was fetched for the epoch, and is served without the origin."""
    for each in paths(path):
        warms = [r for r in origin.requests(each)[before:] if r.get("x-edge-isr-warmup") == "1"]
        assert warms, f"{each} was never warmed"
        asked = origin.count(each)
        answer = edge.until(lambda a: a.text == "new" and a.hit, each, 10, host=HOST)
        assert answer.text == "new" and origin.count(each) == asked, each


# How many pages the origin has answered when everything dies; none: right after the
# acknowledgement.
@pytest.mark.parametrize("answered", [None, 0, 1, 40, 100])
def test_a_kill_in_the_middle_of_a_warm_loses_no_page(
    start_worker, own, persist, path, tag, answered
):
    config = {"new_keys_per_second": 10_000, "warm_rate": 10_000, "origin_timeout": 5}
    first = start_worker(own.url, persist=persist, config=config)
    filled(first, own, tag, path)
    count, lock, dead = [0], threading.Lock(), threading.Event()

    def counting(connection, request):
        with lock:
            if answered is not None and count[0] >= answered:
                hold = True
            else:
                count[0] += 1
                hold = False
        if hold:
            dead.wait(30)
        page("new", tags=tag)(connection, request)

    for each in paths(path):
        own.on(each, counting)
    name = first.revalidate({"tags": [tag]})["id"]
    if answered is not None:
        # The next ones are under way, and held.
        wait_until(
            lambda: sum(own.count(each) for each in paths(path)) > PAGES + answered, 30, "the warms"
        )
    first.worker.process.kill()
    for each in paths(path):
        own.on(each, page("new", tags=tag))
    dead.set()

    second = start_worker(own.url, persist=persist, config=config)
    said = ended(second, name)
    assert (said["done"], said["failed"], said["superseded"]) == (PAGES, 0, 0), said
    assert_warmed(second, own, path, 1)


def test_kills_again_and_again_until_all_is_done(start_worker, own, persist, path, tag):
    config = {"new_keys_per_second": 10_000, "warm_rate": 60, "warm_attempts": 20}
    edge = start_worker(own.url, persist=persist, config=config)
    filled(edge, own, tag, path)
    for each in paths(path):
        own.on(each, page("new", tags=tag))
    name = edge.revalidate({"tags": [tag]})["id"]
    for kill in range(1, 4):
        seen = PAGES + 25 * kill
        wait_until(
            lambda: sum(own.count(each) for each in paths(path)) >= seen,
            60,
            f"warms before kill {kill}",
        )
        edge.worker.process.kill()
        edge = start_worker(own.url, persist=persist, config=config)
    said = ended(edge, name)
    assert (said["done"], said["failed"]) == (PAGES, 0), said
    assert_warmed(edge, own, path, 1)


def moving(edge):
    """Whether health says that pages are on their way to other shards."""
    notes = json.loads(edge.control("/__isr/healthz").text)["notes"]
    return any(note["reason"] == "resharding" for note in notes)


@pytest.mark.slow
def test_pages_go_to_their_new_shards_when_their_number_changes_and_back(
    start_worker, own, persist, path, tag
):
    config = {"new_keys_per_second": 10_000, "warm_rate": 10_000, "origin_timeout": 5}
    edge = start_worker(own.url, persist=persist, config={**config, "shards": 2})
    filled(edge, own, tag, path)
    asked = 1
    for shards in (3, 2):
        edge.worker.stop()
        edge = start_worker(own.url, persist=persist, config={**config, "shards": shards})
        changed = edge
        wait_until(lambda: moving(changed), 20, "the journal's notice")
        wait_until(lambda: not moving(changed), 90, "the pages' end", interval=0.5)
        tags = f"/__isr/v1/tags/{tag}/pages?limit=1000"
        listed = [found["url"] for found in json.loads(edge.control(tags).text)["pages"]]
        assert sorted(listed) == sorted(f"http://{HOST}{each}" for each in paths(path))
        assert all(own.count(each) == asked for each in paths(path)), "nothing is refetched for it"
        for each in paths(path):
            own.on(each, page("new", tags=tag))
        said = ended(edge, edge.revalidate({"tags": [tag]})["id"])
        assert (said["done"], said["total"], said["failed"]) == (PAGES, PAGES, 0), said
        asked += 1
        assert all(own.count(each) == asked for each in paths(path))
    assert_warmed(edge, own, path, 1)


def urlset(locations):
    """A sitemap."""
    entries = "".join(f"<url><loc>{location}</loc></url>" for location in locations)
    name = "http://www.sitemaps.org/schemas/sitemap/0.9"
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f'{head}\n<urlset xmlns="{name}">{entries}</urlset>\n'.encode()


def xml(body):
    """A sitemap as an origin sends it."""
    return Reply(body, [("Content-Type", "application/xml")])


def test_a_sitemap_index_with_plain_and_packed_files(start_worker, own, path):
    edge = start_worker(own.url, config={"warm_rate": 10_000})
    every = paths(path, 300)
    for each in every:
        own.on(each, page("warm"))
    locations = [f"http://{HOST}{each}" for each in every]
    files = {
        f"{path}/plain.xml": xml(urlset(locations[:100])),
        f"{path}/packed.xml.gz": Reply(
            gzip.compress(urlset(locations[100:200])), [("Content-Type", "application/gzip")]
        ),
        f"{path}/coded.xml": Reply(
            gzip.compress(urlset(locations[200:])), [("Content-Encoding", "gzip")]
        ),
        f"{path}/torn.xml.gz": Reply(
            gzip.compress(urlset(locations))[:-40], [("Content-Type", "application/gzip")]
        ),
        f"{path}/feed.xml": xml(b"<html/>"),
    }
    entries = "".join(f"<sitemap><loc>http://{HOST}{name}</loc></sitemap>" for name in files)
    own.on(f"{path}/index.xml", xml(f"<sitemapindex>{entries}</sitemapindex>".encode()))
    for name, reply in files.items():
        own.on(name, reply)
    name = order(edge, {"sitemap": f"http://{HOST}{path}/index.xml"})
    said = wait_until(
        lambda: (j := job(edge, name))["done"] == 300 and j["failures"] and j, 60, "the pages"
    )
    assert [failure["url"] for failure in said["failures"]] == [f"http://{HOST}{path}/feed.xml"]
    assert said["failures"][0]["reason"].startswith("sitemap-other-root <html>")
    for each in every:
        assert own.count(each) == 1
    answer = edge.get(every[150], host=HOST)
    assert (answer.text, own.count(every[150])) == ("warm", 1), answer
    # A torn file may be whole the next time: it is tried again, and meanwhile lists nothing.
    own.on(f"{path}/torn.xml.gz", files[f"{path}/packed.xml.gz"])
    said = ended(edge, name)
    assert (said["failed"], own.count(every[250])) == (1, 1), said


@pytest.mark.parametrize("moment", ["read", "handed out"])
def test_a_kill_in_the_middle_of_an_import_loses_no_page(start_worker, own, persist, path, moment):
    config = {"warm_rate": 10_000, "origin_timeout": 20, "warm_attempts": 20}
    first = start_worker(own.url, persist=persist, config=config)
    every = paths(path, 250)
    sitemap = urlset([f"http://{HOST}{each}" for each in every])
    dead = threading.Event()

    def torn(connection, request):
        connection.head(200, [("Content-Length", len(sitemap))])
        connection.send(sitemap[: len(sitemap) // 2])
        dead.wait(30)

    for each in every:
        own.on(each, page("warm"))
    name = f"{path}/sitemap.xml"
    own.on(name, torn if moment == "read" else xml(sitemap))
    if moment == "handed out":
        own.on(every[0], lambda connection, request: dead.wait(30))
    ordered = order(first, {"sitemap": f"http://{HOST}{name}"})
    if moment == "read":
        wait_until(lambda: own.count(name) == 1, 20, "the sitemap")
    else:
        wait_until(lambda: sum(own.count(each) for each in every) >= 20, 30, "the first pages")
    first.worker.process.kill()
    own.on(name, xml(sitemap))
    own.on(every[0], page("warm"))
    dead.set()
    second = start_worker(own.url, persist=persist, config=config)
    said = ended(second, ordered)
    assert (said["failed"], said["done"] >= 250) == (0, True), said
    assert all(own.count(each) >= 1 for each in every)
