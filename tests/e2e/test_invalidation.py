"""Invalidation: what a webhook names is out of date everywhere within the bound, and nothing else
is.
"""

import json
import threading
import time

import httpx
import pytest
from conftest import SEEN_SECONDS
from origin import Reply, page
from stack import TOKENS, signed, wait_until


def stored(edge, origin, path, body="old", tags="", host=None, **more):
    """A page of the cache, and its host as a header."""
    headers = {"host": host} if host else {}
    origin.on(path.split("?")[0], page(body, tags=tags, **more))
    edge.get(path, **headers)
    edge.until_hit(path, **headers)
    return headers


def test_soft_serves_old_at_once_and_new_soon(edge, origin, path, tag):
    stored(edge, origin, path, tags=tag)
    go, waited = threading.Event(), []

    def slow(connection, request):
        waited.append(go.wait(20))
        page("new", tags=tag)(connection, request)

    origin.on(path, slow)
    said = edge.revalidate({"tags": [tag]})
    assert said["epoch"] >= 1 and said["id"]
    # The warm asks the origin without a visitor; until it is done, readers get the old page at
    # once.
    wait_until(lambda: origin.count(path) == 2, 10, "the warm")
    assert origin.requests(path)[1].get("x-edge-isr-warmup") == "1"
    old = edge.get(path)
    assert old.text == "old" and old.hit
    assert waited == [], "the warm is still under way"
    go.set()
    edge.until(lambda answer: answer.text == "new" and answer.hit, path, SEEN_SECONDS + 2)
    assert origin.count(path) == 2


@pytest.mark.parametrize("vary", ["", "Cookie, Accept-Encoding"], ids=["plain", "vary"])
def test_a_warm_and_its_visitors_make_one_refresh(edge, origin, path, tag, vary):
    """Invariant 4: who asks while the warm runs does not fetch a second time after it."""
    fields = [("Vary", vary)] if vary else []
    stored(edge, origin, path, tags=tag, fields=fields)
    began = []

    def slow(connection, request):
        began.append(time.monotonic())
        wait_until(lambda: time.monotonic() - began[0] > 1, 5)
        page("new", tags=tag, fields=fields)(connection, request)

    origin.on(path, slow)
    edge.revalidate({"tags": [tag]})
    edge.until(lambda answer: answer.text == "new" and answer.hit, path, SEEN_SECONDS + 5)
    settled = time.monotonic()
    edge.until(lambda _: time.monotonic() - settled > 2, path)
    # The warm, or the first visitor after the change: whoever had the lease.
    assert len(origin.requests(path)) == 2


def test_soft_is_seen_within_the_bound(edge, origin, path, tag):
    """Without a warm, the view's news alone make the page stale."""
    stored(edge, origin, path, tags=tag)
    origin.on(path, page("new", tags=tag))
    edge.revalidate({"tags": [tag], "warm": False})
    edge.until(lambda answer: answer.text == "new", path, SEEN_SECONDS)


def test_hard_never_serves_old_after_the_bound(edge, origin, path, tag):
    stored(edge, origin, path, tags=tag)
    release = threading.Event()

    def slow(connection, request):
        release.wait(1)
        page("new", tags=tag)(connection, request)

    origin.on(path, slow)
    edge.revalidate({"tags": [tag], "mode": "hard", "warm": False})
    acknowledged = time.monotonic()
    texts = []
    while time.monotonic() - acknowledged < SEEN_SECONDS:
        asked = time.monotonic() - acknowledged
        texts.append((asked, edge.get(path).text))
    assert texts[-1][1] == "new"
    assert [text for asked, text in texts if asked > SEEN_SECONDS - 1 and text == "old"] == []


