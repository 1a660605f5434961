"""What visitors get: hits and misses, and everything that a stored page must not change."""

import gzip
import threading
import time
import zlib

import pytest
from conftest import SEEN_SECONDS
from origin import Reply, hang, page
from stack import free_port


def test_a_page_is_missed_then_hit(edge, origin, path):
    origin.on(path, page("a page"))
    first = edge.get(path)
    assert first.status == 200 and first.text == "a page"
    assert first.cache["fwd"] == "uri-miss"
    assert first.cache["fwd-status"] == "200"
    assert "stored" in first.cache
    assert "age" not in first.headers

    hit = edge.until_hit(path)
    assert hit.text == "a page"
    assert 0 <= int(hit.headers["age"]) <= 5
    assert 290 <= int(hit.cache["ttl"]) <= 300
    assert origin.count(path) == 1


def test_age_grows_and_ttl_shrinks(edge, origin, path):
    origin.on(path, page())
    edge.get(path)
    edge.until_hit(path)
    aged = edge.until(lambda answer: int(answer.headers.get("age", 0)) >= 1, path)
    assert int(aged.cache["ttl"]) + int(aged.headers["age"]) == pytest.approx(300, abs=1)


def test_head_is_answered_from_the_stored_get(edge, origin, path):
    origin.on(path, page("twelve bytes"))
    edge.get(path)
    edge.until_hit(path)
    head = edge.request("HEAD", path)
    assert head.hit and head.status == 200 and head.body == b""
    assert head.headers["content-length"] == "12"
    assert origin.count(path) == 1


def test_a_matching_etag_is_answered_with_304(edge, origin, path):
    origin.on(path, page("body", fields=[("ETag", '"v1"')]))
    edge.get(path)
    edge.until_hit(path)
    same = edge.get(path, if_none_match='W/"v1"')
    assert same.status == 304 and same.body == b""
    assert same.headers["etag"] == '"v1"'
    other = edge.get(path, if_none_match='"v2"')
    assert other.status == 200 and other.text == "body"
    assert origin.count(path) == 1


def test_a_range_is_cut_from_the_stored_page(edge, origin, path):
    origin.on(path, page("0123456789"))
    edge.get(path)
    edge.until_hit(path)
    part = edge.get(path, range="bytes=2-4")
    assert part.status == 206 and part.text == "234"
    assert part.headers["content-range"] == "bytes 2-4/10"
    beyond = edge.get(path, range="bytes=20-")
    assert beyond.status == 416
    assert origin.count(path) == 1


@pytest.mark.parametrize("name", ["X-Edge-ISR-Tags", "Surrogate-Key", "xkey", "Cache-Tag"])
def test_tags_and_edge_directives_are_stripped(edge, origin, path, name):
    origin.on(path, page(fields=[(name, "a b"), ("Surrogate-Control", "max-age=60")]))
    for answer in (edge.get(path), edge.until_hit(path)):
        for hidden in ("x-edge-isr-tags", "surrogate-key", "xkey", "cache-tag"):
            assert hidden not in answer.headers
        assert "cdn-cache-control" not in answer.headers
        assert "surrogate-control" not in answer.headers


@pytest.mark.parametrize(
    ("control", "cdn", "visitors"),
    [
        ("s-maxage=60, stale-while-revalidate=5", None, "max-age=0, must-revalidate"),
        ("max-age=7", None, "max-age=7"),
        ("public, max-age=0", "max-age=60", "public, max-age=0"),
        (None, "max-age=60, stale-if-error=5", "max-age=0, must-revalidate"),
    ],
)
def test_visitors_get_a_cache_control_of_their_own(edge, origin, path, control, cdn, visitors):
    fields = [("Cache-Control", control)] if control else []
    fields += [("CDN-Cache-Control", cdn)] if cdn else []
    origin.on(path, Reply(b"x", fields))
    edge.get(path)
    assert edge.until_hit(path).headers["cache-control"] == visitors


@pytest.mark.parametrize(
    "fields",
    [
        [("Cache-Control", "private, max-age=60")],
        [("Cache-Control", "max-age=60"), ("Cache-Control", "no-store")],
        [("Cache-Control", "max-age=60"), ("Set-Cookie", "a=1")],
        [("Cache-Control", "max-age=60"), ("Vary", "*")],
        [("Cache-Control", "max-age=60"), ("X-Edge-ISR", "bypass")],
        [("Cache-Control", "max-age=60"), ("Content-Security-Policy", "script-src 'nonce-abc'")],
        [],
    ],
    ids=["private", "no-store", "set-cookie", "vary-any", "bypass", "nonce", "no-freshness"],
)
def test_what_may_not_be_shared_is_never_stored(edge, origin, path, fields):
    origin.on(path, Reply(b"for one", fields))
    for count in (1, 2, 3):
        answer = edge.get(path)
        assert answer.status == 200 and not answer.hit
        assert answer.cache["fwd"] and "stored" not in answer.cache
        # The first was asked for once more, as its visitor sent it.
        assert origin.count(path) == count + 1


