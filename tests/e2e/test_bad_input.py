"""Wrong input is refused by name and changes nothing."""

import json
import time

import pytest
from origin import page
from stack import signed

REVALIDATE = "/__isr/v1/revalidate"


def problem(answer, status):
    """The problem document (RFC 9457) of an answer with that status."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    document = json.loads(answer.text)
    assert document["status"] == status and document["title"]
    return document


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"", 400, ""),
        (b"{", 400, ""),
        (b"\xff\xfe", 400, ""),
        (b"[]", 400, ""),
        (b"{}", 422, ""),
        (b'{"tags":[]}', 422, ""),
        (b'{"tags":"a"}', 422, "tags"),
        (b'{"tags":["ok",7]}', 422, "tags[1]"),
        (b'{"tags":["has space"]}', 422, "tags[0]"),
        (b'{"tags":["nul\\u0000"]}', 422, "tags[0]"),
        (json.dumps({"tags": ["t" * 2048]}).encode(), 422, "tags[0]"),
        (json.dumps({"tags": [f"t{n}" for n in range(10_001)]}).encode(), 422, "10,000"),
        (b'{"tags":["a"],"mode":"gentle"}', 422, "mode"),
        (b'{"tags":["a"],"warn":true}', 422, "warn"),
        (b'{"tags":["a"],"warm":"yes"}', 422, "warm"),
        (b'{"tags":["a"],"wait_ms":-1}', 422, "wait_ms"),
        (b'{"urls":["/relative"]}', 422, "urls[0]"),
        (b'{"prefixes":["https://example.com/blo"]}', 422, "prefixes[0]"),
        (b'{"hosts":["exa mple"]}', 422, "hosts[0]"),
        (b'{"all":true,"tags":["a"]}', 422, "all"),
    ],
)
def test_a_wrong_command_is_refused_by_name(edge, body, status, named):
    signed_body, headers = signed(body)
    answer = edge.post(REVALIDATE, signed_body, headers)
    if body == b"[]":
        assert answer.status in (400, 422)
        return
    document = problem(answer, status)
    assert named.replace(",", "") in json.dumps(document).replace(",", "")


def test_a_body_over_the_limit_is_a_413(edge):
    body, headers = signed({"tags": ["t"], "reason": "x" * (1 << 20)})
    problem(edge.post(REVALIDATE, body, headers), 413)


def wrong_headers():
    """What can be wrong with a webhook's headers, each with the status that answers it."""
    now = int(time.time())
    _, good = signed({"tags": ["a"]}, at=now)
    other = "whsec_" + "b3RoZXIgc2VjcmV0IG9mIDMyIGJ5dGVzISEhISEhISE="
    yield "no headers", {"content-type": "application/json"}
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        yield f"no {name}", {key: value for key, value in good.items() if key != name}
    yield "another secret", signed({"tags": ["a"]}, secret=other)[1]
    yield "six minutes old", signed({"tags": ["a"]}, at=now - 360)[1]
    yield "six minutes ahead", signed({"tags": ["a"]}, at=now + 360)[1]
    yield "timestamp is a word", {**good, "webhook-timestamp": "now"}
    yield (
        "signature of another body",
        {**good, "webhook-signature": signed({"tags": ["b"]}, at=now)[1]["webhook-signature"]},
    )
    yield "signature without version", {**good, "webhook-signature": good["webhook-signature"][3:]}
    yield "unknown version", {**good, "webhook-signature": "v2" + good["webhook-signature"][2:]}
    yield "unknown token", {"authorization": "Bearer nobody"}
    yield "not a bearer", {"authorization": "Basic ZGVtbzpkZW1v"}


@pytest.mark.parametrize("what", [what for what, _ in wrong_headers()])
def test_who_is_not_known_is_refused(edge, what):
    # Made now: what was six minutes ahead when the run began is not any more.
    headers = dict(wrong_headers())[what]
    document = problem(edge.post(REVALIDATE, b'{"tags": ["a"]}', headers), 401)
    assert "whsec_" not in json.dumps(document)


def test_one_good_signature_among_others_is_enough(edge):
    body, headers = signed({"tags": ["rotation"], "warm": False})
    headers["webhook-signature"] = "v1,AAAA v2,xyz " + headers["webhook-signature"]
    assert edge.post(REVALIDATE, body, headers).status == 202


def test_refused_commands_change_nothing(edge, origin, path, tag):
    origin.on(path, page("kept", tags=tag))
    edge.get(path)
    edge.until_hit(path)
    before = edge.revalidate({"tags": [f"{tag}-x"], "warm": False})["epoch"]
    edge.post(
        REVALIDATE,
        json.dumps({"tags": [tag], "mode": "hard"}).encode(),
        {"content-type": "application/json"},
    )
    body, headers = signed({"tags": [tag, ""], "mode": "hard"})
    assert edge.post(REVALIDATE, body, headers).status == 422
    assert edge.revalidate({"tags": [f"{tag}-x"], "warm": False})["epoch"] == before + 1
    assert edge.get(path).text == "kept" and origin.count(path) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/__isr/v1/revalidate", 405),
        ("PUT", "/__isr/healthz", 405),
        ("GET", "/__isr/v1/nothing", 404),
        ("GET", "/__isr/nothing", 404),
        ("GET", "/__isr/dashboard/nothing.js", 404),
    ],
)
def test_unknown_calls_are_distinguished(edge, origin, method, path, status):
    answer = edge.request(method, path)
    problem(answer, status)
    if status == 405:
        assert answer.headers["allow"]
    assert origin.count(path) == 0


@pytest.mark.parametrize(
    "path", ["/__isr/v1/jobs/1", "/__isr/v1/tags/a/pages", "/__isr/v1/pages?url=http://a.example/"]
)
def test_reading_needs_a_token(edge, path):
    problem(edge.get(path), 401)


def test_unknown_jobs_are_a_404(edge):
    problem(edge.control("/__isr/v1/jobs/987654321"), 404)


def test_a_very_long_target_is_refused(edge):
    answer = edge.get("/" + "a" * 40_000)
    assert answer.status in (400, 414, 431)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"max_lag": "two"}, "max_lag"),
        ({"max_laag": 2}, "max_laag"),
        ({"routes": [{"path": "/a"}, {"path": "/b", "ttl": -1}]}, "routes[1].ttl"),
        ({"defaults": {"query": {"allow": ["a"], "deny": ["b"]}}}, "query"),
        ([], "EDGE_ISR"),
    ],
)
def test_a_wrong_configuration_passes_everything_uncached(
    start_worker, origin, path, config, named
):
    wrong = start_worker(origin.url, config=config)
    origin.on(path, page("passed"))
    for count in (1, 2):
        answer = wrong.get(path)
        assert answer.status == 200 and answer.text == "passed" and not answer.hit
        assert "config" in answer.cache["detail"] or "setting" in answer.cache["detail"]
        assert origin.count(path) == count
    health = wrong.control("/__isr/healthz")
    assert health.status == 503 and named in health.text
    assert wrong.get("/__isr/healthz").text == '{"ready":false}'


def test_the_good_configuration_is_ready(edge):
    answer = edge.get("/__isr/healthz")
    assert answer.status == 200
    assert json.loads(answer.text)["ready"] is True
