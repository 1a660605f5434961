"""What a route may store beyond the safe defaults, on the real runtime: parts, cookies.

And what is for one request alone, whatever the route says.
"""

import hashlib
import re

import httpx
import pytest
from origin import page

SIZE = 2_000_000
FILE = hashlib.sha256(b"edge").digest() * (SIZE // 32)


@pytest.fixture(scope="module")
def open_edge(start_worker, origin):
    """A worker whose routes store what they may."""
    routes = [
        {"path": "/p-*", "store_partial": True},
        {"path": "/cookie-*", "store_set_cookie": True},
    ]
    return start_worker(origin.url, config={"new_keys_per_second": 10_000, "routes": routes})


def ranged(body, etag='"v1"'):
    """A file that honours `Range` and `If-Range`."""

    def respond(connection, request):
        fields = [("Cache-Control", "max-age=300"), ("ETag", etag), ("X-Edge-ISR-Tags", "file")]
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.get("range") or "")
        if not asked or request.get("if-range") not in (None, etag):
            connection.head(200, [*fields, ("Content-Length", len(body))])
            return connection.send(body)
        first, last = asked.groups()
        if not first:
            first, last = len(body) - int(last), len(body) - 1
        first, last = int(first), min(int(last or len(body) - 1), len(body) - 1)
        part = body[first : last + 1]
        said = f"bytes {first}-{last}/{len(body)}"
        connection.head(206, [*fields, ("Content-Range", said), ("Content-Length", len(part))], "Partial Content")
        return connection.send(part)

    return respond


def test_a_stored_part_answers_ranges_within_it(open_edge, origin, path):
    path = f"/p-{path[1:]}"
    origin.on(path, ranged(b"0123456789"))
    first = open_edge.get(path, range="bytes=2-6")
    assert (first.status, first.text) == (206, "23456")
    assert first.headers["content-range"] == "bytes 2-6/10"
    assert first.headers["content-length"] == "5"
    hit = open_edge.until_hit(path, range="bytes=3-4")
    assert (hit.status, hit.text, hit.cache["detail"]) == (206, "34", "part")
    assert hit.headers["content-range"] == "bytes 3-4/10"
    assert origin.count(path) == 1
    outside = open_edge.get(path, range="bytes=8-9")
    assert (outside.status, outside.text) == (206, "89")
    assert not outside.hit and outside.cache["fwd"] == "partial"


def test_a_large_file_is_completed_byte_by_byte_right(open_edge, origin, path):
    path = f"/p-{path[1:]}"
    origin.on(path, ranged(FILE))
    half = SIZE // 2
    first = open_edge.get(path, range=f"bytes=0-{half - 1}")
    assert first.status == 206 and first.body == FILE[:half]
    open_edge.until_hit(path, range="bytes=0-9")
    whole = open_edge.get(path)
    assert whole.status == 200 and whole.body == FILE
    assert whole.headers["content-length"] == str(len(FILE))
    assert "content-range" not in whole.headers
    assert origin.requests(path)[-1].get("range") == f"bytes={half}-"
    assert origin.requests(path)[-1].get("if-range") == '"v1"'
    hit = open_edge.until_hit(path)
    assert hit.body == FILE
    tail = open_edge.get(path, range="bytes=-100")
    assert tail.hit and tail.body == FILE[-100:]
    assert origin.count(path) == 2


def test_a_head_and_a_new_version_get_no_part(open_edge, origin, path):
    path = f"/p-{path[1:]}"
    origin.on(path, ranged(b"0123456789"))
    open_edge.get(path, range="bytes=0-4")
    open_edge.until_hit(path, range="bytes=0-4")
    origin.on(path, ranged(b"abcdefghij", '"v2"'))
    head = open_edge.request("HEAD", path)
    assert (head.status, head.body, head.headers["etag"]) == (200, b"", '"v2"')
    assert open_edge.until_hit(path).text == "abcdefghij"


def test_a_part_that_breaks_off_is_not_stored(open_edge, origin, path):
    path = f"/p-{path[1:]}"

    def cut(connection, _):
        fields = [("Cache-Control", "max-age=300"), ("Content-Range", "bytes 0-9/20"), ("Content-Length", 10)]
        connection.head(206, fields, "Partial Content")
        connection.send(b"01234")

    origin.on(path, cut)
    with open_edge.visitor() as client:
        try:
            assert open_edge.request("GET", path, {"range": "bytes=0-9"}, client=client).status in (502, 504)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            pass
    origin.on(path, ranged(b"0123456789abcdefghij"))
    whole = open_edge.get(path, range="bytes=0-9")
    assert not whole.hit and whole.text == "0123456789"


def test_a_cookie_for_everyone_is_stored_and_one_of_a_visitor_is_not(open_edge, origin, path):
    path = f"/cookie-{path[1:]}"
    origin.on(path, page("body", fields=[("Set-Cookie", "seen=1"), ("Set-Cookie", "group=b")]))
    open_edge.get(path)
    hit = open_edge.until_hit(path)
    assert hit.headers.get_list("set-cookie") == ["seen=1", "group=b"]
    private = f"{path}-private"
    origin.on(private, page("body", fields=[("Set-Cookie", "id=1")], control="private, max-age=60"))
    for _ in range(2):
        assert not open_edge.get(private).hit
    assert origin.count(private) == 2


def test_fields_for_one_request_are_not_stored_with_the_rest(edge, origin, path):
    limits = 'max-age=300, no-cache="x-once"'
    origin.on(path, page("body", fields=[("X-Once", "1"), ("X-All", "1")], control=limits))
    first = edge.get(path)
    assert (first.headers.get("x-once"), first.headers.get("x-all")) == ("1", "1")
    hit = edge.until_hit(path)
    assert (hit.headers.get("x-once"), hit.headers.get("x-all")) == (None, "1")
