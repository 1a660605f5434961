"""Caches in front of the edge: how the worker purges them, on the real runtime,
against servers on loopback that answer as the providers say they do, or fail in every way.
"""

import json
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import threading

import httpx
import pytest
from origin import Origin, Reply, page
from stack import ROOT, TOKENS, WEBHOOK_SECRET, Worker, free_port, signed, wait_until
from test_purge_clients import SCRIPTS, environment

ZONE, HOOK = "/client/v4/zones/z1/purge_cache", "/hook"
# Cloudflare's documented answers.
DONE = Reply(
    b'{"success":true,"errors":[],"messages":[],"result":{"id":"z1"}}',
    [("Content-Type", "application/json")],
)
WRONG_TOKEN = Reply(
    b'{"success":false,"errors":[{"code":10000,"message":"Authentication error"}],"messages":[],'
    b'"result":null}',
    [("Content-Type", "application/json")],
    status=401,
)
LIMITED = Reply(
    b'{"success":false,"errors":[{"code":1134,"message":"Unable to purge, rate limit reached."}]}',
    [("Content-Type", "application/json"), ("Retry-After", "6")],
    status=429,
)


def settings(url):
    """One front cache that fails as a test wants, and one that never does."""
    cloudflare = {"provider": "cloudflare", "zone": "z1", "url": f"{url}/client/v4", "tags": True}
    hook = {"name": "hook", "provider": "webhook", "url": url + HOOK}
    return {"max_lag": 1, "front_caches": [{"name": "cdn", **cloudflare}, hook]}


SECRETS = ["--front-cache-secret", "cdn:cdn-secret", "--front-cache-secret", "hook:hook-secret"]


@pytest.fixture
def front_cache():
    """A recording server that speaks for both."""
    server = Origin()
    server.on(ZONE, DONE)
    server.on(HOOK, Reply(b"{}"))
    yield server
    server.refuse()


@pytest.fixture
def edge(start_worker, origin, front_cache):
    """A worker behind both."""
    return start_worker(origin.url, config=settings(front_cache.url), extra=SECRETS)


def bodies(front_cache, path=ZONE):
    return [json.loads(request.body) for request in front_cache.requests(path)]


def test_both_are_purged_with_their_secrets_once_all_isolates_see_it(
    edge, origin, front_cache, path, tag
):
    origin.on(path, page("body", tags=f"{tag} other"))
    edge.get(path)
    assert edge.until_hit(path).headers["cache-tag"] == f"other,{tag}"
    edge.revalidate({"tags": [tag], "urls": ["https://a.example/x/"]})
    edge.revalidate({"tags": [tag], "mode": "hard"})
    wait_until(lambda: len(bodies(front_cache)) >= 2, 15, "Cloudflare is purged")
    assert bodies(front_cache)[:2] == [{"tags": [tag]}, {"prefixes": ["a.example/x"]}]
    first = front_cache.requests(ZONE)[0]
    assert (first.method, first.get("authorization")) == ("POST", "Bearer cdn-secret")
    assert first.get("content-type") == "application/json"
    # In one call or in two, by when the second invalidation came.
    wait_until(
        lambda: "hard" in [shown["mode"] for shown in bodies(front_cache, HOOK)], 15, "the webhook"
    )
    hook = front_cache.requests(HOOK)[0]
    assert hook.get("authorization") == "Bearer hook-secret"
    assert json.loads(hook.body)["tags"] == [tag]
    assert json.loads(hook.body)["urls"] == ["https://a.example/x/"]


def until_noted(edge, notes):
    """Waits for `healthz`, which knows of the journal as of `sync_interval` ago."""
    wait_until(
        lambda: json.loads(edge.control("/__isr/healthz").text)["notes"] == notes,
        15,
        f"healthz says {notes}",
        0.2,
    )


