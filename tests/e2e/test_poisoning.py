"""What one visitor sends decides nothing of what the next one gets: attacks by plain requests, on
the real runtime.

`tests/engine/attacks.rs` has them through the engine, each with its source; `test_attacks.py` has
those that need raw bytes.
"""

import pytest
from conftest import SEEN_SECONDS
from origin import Reply, page
from wire import FRESH, mirror, raw, request_bytes, status_of

HOST = {"host": "example.com"}


def picky(connection, request):
    """An origin that refuses what is long, odd or another method, and says that all may keep the
    refusal.
    """
    size = sum(len(name) + len(value) for name, value in request.fields)
    odd = any(not 32 <= byte < 127 for _, value in request.fields for byte in value)
    override = any("method" in name.lower() for name, _ in request.fields)
    refused = size > 4_096 or odd or override or request.method != "GET"
    Reply(b"canary" if refused else b"page", FRESH, 400 if refused else 200)(connection, request)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("HHO", "X-Oversized-Header-1", "x" * 9_000),
        ("HHO", "Accept", "x" * 9_000),
        ("HHO", "Cookie", "a=" + "x" * 9_000),
        ("HMC", "X-Metachar-Header", "a\x07"),
        ("HMC", "Accept-Language", "a\x07"),
        ("HMC", "Accept", "caf\xe9/x"),
        ("HMO", "X-HTTP-Method-Override", "POST"),
        ("HMO", "X_HTTP_Method_Override", "POST"),
    ],
)
def test_no_header_makes_an_error_page_for_everyone(edge, origin, path, kind, name, value):
    """CPDoS: the origin refuses, and the refusal is nobody else's."""
    origin.on(path, picky)
    assert status_of(raw(edge, request_bytes(path, [(name, value)]))) in (0, 200, 400, 431), kind
    visitor = edge.request("GET", path, HOST)
    assert (visitor.status, visitor.text) == (200, "page"), kind


def test_methods_can_not_be_overridden(edge, origin, path):
    """The page is that of GET, whatever an override or a method of one's own asked for before."""
    origin.on(path, lambda c, r: Reply(r.head.split(b" ")[0] + r.target.encode(), FRESH)(c, r))
    raw(edge, request_bytes(f"{path}?_method=CANARY"))
    for method in ("get", "PURGE", "CANARY", "POST"):
        answer = raw(edge, request_bytes(path, [("Content-Length", "0")], method=method))
        assert status_of(answer) >= 400 or b"fwd=method" in answer, (method, answer)
    raw(
        edge,
        request_bytes(path, [("X-HTTP-Method-Override", "CANARY"), ("X-HTTP-Method", "CANARY")]),
    )
    assert edge.request("GET", path, HOST).text == f"GET{path}"


@pytest.mark.parametrize(
    "query",
    [
        "id=1&utm_content=x;id=canary",
        "id=1&utm_content=x%26id=canary",
        "utm_content=x;id=canary&id=1",
        "id=1&%75tm_content=canary",
        "id=1&fbclid[]=canary",
        "id=1&&utm_source=canary&",
        "id=1;x=canary",
        "id=1&ID=canary",
        "id=1&id=canary",
        "id=canary&id=1",
    ],
)
def test_parameters_can_not_be_cloaked(edge, origin, path, query):
    """The origin sees the very query that is in the key."""
    origin.on(path, mirror)
    raw(edge, request_bytes(f"{path}?{query}"))
    visitor = edge.request("GET", f"{path}?id=1", HOST)
    assert visitor.status == 200 and "canary" not in visitor.text, visitor


def test_a_key_can_not_be_put_together_out_of_other_parts(start_worker, origin, path):
    """Cache key injection: a cookie's value, or a path, that looks like the parts behind it."""
    keyed = start_worker(origin.url, config={"defaults": {"key_cookies": ["a", "b"]}})
    for number, (more, cookie) in enumerate(
        [
            ("", "a=18:cookie:b1:2"),
            ("", "a=1, b=2"),
            ("-8:cookie:a1:18:cookie:b1:2", ""),
            ("?-8:cookie:a1:1", "b=2"),
        ]
    ):
        own = f"{path}-{number}"
        origin.on(own + more.split("?")[0], mirror)
        origin.on(own, mirror)
        raw(keyed, request_bytes(own + more, [("Cookie", cookie)]))
        first = keyed.request("GET", own, {**HOST, "cookie": "a=1; b=2"})
        assert not first.hit and "cookie: a=1; b=2" in first.text.lower(), (more, cookie, first)