def test_only_pages_with_the_tag_are_touched(edge, origin, path, tag):
    stored(edge, origin, path, tags=f"{tag} shared:{tag}")
    stored(edge, origin, path + "-other", tags=f"{tag}0 other:{tag}")
    edge.revalidate({"tags": [tag], "mode": "hard", "warm": False})
    origin.on(path, page("new"))
    origin.on(path + "-other", page("new"))
    edge.until(lambda answer: answer.text == "new", path, SEEN_SECONDS)
    other = edge.get(path + "-other")
    assert other.text == "old" and other.hit


def test_a_url_purges_every_variant_and_scheme(edge, origin, path):
    host = {"host": "u.example"}

    def by_language(text):
        def behaviour(connection, request):
            page(
                text + (request.get("accept-language") or ""), fields=[("Vary", "Accept-Language")]
            )(connection, request)

        return behaviour

    origin.on(path, by_language("old-"))
    for language in ("de", "fr"):
        edge.get(path, accept_language=language, **host)
        edge.until_hit(path, accept_language=language, **host)
    origin.on(path, by_language("new-"))
    edge.revalidate({"urls": [f"https://u.example{path}"], "mode": "hard"})
    for language in ("de", "fr"):
        edge.until(
            lambda a: a.text == f"new-{language}",
            path,
            SEEN_SECONDS,
            accept_language=language,
            **host,
        )


def test_a_url_names_its_query_too(edge, origin, path):
    origin.on(path, page("old"))
    for query in ("?a=1", "?a=2"):
        edge.get(path + query, host="q.example")
        edge.until_hit(path + query, host="q.example")
    origin.on(path, page("new"))
    edge.revalidate(
        {"urls": [f"http://q.example{path}?a=1&utm_source=x"], "mode": "hard", "warm": False}
    )
    edge.until(lambda answer: answer.text == "new", path + "?a=1", SEEN_SECONDS, host="q.example")
    assert edge.get(path + "?a=2", host="q.example").text == "old"


def test_a_prefix_ends_at_a_boundary(edge, origin, path):
    host = {"host": "p.example"}
    for below in (f"{path}/blog/one", f"{path}/blogger"):
        stored(edge, origin, below, host="p.example")
        origin.on(below, page("new"))
    edge.revalidate({"prefixes": [f"https://p.example{path}/blog/"], "mode": "hard", "warm": False})
    edge.until(lambda answer: answer.text == "new", f"{path}/blog/one", SEEN_SECONDS, **host)
    assert edge.get(f"{path}/blogger", **host).text == "old"


def test_a_host_is_one_site_of_many(edge, origin, path):
    for host in ("h1.example", "h2.example"):
        stored(edge, origin, path, host=host)
    origin.on(path, page("new"))
    edge.revalidate({"hosts": ["h1.example"], "mode": "hard", "warm": False})
    edge.until(lambda answer: answer.text == "new", path, SEEN_SECONDS, host="h1.example")
    assert edge.get(path, host="h2.example").text == "old"


def test_all_is_all(start_worker, origin, path):
    alone = start_worker(origin.url)
    for below in ("/a", "/b"):
        stored(alone, origin, path + below)
        origin.on(path + below, page("new"))
    alone.revalidate({"all": True, "mode": "hard", "warm": False})
    for below in ("/a", "/b"):
        alone.until(lambda answer: answer.text == "new", path + below, SEEN_SECONDS)


def test_a_fill_that_began_before_its_purge_is_out_of_date(edge, origin, path, tag):
    """Invariant 2: the slow render of old data is stored after the purge, and seen as old."""
    arrived, finish = threading.Event(), threading.Event()

    def slow(connection, request):
        arrived.set()
        finish.wait(10)
        page("rendered from old data", tags=tag)(connection, request)

    origin.on(path, slow)
    visitor = threading.Thread(target=lambda: httpx.get(edge.url + path))
    visitor.start()
    assert arrived.wait(5)
    origin.on(path, page("new", tags=tag))
    edge.revalidate({"tags": [tag], "mode": "hard", "warm": False})
    finish.set()
    visitor.join(10)
    edge.until(lambda answer: answer.text == "new", path, SEEN_SECONDS)
    assert edge.get(path).text == "new"