def reset(connection, request):
    """Ends the connection with a reset."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sock.close()
    raise OSError


def fails(front_cache, how, release):
    behaviours = {
        "401": WRONG_TOKEN,
        "429": LIMITED,
        "500": Reply(b"", status=500),
        "reset": reset,
        "hang": lambda connection, request: release.wait(60),
    }
    front_cache.on(ZONE, behaviours[how])


REASONS = {
    "401": "credentials-refused",
    "429": "rate-limited",
    "500": "server-error",
    "reset": "unreachable",
    "hang": "unreachable",
}


@pytest.mark.parametrize("how", REASONS)
def test_a_failure_is_loud_and_holds_up_nothing_else(edge, origin, front_cache, path, tag, how):
    release = threading.Event()
    fails(front_cache, how, release)
    origin.on(path, page("old", tags=tag))
    edge.get(path)
    edge.until_hit(path)
    origin.on(path, page("new", tags=tag))
    shown = edge.revalidate({"tags": [tag]})
    edge.until(lambda answer: answer.text == "new" and answer.hit, path)
    assert wait_until(lambda: front_cache.requests(HOOK), 15, "the other front_cache")
    want = [{"name": "cdn", "waiting": 1, "failure": REASONS[how]}]
    job = f"/__isr/v1/jobs/{shown['id']}"
    wait_until(
        lambda: json.loads(edge.control(job).text).get("front_caches") == want,
        30,
        f"the job shows {how}",
        0.2,
    )
    assert json.loads(edge.control(job).text)["state"] == "failed"
    until_noted(
        edge,
        [
            {
                "reason": "front-cache-failed",
                "details": [f"cdn: {REASONS[how]}; 1 invalidations wait"],
            }
        ],
    )
    assert json.loads(edge.control("/__isr/healthz").text)["ready"] is True
    assert "\nedge_isr_front_caches_failing 1\n" in edge.control("/__isr/metrics").text
    assert '"event":"front-cache-failed"' in edge.worker.process.output()
    if how == "429":
        # It said when to come again, and does not lose what it was to get.
        front_cache.on(ZONE, DONE)
        asked = len(bodies(front_cache))
        wait_until(lambda: len(bodies(front_cache)) > asked, 30, "another try")
        wait_until(
            lambda: json.loads(edge.control(job).text)["state"] == "done", 15, "the job ends", 0.2
        )
        until_noted(edge, [])
    release.set()


def test_what_was_accepted_during_an_outage_arrives_after_it(origin, tmp_path, tag):
    """The provider is away, and the worker is killed before it comes back."""
    front_cache = Origin()
    front_cache.on(ZONE, DONE)
    front_cache.on(HOOK, Reply(b"{}"))
    front_cache.refuse()
    more = {
        "config": settings(front_cache.url),
        "persist": tmp_path / "persist",
        "port": free_port(),
        "extra": SECRETS,
    }
    worker = Worker(tmp_path, origin.url, **more)
    try:
        for name in (tag, f"{tag}-2"):
            body, headers = signed({"tags": [name]}, WEBHOOK_SECRET)
            answer = httpx.post(
                f"{worker.url}/__isr/v1/revalidate", content=body, headers=headers, timeout=30
            )
            assert answer.status_code == 202, answer.text
        worker.process.wait_for(
            lambda: "front-cache-failed" in worker.process.output(), 30, "a failure"
        )
        assert bodies(front_cache) == []
        worker.process.kill()
        worker = Worker(tmp_path, origin.url, **more)
        front_cache.accept()

        # In one call or in two, by when they are due.
        def named():
            return {name for shown in bodies(front_cache) for name in shown["tags"]}

        wait_until(lambda: len(named()) >= 2, 60, "it is purged")
        wait_until(lambda: bodies(front_cache, HOOK), 60, "so is the other")
        assert named() == {tag, f"{tag}-2"}
    finally:
        worker.stop()
        front_cache.refuse()


DISTRIBUTION = "/2020-05-31/distribution/E1/invalidation"
AWS_KEY, AWS_SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
XML = [("Content-Type", "text/xml")]


def invalidation(status, code):
    """CloudFront's documented answer."""
    return Reply(
        b'<?xml version="1.0"?>\n<Invalidation '
        b'xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Id>I2J0I21PCUYOIK</Id>'
        b"<Status>%s</Status><CreateTime>2026-11-21T09:37:00Z</CreateTime><InvalidationBatch/>"
        b"</Invalidation>" % status,
        XML,
        status=code,
    )


TOO_MANY = Reply(
    b'<?xml version="1.0"?>\n<ErrorResponse '
    b'xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Error><Type>Sender</Type>'
    b"<Code>TooManyInvalidationsInProgress</Code><Message>Processed</Message></Error>"
    b"</ErrorResponse>",
    XML,
    status=400,
)