@pytest.mark.parametrize(
    "fields",
    [
        [("Vary", "Cookie"), ("Set-Cookie", "csrftoken=canary")],
        [("Vary", "Cookie"), ("Set-Cookie", "a=1"), ("Set-Cookie", "sessionid=canary")],
        [("Content-Security-Policy", "script-src 'self' 'nonce-canary'")],
        [
            ("Content-Security-Policy", "img-src *"),
            ("Content-Security-Policy-Report-Only", "script-src 'NONCE-canary'"),
        ],
    ],
    ids=["csrf", "session", "nonce", "nonce-report-only"],
)
def test_pages_with_tokens_and_nonces_are_not_shared(edge, origin, path, fields):
    origin.on(path, Reply(b"canary", [*FRESH, *fields]))
    for _ in range(2):
        seen = edge.get(path, cookie="csrftoken=mine")
        assert not seen.hit and "stored" not in seen.cache, seen
    origin.on(path, page("page"))
    assert edge.get(path).text == "page"


def test_an_odd_variant_does_not_take_the_others_out_of_the_cache(edge, origin, path):
    """A marker that an answer can't be stored is for the variant that it was seen on."""

    def site(connection, request):
        json = request.get("accept") == "application/json"
        control = [("Cache-Control", "no-store")] if json else FRESH
        Reply(b"api" if json else b"page", [*control, ("Vary", "Accept")])(connection, request)

    origin.on(path, site)
    edge.get(path, accept="text/html")
    assert edge.get(path, accept="application/json").text == "api"
    assert edge.until_hit(path, accept="text/html").text == "page"


@pytest.mark.parametrize("status", [400, 406, 500, 503])
def test_an_error_does_not_take_a_page_out_of_the_cache(edge, origin, path, status):
    origin.on(path, Reply(b"error", [], status))
    assert edge.get(path).status == status
    origin.on(path, page("page"))
    assert edge.until_hit(path).text == "page"


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", b"not gzip at all"),
        ("br", b"\x00"),
        ("gzip, gzip", b"x"),
        ("canary", b"x"),
        ("gzip;q=0", b"x"),
    ],
)
def test_a_coding_that_lies_is_passed_on_and_decoded_by_nobody(edge, origin, path, coding, body):
    """Decompression mismatches: the edge does not decode, so the bytes and what is said of them
    stay together.
    """
    origin.on(path, Reply(body, [*FRESH, ("Content-Encoding", coding)]))
    for _ in range(3):
        # The local runtime's own front recodes what is not in the coding that comes first here.
        seen = edge.get(path, accept_encoding="br, gzip" if coding == "br" else "gzip, br")
        assert (
            seen.status == 200 and seen.body == body and seen.headers["content-encoding"] == coding
        ), seen
    origin.on(path, page("page"))
    assert edge.get(path, accept_encoding="identity").text == "page"


def test_a_redirect_to_https_does_not_answer_itself_and_a_purge_reaches_both_schemes(
    edge, origin, path, tag
):
    """The scheme is in the key, and no part of what a purge names."""

    def site(connection, request):
        fields = [*FRESH, ("X-Edge-ISR-Tags", tag)]
        if request.get("x-forwarded-proto") == "https":
            return Reply(b"page", fields)(connection, request)
        return Reply(b"", [*fields, ("Location", f"https://example.com{path}")], 301)(
            connection, request
        )

    origin.on(path, site)
    # The local runtime's own field for the URL that a request came to.
    schemes = {
        scheme: {"mf-original-url": f"{scheme}://example.com{path}"} for scheme in ("http", "https")
    }
    statuses = {"http": 301, "https": 200}

    def both(hits):
        for scheme, fields in schemes.items():
            seen = edge.request("GET", path, {**HOST, **fields, "x-forwarded-proto": "http"})
            assert seen.status == statuses[scheme], (scheme, seen)
            assert hits is None or seen.hit == hits, (scheme, seen)

    both(False)
    for fields in schemes.values():
        edge.until(lambda answer: answer.hit, path, **HOST, **fields)
    both(True)
    for command in (
        {"tags": [tag]},
        {"urls": [f"http://example.com{path}"]},
        {"urls": [f"https://example.com{path}"]},
    ):
        asked = {scheme: origin_requests(origin, path, scheme) for scheme in schemes}
        edge.revalidate({**command, "mode": "hard", "warm": False})
        for scheme, fields in schemes.items():

            def fetched(answer, scheme=scheme):
                return (
                    answer.status == statuses[scheme]
                    and origin_requests(origin, path, scheme) > asked[scheme]
                )

            edge.until(fetched, path, SEEN_SECONDS + 1, **HOST, **fields)


def origin_requests(origin, path, scheme):
    """How often the origin was asked for a page by a scheme."""
    return sum(request.get("x-forwarded-proto") == scheme for request in origin.requests(path))