def test_a_request_with_a_session_bypasses(edge, origin, path):
    origin.on(path, page("anonymous"))
    edge.get(path)
    edge.until_hit(path)
    origin.on(path, page("personal"))
    mine = edge.get(path, cookie="sessionid=1")
    assert mine.text == "personal" and not mine.hit
    assert mine.cache["fwd"] == "bypass" and mine.cache["detail"] == "bypass-cookie"
    assert edge.get(path).text == "anonymous"
    basic = edge.get(path, authorization="Basic eDp5")
    assert basic.text == "personal" and not basic.hit


def test_cookies_do_not_reach_the_origin_of_a_stored_page(edge, origin, path):
    origin.on(path, page(fields=[("Vary", "Cookie")]))
    edge.get(path, cookie="_ga=GA1.1; consent=yes")
    edge.until_hit(path, cookie="_ga=GA1.2; consent=no")
    edge.until_hit(path)
    (only,) = origin.requests(path)
    assert "cookie" not in only.names


def test_unkeyed_request_input_does_not_reach_the_origin(edge, origin, path):
    origin.on(path, page())
    edge.request(
        "GET",
        path,
        {
            "x-forwarded-host": "evil.example",
            "x-forwarded-proto": "gopher",
            "forwarded": "host=evil.example",
            "x-original-url": "/admin",
            "x-rewrite-url": "/admin",
            "x-http-method-override": "DELETE",
            "x-edge-isr-warmup": "1",
            "x-edge-isr-origin-auth": "guess",
            "referer": "http://evil.example/",
            "x-anything": "else",
        },
    )
    edge.until_hit(path)
    # It went whole, unstored, because of a field that a site may look at; what is stored was asked
    # for without.
    whole, stored = origin.requests(path)
    for request in (whole, stored):
        assert request.get("x-forwarded-host") == edge.url.removeprefix("http://")
        assert request.get("x-forwarded-proto") == "http"
        assert b"evil.example\r" not in request.head and b"/admin" not in request.head
        assert request.names.isdisjoint({"x-edge-isr-warmup", "x-edge-isr-origin-auth"})
        assert "edge-isr" in request.get("cdn-loop")
    assert whole.get("x-anything") == "else"
    assert b"evil" not in stored.head and b"else" not in stored.head
    assert stored.names.isdisjoint({"x-http-method-override", "x-anything", "referer"})


def test_hosts_are_pages_of_their_own(edge, origin, path):
    def by_host(connection, request):
        page(request.get("x-forwarded-host"))(connection, request)

    origin.on(path, by_host)
    for host in ("a.example", "b.example"):
        edge.get(path, host=host)
        assert edge.until_hit(path, host=host).text == host
    assert origin.count(path) == 2


def test_tracking_parameters_are_not_part_of_a_page(edge, origin, path):
    origin.on(path, page())
    edge.get(f"{path}?b=2&a=1")
    edge.until_hit(f"{path}?utm_source=mail&a=1&b=2&fbclid=x")
    assert origin.count(path) == 1
    assert not edge.get(f"{path}?a=1&b=3").hit


def test_variants_are_kept_apart(edge, origin, path):
    def by_language(connection, request):
        page(request.get("accept-language") or "none", fields=[("Vary", "Accept-Language")])(
            connection, request
        )

    origin.on(path, by_language)
    for language in ("de", "fr"):
        edge.get(path, accept_language=language)
        assert edge.until_hit(path, accept_language=language).text == language
    assert origin.count(path) == 2


def test_bytes_match_their_content_encoding(edge, origin, path):
    text = b"compress me " * 500

    def coded(connection, request):
        fields = [("Vary", "Accept-Encoding")]
        body = text
        if "gzip" in (request.get("accept-encoding") or ""):
            fields.append(("Content-Encoding", "gzip"))
            body = gzip.compress(text)
        page(body, fields=fields)(connection, request)

    origin.on(path, coded)
    for accepted in ("gzip", "identity", "gzip;q=0", "gzip, br"):
        for _ in range(3):
            answer = edge.get(path, accept_encoding=accepted)
            coding = answer.headers.get("content-encoding", "identity")
            if coding == "gzip":
                assert "q=0" not in accepted and accepted != "identity"
                assert gzip.decompress(answer.body) == text
            else:
                assert coding == "identity" and answer.body == text
    edge.until_hit(path, accept_encoding="gzip")
    answer = edge.get(path, accept_encoding="gzip")
    assert zlib.decompress(answer.body, 31) == text