def test_the_same_webhook_twice_is_once(edge, origin, path, tag):
    command = {"tags": [tag], "mode": "soft"}
    first = edge.revalidate(command, message_id=f"msg_{tag}")
    again = edge.revalidate(command, message_id=f"msg_{tag}")
    assert (again["epoch"], again["id"]) == (first["epoch"], first["id"])
    body, headers = signed({**command, "mode": "hard"}, message_id=f"msg_{tag}")
    conflict = edge.post("/__isr/v1/revalidate", body, headers)
    assert conflict.status == 409
    assert conflict.headers["content-type"] == "application/problem+json"
    assert edge.revalidate(command)["epoch"] > first["epoch"]


def known(edge, tag, pages):
    """Waits for the index: a page is served from the cache before its record has arrived there."""

    def listed():
        return len(json.loads(edge.control(f"/__isr/v1/tags/{tag}/pages").text)["pages"]) == pages

    wait_until(listed, 10, "the index")


def test_a_dry_run_changes_nothing(edge, origin, path, tag):
    stored(edge, origin, path, tags=tag)
    known(edge, tag, 1)
    before = edge.revalidate({"tags": [f"{tag}-unused"], "warm": False})["epoch"]
    said = edge.revalidate({"tags": [tag], "dry_run": True})
    assert said["pages"] == 1
    assert edge.revalidate({"tags": [f"{tag}-unused"], "warm": False})["epoch"] == before + 1
    assert edge.get(path).hit and origin.count(path) == 1


def test_the_answer_counts_the_pages(edge, origin, path, tag):
    for number in range(3):
        stored(edge, origin, f"{path}/{number}", tags=tag)
    known(edge, tag, 3)
    said = edge.revalidate({"tags": [tag], "wait_ms": 5000})
    assert said["pages"] == 3
    for number in range(3):
        wait_until(lambda: origin.count(f"{path}/{number}") == 2, 10, "the warms")


def test_a_job_ends_as_done(edge, origin, path, tag):
    stored(edge, origin, path, tags=tag)
    known(edge, tag, 1)
    job = edge.revalidate({"tags": [tag]})["id"]

    def done():
        answer = edge.control(f"/__isr/v1/jobs/{job}")
        assert answer.status == 200, answer
        said = json.loads(answer.text)
        return said if said.get("done") == 1 else None

    said = wait_until(done, 10, "the job's end")
    assert not said.get("queued") and not said.get("running") and not said.get("failed")


def test_a_failing_warm_is_shown_with_its_reason(start_worker, origin, path, tag):
    alone = start_worker(origin.url, config={"warm_attempts": 1, "origin_timeout": 2})
    stored(alone, origin, path, tags=tag)
    origin.on(path, Reply(b"broken", status=500))
    job = alone.revalidate({"tags": [tag]})["id"]
    failed = alone_failed(alone, job)
    assert "500" in json.dumps(failed)
    # And the old page is still there for readers.
    assert alone.get(path).text == "old"


def alone_failed(edge, job):
    """The job's progress, once a warm of it has failed."""

    def failed():
        said = json.loads(edge.control(f"/__isr/v1/jobs/{job}").text)
        return said if said.get("failed") else None

    return wait_until(failed, 15, "the failure")


def test_both_maps_can_be_read(edge, origin, path, tag):
    stored(edge, origin, path, tags=f"{tag} second:{tag}", host="m.example")
    by_tag = edge.control(f"/__isr/v1/tags/{tag}/pages")
    assert by_tag.status == 200 and path in by_tag.text
    by_url = edge.control(f"/__isr/v1/pages?url=http://m.example{path}")
    assert by_url.status == 200 and f"second:{tag}" in by_url.text


def test_a_refill_without_tags_keeps_the_known_ones(edge, origin, path, tag):
    stored(edge, origin, path, tags=tag)
    origin.on(path, page("second"))
    edge.revalidate({"tags": [tag]})
    edge.until(lambda answer: answer.text == "second" and answer.hit, path, SEEN_SECONDS + 2)
    origin.on(path, page("third"))
    edge.revalidate({"tags": [tag]})
    edge.until(lambda answer: answer.text == "third", path, SEEN_SECONDS + 2)