def own_signature(server, request):
    """What botocore signs the same request with."""
    said = {
        "id": AWS_KEY,
        "secret": AWS_SECRET,
        "method": request.method,
        "url": server.url + request.target,
        "at": request.get("x-amz-date"),
        "body": request.body.decode(),
    }
    command = [sys.executable, SCRIPTS / "sign_with_botocore.py", json.dumps(said)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_cloudfront_is_signed_for_waited_for_and_asked_until_it_is_completed(
    start_worker, origin, front_cache, tag
):
    front_cache.on(DISTRIBUTION, TOO_MANY)
    front_cache.on(f"{DISTRIBUTION}/I2J0I21PCUYOIK", invalidation(b"InProgress", 200))
    front = {
        "name": "front",
        "provider": "cloudfront",
        "distribution": "E1",
        "url": front_cache.url,
        "tags": True,
    }
    secret = ["--front-cache-secret", f"front:{AWS_KEY}/{AWS_SECRET}"]
    edge = start_worker(origin.url, config={"max_lag": 1, "front_caches": [front]}, extra=secret)
    shown = edge.revalidate({"tags": [tag], "urls": ["https://a.example/x"]})
    job = f"/__isr/v1/jobs/{shown['id']}"
    state = lambda: json.loads(edge.control(job).text).get("front_caches", [{}])[0]
    wait_until(lambda: state().get("failure") == "rate-limited", 15, "the job shows the limit", 0.2)
    front_cache.on(DISTRIBUTION, invalidation(b"InProgress", 201))
    wait_until(lambda: state().get("in_progress") == 1, 30, "it is taken", 0.2)
    sent = front_cache.requests(DISTRIBUTION)
    references = {
        re.search(rb"<CallerReference>(.+)</CallerReference>", one.body).group(1) for one in sent
    }
    assert len(sent) > 1 and len(references) == 1, references
    paths = re.findall(r"<Path>(.*?)</Path>", sent[0].body.decode())
    assert paths == [f"#{tag}", "/x", "/x?*"]
    wait_until(
        lambda: front_cache.requests(f"{DISTRIBUTION}/I2J0I21PCUYOIK"), 15, "it is asked after"
    )
    front_cache.on(f"{DISTRIBUTION}/I2J0I21PCUYOIK", invalidation(b"Completed", 200))
    wait_until(
        lambda: json.loads(edge.control(job).text).get("front_caches") is None,
        30,
        "it is completed",
        0.2,
    )
    assert json.loads(edge.control(job).text)["state"] == "done"
    for request in [sent[0], front_cache.requests(f"{DISTRIBUTION}/I2J0I21PCUYOIK")[0]]:
        field = request.get("authorization")
        assert f"Credential={AWS_KEY}/" in field and AWS_SECRET not in str(request.head)
        assert field.rpartition("=")[2] == own_signature(front_cache, request)


def test_a_cache_of_ones_own_is_purged_by_its_method(start_worker, origin, front_cache, tag):
    front_cache.on("/base/x", Reply(b""))
    front_cache.on("/base/", Reply(b""))
    # nginx has nothing there.
    front_cache.on("/base/y/*", Reply(b"", status=404))
    varnish = {
        "name": "varnish",
        "provider": "purge",
        "url": f"{front_cache.url}/base",
        "tags": True,
    }
    secret = ["--front-cache-secret", "varnish:purge-secret"]
    edge = start_worker(origin.url, config={"max_lag": 1, "front_caches": [varnish]}, extra=secret)
    command = {
        "urls": ["https://a.example/x?p=1"],
        "prefixes": ["https://a.example/y/"],
        "tags": [tag],
    }
    shown = edge.revalidate(command)
    wait_until(lambda: len(front_cache.everything()) >= 3, 15, "it is purged")
    seen = [
        (one.method, one.target, one.get("xkey"), one.get("soft"))
        for one in front_cache.everything()
    ]
    assert sorted(seen, key=str) == [
        ("PURGE", "/base/", tag, "1"),
        ("PURGE", "/base/x?p=1", None, "1"),
        ("PURGE", "/base/y/*", None, "1"),
    ]
    first = front_cache.everything()[0]
    assert first.get("authorization") == "Bearer purge-secret"
    # A Worker can't say otherwise.
    assert first.get("host") == front_cache.url.removeprefix("http://")
    job = f"/__isr/v1/jobs/{shown['id']}"
    wait_until(
        lambda: json.loads(edge.control(job).text).get("front_caches") is None,
        15,
        "all is taken",
        0.2,
    )


@pytest.fixture(scope="module")
def second(start_worker, origin):
    """The edge in front of the edge, as a front cache."""
    return start_worker(origin.url, config={"max_lag": 1, "new_keys_per_second": 10_000})


OPERATOR = TOKENS["operator"][1]
BEFORE = {
    "webhook": ({"provider": "webhook", "path": "/__isr/v1/revalidate"}, WEBHOOK_SECRET),
    "cloudfront": (
        {"provider": "cloudfront", "distribution": "E1", "path": "/__isr/cloudfront"},
        f"operator/{OPERATOR}",
    ),
    "purge": ({"provider": "purge", "path": ""}, OPERATOR),
}


@pytest.mark.parametrize("provider", BEFORE)
def test_the_edge_itself_takes_what_it_sends(start_worker, origin, second, path, provider):
    """Signed as a webhook, signed as for CloudFront, by PURGE."""
    settings, secret = BEFORE[provider]
    settings = {**settings, "name": "second", "url": second.url + settings["path"]}
    del settings["path"]
    extra = ["--front-cache-secret", f"second:{secret}"]
    first = start_worker(origin.url, config={"max_lag": 1, "front_caches": [settings]}, extra=extra)
    # In another folder: what CloudFront's `path?*` means, the edge widens to the enclosing one.
    page_at, beside = f"{path}/page", f"{path}-beside/page"
    for at in (page_at, beside):
        origin.on(at, page("old"))
        second.get(at)
        second.until_hit(at)
        origin.on(at, page("new"))
    shown = first.revalidate({"urls": [second.url + page_at], "mode": "hard"})
    second.until(lambda answer: answer.text == "new" and answer.hit, page_at, 20)
    job = f"/__isr/v1/jobs/{shown['id']}"
    wait_until(
        lambda: json.loads(first.control(job).text).get("front_caches") is None,
        30,
        "it is done",
        0.2,
    )
    assert json.loads(first.control(job).text)["state"] == "done"
    answer = second.get(beside)
    assert answer.hit and answer.text == "old"


# Before the built worker: what the platform's documentation says of `purge` and `invalidate`, told
# to a recording server.
STAND_IN = """
import * as RUNTIME from "cloudflare:workers";
const documented = (verb) => async (options) => {
  const answer = await fetch("RECORDER/" + verb, { method: "POST", body: JSON.stringify(options) });
  return answer.json();
};
const NAME = {
  exports: RUNTIME.exports,
  cache: { purge: documented("purge"), invalidate: documented("invalidate") },
};
"""


def with_workers_caching(tmp_path, recorder):
    """The built worker on a runtime that has Workers Caching."""
    build = tmp_path / "build"
    shutil.copytree(os.environ.get("EDGE_ISR_BUILD") or ROOT / "build", build)
    worker = build / "index.js"
    imported = re.compile(r'import ?\* ?as (\w+) ?from ?"cloudflare:workers";')
    text = worker.read_text()
    name = imported.search(text)[1]
    worker.write_text(
        STAND_IN.replace("RECORDER", recorder.url).replace("NAME", name) + imported.sub("", text)
    )
    return ["--build", build]


CACHING = {
    "max_lag": 1,
    "front_caches": [{"name": "before", "provider": "workers-cache", "tags": True}],
}
CACHING_SECRET = ["--front-cache-secret", f"before:{TOKENS['operator'][1]}"]


def test_workers_caching_is_purged_by_the_worker_itself(
    start_worker, origin, front_cache, tmp_path, path, tag
):
    front_cache.on(
        "/purge", Reply(b'{"success":false,"errors":[{"code":1,"message":"rate limited"}]}')
    )
    front_cache.on("/invalidate", Reply(b'{"success":true,"errors":[]}'))
    edge = start_worker(
        origin.url,
        config=CACHING,
        extra=[*CACHING_SECRET, *with_workers_caching(tmp_path, front_cache)],
    )
    origin.on(path, page("body", tags=tag))
    edge.get(path)
    assert edge.until_hit(path).headers["cache-tag"] == tag
    edge.revalidate({"tags": [tag], "prefixes": ["https://a.example/x/"]})
    wait_until(lambda: len(bodies(front_cache, "/invalidate")) >= 2, 15, "it is marked as stale")
    assert bodies(front_cache, "/invalidate") == [{"tags": [tag]}, {"pathPrefixes": ["/x/"]}]
    shown = edge.revalidate({"all": True, "mode": "hard"})
    # What it does not do now, it does later.
    job = f"/__isr/v1/jobs/{shown['id']}"
    want = [{"name": "before", "waiting": 1, "failure": "rate-limited"}]
    wait_until(
        lambda: json.loads(edge.control(job).text).get("front_caches") == want,
        30,
        "the job shows it",
        0.2,
    )
    front_cache.on("/purge", Reply(b'{"success":true,"errors":[]}'))
    wait_until(
        lambda: "front_caches" not in json.loads(edge.control(job).text),
        30,
        "it was purged again",
        0.2,
    )
    assert {json.dumps(body) for body in bodies(front_cache, "/purge")} == {
        '{"purgeEverything": true}'
    }


def test_a_runtime_without_workers_caching_is_reported(start_worker, origin, path, tag):
    edge = start_worker(origin.url, config=CACHING, extra=CACHING_SECRET)
    shown = edge.revalidate({"tags": [tag]})
    job = f"/__isr/v1/jobs/{shown['id']}"
    want = [{"name": "before", "waiting": 1, "failure": "unsupported"}]
    wait_until(
        lambda: json.loads(edge.control(job).text).get("front_caches") == want,
        30,
        "the job shows it",
        0.2,
    )
    until_noted(
        edge,
        [
            {
                "reason": "front-cache-failed",
                "details": ["before: unsupported; 1 invalidations wait"],
            }
        ],
    )