def test_the_first_byte_arrives_before_the_origin_is_done(edge, origin, path):
    rest = threading.Event()

    def slow(connection, request):
        connection.head(
            fields=[("CDN-Cache-Control", "max-age=60"), ("Transfer-Encoding", "chunked")]
        )
        connection.chunk(b"first")
        rest.wait(10)
        connection.chunk(b" last")
        connection.chunk(b"")

    origin.on(path, slow)
    with edge.client.stream("GET", path, headers={"accept-encoding": "identity"}) as response:
        pieces = response.iter_raw()
        assert next(pieces) == b"first"
        rest.set()
        assert b"".join(pieces) == b" last"
    assert edge.until_hit(path).text == "first last"
    assert origin.count(path) == 1


def test_concurrent_requests_share_one_fetch(edge, origin, path):
    arrived, go = threading.Event(), threading.Event()

    def slow(connection, request):
        arrived.set()
        go.wait(10)
        page("shared")(connection, request)

    origin.on(path, slow)
    answers = []
    # Made before: a client takes longer to make than to ask.
    visitors = [edge.visitor() for _ in range(12)]
    threads = [threading.Thread(target=lambda v=v: answers.append(v.get(path))) for v in visitors]
    for thread in threads:
        thread.start()
    arrived.wait(5)
    time.sleep(0.3)
    go.set()
    for thread in threads:
        thread.join(20)
    assert [answer.text for answer in answers] == ["shared"] * 12
    assert origin.count(path) == 1
    collapsed = sum("collapsed" in answer.headers["cache-status"] for answer in answers)
    assert collapsed >= 8


def test_a_cut_body_is_never_stored(edge, origin, path):
    def cut(connection, request):
        connection.head(fields=[("CDN-Cache-Control", "max-age=60"), ("Content-Length", 1000)])
        connection.send(b"half")

    origin.on(path, cut)
    for count in (1, 2):
        assert edge.breaks(path)
        assert origin.count(path) == count
    origin.on(path, page("whole"))
    assert edge.get(path).text == "whole"


def test_a_cut_chunked_body_is_never_stored(edge, origin, path):
    def cut(connection, request):
        connection.head(
            fields=[("CDN-Cache-Control", "max-age=60"), ("Transfer-Encoding", "chunked")]
        )
        connection.chunk(b"half")

    origin.on(path, cut)
    for count in (1, 2):
        # What the visitor sees is the runtime's doing: the local one may end a chunked answer as if
        # it were whole.
        edge.breaks(path)
        assert origin.count(path) == count
    origin.on(path, page("whole"))
    assert edge.get(path).text == "whole"


def test_more_bytes_than_announced_are_not_served(edge, origin, path):
    def lying(connection, request):
        connection.head(fields=[("CDN-Cache-Control", "max-age=60"), ("Content-Length", 4)])
        connection.send(b"four and more")

    origin.on(path, lying)
    assert edge.get(path).text == "four"
    assert edge.until_hit(path).text == "four"


def test_a_hanging_origin_is_a_504_in_time(edge, origin, path):
    release, ended = threading.Event(), []

    def hanging(connection, request):
        hang(release)(connection, request)
        ended.append(request)

    origin.on(path, hanging)
    answer = edge.get(path)
    assert ended == [], "the origin is still at it"
    release.set()
    assert answer.status == 504
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_refusing_origin_is_a_502_problem(start_worker):
    alone = start_worker(f"http://127.0.0.1:{free_port()}", config={"origin_timeout": 2})
    answer = alone.get("/")
    assert answer.status == 502
    assert answer.headers["content-type"] == "application/problem+json"
    assert "fwd" in answer.cache


def test_a_request_that_a_closing_connection_swallowed_is_sent_again(edge, origin, path):
    swallowed = []

    def closes_once(connection, request):
        if not swallowed:
            swallowed.append(request)
            return
        page("whole")(connection, request)

    origin.on(path, closes_once)
    answer = edge.get(path)
    assert (answer.status, answer.text) == (200, "whole")
    assert origin.count(path) == 2
    edge.until_hit(path)