def test_a_purge_of_ten_thousand_targets(edge, origin, path, tag):
    stored(edge, origin, path, tags=f"{tag}-9999")
    origin.on(path, page("new"))
    edge.revalidate(
        {"tags": [f"{tag}-{number}" for number in range(10_000)], "mode": "hard", "warm": False}
    )
    edge.until(lambda answer: answer.text == "new", path, SEEN_SECONDS)


def test_health_needs_no_token(edge):
    answer = edge.get("/__isr/healthz")
    assert answer.status == 200, answer
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text == '{"ready":true}'
    assert json.loads(edge.control("/__isr/healthz").text)["config"]
    assert edge.get("/__isr/healthz", authorization="Bearer nobodys").status == 401


def test_metrics_need_a_token(edge):
    assert edge.get("/__isr/metrics").status == 401
    for view, kind in [("", "application/openmetrics-text"), ("?isolate", "text/plain")]:
        metrics = edge.control("/__isr/metrics" + view)
        assert metrics.status == 200
        assert metrics.headers["content-type"].startswith(kind)
        assert "# TYPE" in metrics.text
    assert edge.get("/__isr/v1/stats").status == 401


@pytest.mark.slow
def test_the_sites_figures_are_what_visitors_did(edge, origin, path, tag):
    """An isolate reports to the journal once a minute, with a request that comes then."""
    stored(edge, origin, path, tags=tag)

    def shown():
        stats = json.loads(edge.control("/__isr/v1/stats?by=result&from=1").text)
        return stats["totals"].get("hit", {"requests": 0})["requests"]

    def hits(times):
        for _ in range(times):
            assert edge.get(path).hit

    before = shown()
    hits(30)
    # What other tests asked meanwhile is reported too: no fewer, and all of it in the scrape.
    wait_until(lambda: hits(1) or shown() >= before + 30, 90, "the report", 2)
    scrape = edge.control("/__isr/metrics").text
    line = next(
        line
        for line in scrape.splitlines()
        if line.startswith('edge_isr_requests_total{result="hit"}')
    )
    assert int(line.rsplit(" ", 1)[1]) >= before + 30
    assert scrape.endswith("# EOF\n")


def test_a_token_may_revalidate_without_a_signature(edge, origin, path, tag):
    stored(edge, origin, path, tags=tag)
    body = json.dumps({"tags": [tag]}).encode()
    operator = {
        "authorization": f"Bearer {TOKENS['operator'][1]}",
        "content-type": "application/json",
    }
    assert edge.post("/__isr/v1/revalidate", body, operator).status == 202
    reader = {**operator, "authorization": f"Bearer {TOKENS['reader'][1]}"}
    assert edge.post("/__isr/v1/revalidate", body, reader).status == 403


def test_a_job_tells_refetches_that_brought_nothing_new(edge, origin, path, tag):
    """Of three pages of a tag one shows something else after the change."""
    pages = [f"{path}{n}/" for n in range(3)]
    for page_path in pages:
        stored(edge, origin, page_path, tags=tag)
    origin.on(pages[0], page("new", tags=tag))
    job = edge.revalidate({"tags": [tag]})["id"]

    def progress():
        return json.loads(edge.control(f"/__isr/v1/jobs/{job}").text)

    wait_until(lambda: progress()["done"] == 3, 15, "the job")
    shown = progress()
    assert (shown["total"], shown["changed"], shown["unchanged"]) == (3, 1, 2), shown
    listed = json.loads(edge.control(f"/__isr/v1/tags/{tag}/pages").text)["pages"]
    assert sum(row["changed"] for listing in listed for row in listing["variants"]) == 1
    assert sum(row["unchanged"] for listing in listed for row in listing["variants"]) == 2
