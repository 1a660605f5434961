"""What a route may store beyond the safe defaults, on the real runtime: cookies. Ranges of what is
not stored.

And what is for one request alone, whatever the route says.
"""

import hashlib
import re

import pytest
from origin import page

SIZE = 2_000_000
FILE = hashlib.sha256(b"edge").digest() * (SIZE // 32)


@pytest.fixture(scope="module")
def open_edge(start_worker, origin):
    """A worker whose routes store what they may."""
    routes = [
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
        connection.head(
            206,
            [*fields, ("Content-Range", said), ("Content-Length", len(part))],
            "Partial Content",
        )
        return connection.send(part)

    return respond


def test_a_range_is_forwarded_until_the_whole_is_stored(open_edge, origin, path):
    path = f"/p-{path[1:]}"
    origin.on(path, ranged(FILE))
    half = SIZE // 2
    for _ in range(2):
        first = open_edge.get(path, range=f"bytes=0-{half - 1}")
        assert first.status == 206 and first.body == FILE[:half]
        assert first.headers["content-range"] == f"bytes 0-{half - 1}/{SIZE}"
        assert first.headers["content-length"] == str(half)
        assert not first.hit and first.cache["detail"] == "range"
    assert origin.count(path) == 2
    whole = open_edge.get(path)
    assert whole.status == 200 and whole.body == FILE
    assert "content-range" not in whole.headers
    assert origin.requests(path)[-1].get("range") is None
    open_edge.until_hit(path)
    tail = open_edge.get(path, range="bytes=-100")
    assert tail.hit and tail.body == FILE[-100:]
    assert origin.count(path) == 3


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
    # What may not be stored was asked for once more, whole: the first time as the edge.
    assert origin.count(private) == 3


def test_fields_for_one_request_are_not_stored_with_the_rest(edge, origin, path):
    limits = 'max-age=300, no-cache="x-once"'
    origin.on(path, page("body", fields=[("X-Once", "1"), ("X-All", "1")], control=limits))
    first = edge.get(path)
    assert (first.headers.get("x-once"), first.headers.get("x-all")) == ("1", "1")
    hit = edge.until_hit(path)
    assert (hit.headers.get("x-once"), hit.headers.get("x-all")) == (None, "1")