def test_what_changes_something_is_never_sent_again(edge, origin, path):
    origin.on(path, lambda connection, request: None)
    assert edge.request("POST", path, content=b"once").status == 502
    assert edge.request("DELETE", path).status == 502
    assert origin.count(path) == 2
    assert edge.get(path).status == 502
    assert origin.count(path) == 4


def test_stale_pages_stand_in_for_a_failing_origin(edge, origin, path):
    origin.on(path, page("good", control="max-age=1, stale-if-error=600"))
    edge.get(path)
    edge.until_hit(path)
    origin.on(path, Reply(b"broken", status=503))
    edge.until(lambda _: origin.count(path) >= 2, path)
    answer = edge.get(path)
    assert answer.status == 200 and answer.text == "good"


def test_an_expired_page_is_served_while_it_is_renewed(edge, origin, path):
    origin.on(path, page("old", control="max-age=1, stale-while-revalidate=600"))
    edge.get(path)
    edge.until_hit(path)
    go = threading.Event()

    def slow(connection, request):
        go.wait(1.5)
        page("new", control="max-age=600")(connection, request)

    origin.on(path, slow)
    stale = edge.until(lambda answer: int(answer.cache.get("ttl", 1)) < 0, path)
    assert stale.text == "old"
    go.set()
    edge.until(lambda answer: answer.text == "new" and answer.hit, path)
    assert origin.count(path) == 2


@pytest.mark.parametrize(("count", "stored"), [(1000, True), (1001, False)])
def test_the_limit_of_tags(edge, origin, path, count, stored):
    tags = " ".join(f"t:{path[2:]}:{number}" for number in range(count))
    origin.on(path, page("tagged", tags=tags))
    first = edge.get(path)
    assert first.status == 200 and first.text == "tagged"
    assert ("stored" in first.cache) is stored
    if not stored:
        assert "tags" in first.cache["detail"]
        assert not edge.get(path).hit
        return
    edge.until_hit(path)
    edge.revalidate({"tags": [f"t:{path[2:]}:{count - 1}"], "mode": "hard"})
    origin.on(path, page("again", tags=tags))
    edge.until(lambda answer: answer.text == "again", path, SEEN_SECONDS)


def test_values_that_are_not_utf8_pass_unharmed(edge, origin, path):
    """RFC 9110 §5.5 (obs-text). The runtime can't distinguish such bytes, so the answer is not
    stored, and passes with them.
    """
    value = b"caf\xe9 \xff"
    other = "M\u00fcller".encode()
    origin.on(path, page(fields=[("X-Latin", value), ("X-Utf", other)]))
    for _ in range(3):
        answer = edge.get(path)
        assert answer.status == 200
        raw = {name.lower(): said for name, said in answer.headers.raw}
        assert (raw[b"x-latin"], raw[b"x-utf"]) == (value, other)
        assert "field-bytes" in answer.headers["cache-status"]


def test_two_edges_in_a_circle_are_a_508(start_worker):
    """RFC 8586: the second one sees its own name in CDN-Loop."""
    ports = free_port(), free_port()
    first = start_worker(f"http://127.0.0.1:{ports[1]}", port=ports[0])
    start_worker(f"http://127.0.0.1:{ports[0]}", port=ports[1])
    answer = first.get("/")
    assert answer.status == 508
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_origin_that_is_the_edge_itself_is_a_wrong_setting(start_worker):
    port = free_port()
    alone = start_worker(f"http://127.0.0.1:{port}", port=port)
    answer = alone.get("/")
    assert answer.status in (503, 508)
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_route_decides(edge, origin, path):
    origin.on(f"/forced-bypass{path}", page())
    origin.on(f"/forced-ttl{path}", Reply(b"x"))
    for _ in range(2):
        bypassed = edge.get(f"/forced-bypass{path}")
        assert bypassed.cache["fwd"] == "bypass" and not bypassed.hit
    edge.get(f"/forced-ttl{path}")
    assert edge.until_hit(f"/forced-ttl{path}").headers["cache-control"] == "max-age=5"


def test_a_large_page_passes_whole_and_unstored(edge, origin, path):
    body = bytes(range(256)) * 4096 * 11
    origin.on(path, page(body))
    for _ in range(2):
        answer = edge.get(path)
        assert answer.body == body and not answer.hit and "stored" not in answer.cache
    assert origin.count(path) == 2


def test_a_page_below_the_limit_is_stored_whole(edge, origin, path):
    body = bytes(range(256)) * 4096 * 9
    origin.on(path, page(body))
    assert edge.get(path).body == body
    assert edge.until_hit(path).body == body
