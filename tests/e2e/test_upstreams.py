"""Caches before the edge: what the worker tells them of invalidations, on the real runtime, against servers on loopback
that answer as the providers say they do, or fail in every way."""

import json
import socket
import struct
import threading

import httpx
import pytest
from origin import Origin, Reply, page
from stack import WEBHOOK_SECRET, Worker, free_port, signed, wait_until

ZONE, HOOK = "/client/v4/zones/z1/purge_cache", "/hook"
# Cloudflare's documented answers.
DONE = Reply(b'{"success":true,"errors":[],"messages":[],"result":{"id":"z1"}}', [("Content-Type", "application/json")])
WRONG_TOKEN = Reply(
    b'{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],"result":null}',
    [("Content-Type", "application/json")],
    status=401,
)
LIMITED = Reply(
    b'{"success":false,"errors":[{"code":1134,"message":"Unable to purge, rate limit reached."}]}',
    [("Content-Type", "application/json"), ("Retry-After", "6")],
    status=429,
)


def settings(url):
    """One upstream that fails as a test wants, and one that never does."""
    cloudflare = {"provider": "cloudflare", "zone": "z1", "url": f"{url}/client/v4", "tags": True}
    hook = {"name": "hook", "provider": "webhook", "url": url + HOOK}
    return {"max_lag": 1, "upstreams": [{"name": "cdn", **cloudflare}, hook]}


SECRETS = ["--upstream-secret", "cdn:cdn-secret", "--upstream-secret", "hook:hook-secret"]


@pytest.fixture
def upstream():
    """A recording server that speaks for both."""
    server = Origin()
    server.on(ZONE, DONE)
    server.on(HOOK, Reply(b"{}"))
    yield server
    server.refuse()


@pytest.fixture
def edge(start_worker, origin, upstream):
    """A worker behind both."""
    return start_worker(origin.url, config=settings(upstream.url), extra=SECRETS)


def bodies(upstream, path=ZONE):
    return [json.loads(request.body) for request in upstream.requests(path)]


def test_both_are_told_with_their_secrets_once_all_isolates_see_it(edge, origin, upstream, path, tag):
    origin.on(path, page("body", tags=f"{tag} other"))
    edge.get(path)
    assert edge.until_hit(path).headers["cache-tag"] == f"other,{tag}"
    edge.revalidate({"tags": [tag], "urls": ["https://a.example/x/"]})
    edge.revalidate({"tags": [tag], "mode": "hard"})
    wait_until(lambda: len(bodies(upstream)) >= 2, 15, "Cloudflare is told")
    assert bodies(upstream)[:2] == [{"tags": [tag]}, {"prefixes": ["a.example/x"]}]
    first = upstream.requests(ZONE)[0]
    assert (first.method, first.get("authorization")) == ("POST", "Bearer cdn-secret")
    assert first.get("content-type") == "application/json"
    # In one call or in two, by when the second invalidation came.
    wait_until(lambda: "hard" in [told["mode"] for told in bodies(upstream, HOOK)], 15, "the webhook")
    hook = upstream.requests(HOOK)[0]
    assert hook.get("authorization") == "Bearer hook-secret"
    assert json.loads(hook.body)["tags"] == [tag]
    assert json.loads(hook.body)["urls"] == ["https://a.example/x/"]


def reset(connection, request):
    """Ends the connection with a reset."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sock.close()
    raise OSError


def fails(upstream, how, release):
    behaviours = {
        "401": WRONG_TOKEN,
        "429": LIMITED,
        "500": Reply(b"", status=500),
        "reset": reset,
        "hang": lambda connection, request: release.wait(60),
    }
    upstream.on(ZONE, behaviours[how])


REASONS = {
    "401": "credentials-refused", "429": "rate-limited", "500": "server-error", "reset": "unreachable",
    "hang": "unreachable",
}  # fmt: skip


@pytest.mark.parametrize("how", REASONS)
def test_a_failure_is_loud_and_holds_up_nothing_else(edge, origin, upstream, path, tag, how):
    release = threading.Event()
    fails(upstream, how, release)
    origin.on(path, page("old", tags=tag))
    edge.get(path)
    edge.until_hit(path)
    origin.on(path, page("new", tags=tag))
    told = edge.revalidate({"tags": [tag]})
    edge.until(lambda answer: answer.text == "new" and answer.hit, path)
    assert wait_until(lambda: upstream.requests(HOOK), 15, "the other upstream")
    want = [{"name": "cdn", "waiting": 1, "failure": REASONS[how]}]
    job = f"/__isr/v1/jobs/{told['id']}"
    wait_until(lambda: json.loads(edge.control(job).text).get("upstreams") == want, 30, f"the job tells of {how}", 0.2)
    assert json.loads(edge.control(job).text)["state"] == "failed"
    health = json.loads(edge.get("/__isr/healthz").text)
    assert health["ready"] is True
    assert {"reason": "upstream-failed", "details": [f"cdn: {REASONS[how]}; 1 invalidations wait"]} in health["notes"]
    assert "\nedge_isr_upstreams_failing 1\n" in edge.control("/__isr/metrics").text
    assert '"event":"upstream-failed"' in edge.worker.process.output()
    if how == "429":
        # It said when to come again, and does not lose what it was to be told.
        upstream.on(ZONE, DONE)
        asked = len(bodies(upstream))
        wait_until(lambda: len(bodies(upstream)) > asked, 30, "another try")
        wait_until(lambda: json.loads(edge.control(job).text)["state"] == "done", 15, "the job ends", 0.2)
        assert json.loads(edge.get("/__isr/healthz").text)["notes"] == []
    release.set()


def test_what_was_accepted_during_an_outage_arrives_after_it(origin, tmp_path, tag):
    """The provider is away, and the worker is killed before it comes back."""
    upstream = Origin()
    upstream.on(ZONE, DONE)
    upstream.on(HOOK, Reply(b"{}"))
    upstream.refuse()
    more = {"config": settings(upstream.url), "persist": tmp_path / "persist", "port": free_port(), "extra": SECRETS}
    worker = Worker(tmp_path, origin.url, **more)
    try:
        for name in (tag, f"{tag}-2"):
            body, headers = signed({"tags": [name]}, WEBHOOK_SECRET)
            answer = httpx.post(f"{worker.url}/__isr/v1/revalidate", content=body, headers=headers, timeout=30)
            assert answer.status_code == 202, answer.text
        worker.process.wait_for(lambda: "upstream-failed" in worker.process.output(), 30, "a failure")
        assert bodies(upstream) == []
        worker.process.kill()
        worker = Worker(tmp_path, origin.url, **more)
        upstream.accept()
        # In one call or in two, by when they are due.
        named = lambda: {name for told in bodies(upstream) for name in told["tags"]}  # noqa: E731
        wait_until(lambda: len(named()) >= 2, 60, "it is told")
        wait_until(lambda: bodies(upstream, HOOK), 60, "so is the other")
        assert named() == {tag, f"{tag}-2"}
    finally:
        worker.stop()
        upstream.refuse()
