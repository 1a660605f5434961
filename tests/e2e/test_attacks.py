"""Attacks on web caches, on the real runtime and over raw sockets.

`tests/engine/attacks.rs` has the same attacks through the engine, each with its source; here is
what only the runtime can show: how it frames, what it lets through, and that no visitor gets what
another one sent.
"""

import gzip
import re
import urllib.parse
from pathlib import Path

import pytest
from origin import Reply, page
from wire import FRESH, mirror, raw, request_bytes, status_of

LISTS = (Path(__file__).resolve().parents[1] / "engine" / "attacks_lists" / "mod.rs").read_text()


def rust_strings(text):
    """The string literals of a Rust text, unescaped."""
    literals = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
    unescape = {"\\r": "\r", "\\n": "\n", '\\"': '"', "\\\\": "\\"}
    hexadecimal = re.compile(r"\\u\{([0-9a-f]+)\}")
    for literal in literals:
        literal = hexadecimal.sub(lambda found: chr(int(found[1], 16)), literal)
        yield re.sub(r'\\[rn"\\]', lambda found: unescape[found[0]], literal)


def rust_rows(name, width):
    """The rows of a constant list of tuples of strings."""
    body = LISTS.split(f"const {name}:")[1].split("= &[", 1)[1].split("\n];")[0]
    strings = list(rust_strings(body))
    assert len(strings) % width == 0
    return [tuple(strings[at : at + width]) for at in range(0, len(strings), width)]


HEADERS = rust_rows("HEADERS", 3)
NEGOTIATION = rust_rows("NEGOTIATION", 2)
ACCOUNT = [row[0] for row in rust_rows("ACCOUNT_BY_ANOTHER_NAME", 1)]


@pytest.fixture(scope="module")
def site_of_accounts(start_worker, origin):
    """A worker with a rule that keeps accounts out of the cache, and one for style sheets."""
    routes = [{"path": "/account/*", "action": "bypass"}, {"path": "*.css", "ttl": 3600}]
    return start_worker(origin.url, config={"new_keys_per_second": 10_000, "routes": routes})


@pytest.mark.slow
def test_unkeyed_headers_do_not_poison(edge, origin, path):
    """Property of every field of the scanners' lists: the next visitor's page has nothing of it."""
    assert len(HEADERS) >= 60
    failures = []
    for number, (name, value, source) in enumerate(HEADERS):
        for spelling in (name, name.replace("-", "_")) if "-" in name else (name,):
            own = f"{path}/{number}{'_' in spelling}"
            origin.on(own, mirror)
            raw(edge, request_bytes(own, [(spelling, value)]))
            visitor = edge.request("GET", own, {"host": "example.com"})
            if "canary" in visitor.text.lower() or visitor.status != 200:
                failures.append((source, spelling, visitor))
    assert not failures


def test_negotiation_carries_no_payload(edge, origin, path):
    rows = [(source, value) for source, value in NEGOTIATION if "\r" not in value]
    rows.append(("HHO", "canary/" + "x" * 9_000))
    for number, (source, value) in enumerate(rows):
        for name in ("Accept", "Accept-Language"):
            own = f"{path}/{number}{name}"
            origin.on(own, mirror)
            raw(edge, request_bytes(own, [(name, value)]))
            visitor = edge.request("GET", own, {"host": "example.com"})
            assert visitor.status == 200 and "canary" not in visitor.text.lower(), (source, name)


def chunked(*fields):
    """A POST with an empty chunked body behind these fields, then a smuggled request."""
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"POST {{path}} HTTP/1.1\r\nHost: example.com\r\n{lines}\r\n0\r\n\r\n".encode()


def sized(*fields):
    """A POST with the body `abc` behind these fields."""
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"POST {{path}} HTTP/1.1\r\nHost: example.com\r\n{lines}\r\nabc".encode()


def get(*lines, first="GET {path} HTTP/1.1", host="Host: example.com"):
    """A GET with these lines after its Host."""
    return "\r\n".join([first, *([host] if host else []), *lines, "", ""]).encode("latin-1")


# id, source, bytes, what the origin may get of it: nothing, or one request with that body.
SHAPES = [
    (
        "CL.TE",
        "RFC 9112 §6.3",
        chunked("Content-Length: 6", "Transfer-Encoding: chunked") + b"X",
        b"",
    ),
    (
        "TE with a space",
        "Kettle, HTTP Desync Attacks (2019)",
        chunked("Transfer-Encoding : chunked"),
        b"",
    ),
    ("TE behind a tab", "Kettle 2019", chunked("Transfer-Encoding:\tchunked"), b""),
    ("TE xchunked", "Kettle 2019", chunked("Transfer-Encoding: xchunked"), None),
    (
        "TE twice",
        "Kettle 2019",
        chunked("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        None,
    ),
    ("TE folded", "RFC 9112 §5.2", chunked("Transfer-Encoding:\r\n chunked"), None),
    ("TE gzip, chunked", "RFC 9112 §6.1", chunked("Transfer-Encoding: gzip, chunked"), None),
    (
        "TE identity beside CL",
        "RFC 9112 §6.3",
        sized("Transfer-Encoding: identity", "Content-Length: 3"),
        None,
    ),
    (
        "CL twice, different",
        "RFC 9112 §6.3",
        sized("Content-Length: 3", "Content-Length: 30"),
        None,
    ),
    (
        "CL twice, the same",
        "RFC 9112 §6.3",
        sized("Content-Length: 3", "Content-Length: 3"),
        b"abc",
    ),
    ("CL list", "RFC 9110 §8.6", sized("Content-Length: 3, 30"), None),
    ("CL signed", "CVE-2022-35256's kind", sized("Content-Length: +3"), None),
    ("CL negative", "RFC 9110 §8.6", sized("Content-Length: -1"), None),
    ("CL hexadecimal", "RFC 9110 §8.6", sized("Content-Length: 0x3"), None),
    (
        "chunk size 0x",
        "RFC 9112 §7.1",
        chunked("Transfer-Encoding: chunked").replace(b"0\r\n", b"0x3\r\nabc\r\n0\r\n"),
        b"",
    ),
    (
        "chunk size zz",
        "RFC 9112 §7.1",
        chunked("Transfer-Encoding: chunked").replace(b"0\r\n", b"zz\r\nabc\r\n0\r\n"),
        b"",
    ),
    (
        "chunk ends in LF",
        "RFC 9112 §7.1",
        chunked("Transfer-Encoding: chunked").replace(b"\r\n0\r\n\r\n", b"\r\n3\nabc\n0\n\n"),
        b"abc",
    ),
    ("fat GET, CL", "Kettle 2018", get("Content-Length: 6") + b"canary", b"canary"),
    (
        "fat GET, TE",
        "Kettle 2018",
        get("Transfer-Encoding: chunked") + b"6\r\ncanary\r\n0\r\n\r\n",
        b"canary",
    ),
    ("folded line", "RFC 9112 §5.2", get("X-Own: a\r\n canary"), b""),
    ("folded Accept", "RFC 9112 §5.2", get("Accept: text/html,\r\n X-Evil: canary"), b""),
    ("line ends in LF", "RFC 9112 §2.2", get("X-Own: canary").replace(b"\r\n", b"\n"), b""),
    ("bare CR", "RFC 9112 §2.2", get("X-Own: a\rX-Evil: canary"), b""),
    ("NUL", "RFC 9110 §5.5", get("X-Own: a\0canary"), b""),
    ("field without a name", "RFC 9112 §5", get(": canary"), b""),
    ("field without a colon", "RFC 9112 §5", get("canary"), b""),
    (
        "space before the first field",
        "RFC 9112 §2.2",
        get(first="GET {path} HTTP/1.1\r\n X-Evil: canary"),
        b"",
    ),
    (
        "absolute form, another host",
        "RFC 9112 §3.2.2",
        get(first="GET http://canary.example{path} HTTP/1.1"),
        None,
    ),
    (
        "absolute form, another scheme",
        "RFC 9112 §3.2.2",
        get(first="GET https://canary.example{path} HTTP/1.1"),
        None,
    ),
    (
        "absolute form, user",
        "RFC 9110 §4.2.4",
        get(first="GET http://canary@example.com{path} HTTP/1.1"),
        None,
    ),
    ("authority form", "RFC 9112 §3.2.3", get(first="GET canary.example:80 HTTP/1.1"), None),
    ("CONNECT", "RFC 9110 §9.3.6", get(first="CONNECT canary.example:80 HTTP/1.1"), None),
    ("asterisk form", "RFC 9112 §3.2.4", get(first="GET * HTTP/1.1"), None),
    ("no slash", "RFC 9112 §3.2.1", get(first="GET canary HTTP/1.1"), None),
    ("no Host", "RFC 9112 §3.2", get(host=None), None),
    ("two Hosts", "RFC 9112 §3.2", get("Host: canary.example"), None),
    ("Host list", "RFC 9112 §3.2", get(host="Host: example.com, canary.example"), None),
    ("Host with a space", "Kettle 2020", get(host="Host: example.com canary"), None),
    ("Host with a path", "Kettle 2020", get(host="Host: example.com/canary?"), None),
    ("Host with a user", "Kettle 2020", get(host="Host: canary@example.com"), None),
    ("Host with a fragment", "Kettle 2020", get(host="Host: example.com#canary"), None),
    ("Host with a backslash", "Kettle 2020", get(host="Host: example.com\\canary"), None),
    ("Host percent-encoded", "Kettle 2020", get(host="Host: ex%61mple.com"), None),
    ("Host with a bad port", "Kettle 2018", get(host="Host: example.com:canary"), None),
    ("Host with a great port", "Kettle 2018", get(host="Host: example.com:99999"), None),
    ("Host in 8 bits", "RFC 9110 §7.2", get(host="Host: ex\xe4mple.com"), None),
    (
        "h2c upgrade",
        "J. Miller, h2c Smuggling (2020)",
        get(
            "Connection: Upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQAAP__",
        ),
        b"",
    ),
    ("HTTP/2 preface", "RFC 9113 §3.4", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", None),
    ("HTTP/0.9", "RFC 9112 §2.3", b"GET {path}\r\n", None),
]


@pytest.mark.parametrize(
    ("shape", "source", "data", "body"), SHAPES, ids=[row[0] for row in SHAPES]
)
def test_a_strange_request_is_refused_or_reframed(edge, origin, path, shape, source, data, body):
    """Whatever an origin gets of it is one request, framed in one way, and poisons nothing.

    What may be stored is fetched by a request of the worker's own, which has nothing of the attack:
    at once, or behind the answer if the visitor's fields are unknown.
    """
    origin.on(path, mirror)
    reached = len(origin.everything())
    answer = raw(edge, data.replace(b"{path}", path.encode()))
    came = origin.everything()[reached:]
    own = [request for request in came if (request.get("user-agent") or "").startswith("edge-isr/")]
    got = [request for request in came if request not in own]
    assert max(len(got), len(own)) <= (0 if body is None else 1), (source, came)
    for request in own:
        assert b"canary" not in request.head.lower() and not request.body, (source, request)
    if body is None:
        assert status_of(answer) == 0 or 400 <= status_of(answer) < 600, answer
    for request in got:
        assert request.body == body
        assert len({"content-length", "transfer-encoding"} & request.names) <= 1
        assert request.get("x-forwarded-host") == "example.com" and "canary" not in request.target
        assert "upgrade" not in request.names or shape == "h2c upgrade"
    visitor = edge.request("GET", path, {"host": "example.com"})
    assert visitor.status == 200 and "canary" not in visitor.text.lower(), (source, visitor)


def test_a_smuggled_request_is_the_attackers_own(edge, origin, path):
    """What follows a request on its connection is answered there, and on no other connection."""
    origin.on(path, page("page"))
    smuggled = f"GET {path}/smuggled HTTP/1.1\r\nX: ".encode()
    attack = chunked("Content-Length: 4", "Transfer-Encoding: chunked").replace(
        b"{path}", path.encode()
    )
    for _ in range(3):
        raw(edge, attack + smuggled)
        assert edge.request("GET", path, {"host": "example.com"}).text == "page"
    assert origin.count(f"{path}/smuggled") == 0


def test_host_games(edge, origin, path):
    """Case is no difference, a port is one, and neither reaches another visitor's page."""

    def redirect(connection, request):
        Reply(b"", [*FRESH, ("Location", f"http://{request.get('x-forwarded-host')}/en/")], 301)(
            connection, request
        )

    origin.on(path, redirect)
    for host in ("example.com:1337", "canary.example", "example.com.", "EXAMPLE.com:1337"):
        location = re.search(rb"[Ll]ocation: (.*)\r\n", raw(edge, request_bytes(path, host=host)))
        assert location[1].decode() == f"http://{host.lower()}/en/"
    before = origin.count(path)
    for host in ("example.com", "EXAMPLE.COM", "example.com:80"):
        answer = raw(edge, request_bytes(path, host=host))
        assert b"http://example.com/en/" in answer, answer
    assert origin.count(path) == before + 1


def test_a_port_or_scheme_can_not_be_claimed(edge, origin, path):
    origin.on(path, mirror)
    fields = [
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "canary"),
        ("X_Forwarded_Proto", "canary"),
    ]
    raw(edge, request_bytes(path, fields))
    seen = origin.requests(path)[0]
    assert seen.get("x-forwarded-proto") == "http" and "x-forwarded-port" not in seen.names
    raw(edge, request_bytes(path, [*fields, ("Content-Length", "0")], method="POST"))
    assert b"canary" not in origin.requests(path)[-1].head


@pytest.mark.parametrize(
    "target",
    [
        "/x/..%2f{}",
        "/%2e%2e%2f{}",
        "/%252e%252e%252f{}",
        "/%{first:02x}{rest}",
        "/%25{first:02x}{rest}",
        "/%2525{first:02x}{rest}",
        "/{}%00",
        "/{}%2500",
        "/{}%0d%0aX:canary",
        "/{};canary",
        "/{}%3fcanary",
        "/{}%253fcanary",
        "/{}%23canary",
        "//{}",
        "/{}?utm_source=x;canary",
    ],
)
def test_encoded_paths_poison_nothing(edge, origin, path, target):
    """The origin of this test answers `canary` for each spelling but the plain one."""
    name = f"{path[1:]}-{target.count('%')}-{len(target)}"
    plain, spelling = f"/{name}", target.format(name, first=ord(name[0]), rest=name[1:])
    origin.on(plain, page("page"))
    if spelling.split("?")[0] != plain:
        origin.on(spelling.split("?")[0], page("canary"))
    raw(edge, request_bytes(spelling))
    assert edge.request("GET", plain, {"host": "example.com"}).text == "page"


def test_deception(site_of_accounts, origin):
    """The victim's account is in nobody else's answer, under none of its names."""

    def account(connection, request):
        Reply(
            b"account of " + (request.get("cookie") or "nobody").encode(),
            [("Content-Type", "text/html"), *FRESH],
        )(connection, request)

    for spelling in ACCOUNT:
        # What the runtime resolves itself is asked for as it arrives.
        for name in {
            spelling,
            urllib.parse.urljoin("http://a" + spelling, spelling).removeprefix("http://a"),
        }:
            origin.on(name.split("?")[0], account)
        for cookie in ("sessionid=victim", "auth=victim"):
            raw(site_of_accounts, request_bytes(spelling, [("Cookie", cookie)]))
            attacker = raw(site_of_accounts, request_bytes(spelling))
            assert b"victim" not in attacker, (spelling, attacker)
            assert b"edge-isr;hit" not in attacker.lower() or b"nobody" in attacker


@pytest.mark.parametrize(
    "spelling",
    [
        "/%61ccount/x",
        "/%2561ccount/x",
        "//account/x",
        "/s/..%2faccount/x",
        "/account%2fx",
        "/account;a/x",
        "/%5caccount/x",
    ],
)
def test_a_bypass_rule_holds_for_every_spelling(site_of_accounts, origin, spelling):
    origin.on(spelling, page("account"))
    for _ in range(2):
        answer = raw(site_of_accounts, request_bytes(spelling))
        assert b"detail=route" in answer, answer


def test_a_page_under_a_files_name_is_not_kept_by_a_rule(site_of_accounts, origin, path):
    """No freshness of the origin's own, and HTML where the rule was made for style sheets."""
    for name, kind, stored in (("a.css", "text/html", False), ("b.css", "text/css", True)):
        origin.on(f"{path}/{name}", Reply(b"x", [("Content-Type", kind)]))
        answer = site_of_accounts.get(f"{path}/{name}")
        assert ("stored" in answer.cache) == stored, answer


def test_line_ends_stay_encoded(edge, origin, path):
    """Response splitting: what a URL carries is text to everyone."""
    target = f"{path}%0d%0aSet-Cookie:%20canary=1"
    origin.on(target, lambda c, r: Reply(b"x", [*FRESH, ("Location", r.target)], 301)(c, r))
    for _ in range(2):
        answer = raw(edge, request_bytes(target)).lower()
        assert b"\r\nset-cookie" not in answer and b"%0d%0aset-cookie" in answer


def test_loops_end(edge, origin, path):
    origin.on(path, mirror)
    for value in ("edge-isr", "other, EDGE-ISR; x=1", '"edge-isr'):
        answer = raw(edge, request_bytes(path, [("CDN-Loop", value), ("Connection", "cdn-loop")]))
        assert status_of(answer) == 508 and origin.count(path) == 0
    raw(edge, request_bytes(path, [("CDN-Loop", "canary")]))
    assert "canary" not in edge.request("GET", path, {"host": "example.com"}).text


def test_connection_takes_nothing_away_that_decides(edge, origin, path):
    """Hop-by-hop abuse, from both sides."""
    origin.on(path, mirror)
    names = "close, Cookie, X-Forwarded-Host, Accept-Encoding, User-Agent, CDN-Loop"
    names += ", X-Edge-ISR-Origin-Auth"
    data = request_bytes(path, [("Cookie", "sessionid=1")]).replace(
        b"Connection: close", b"Connection: " + names.encode()
    )
    assert b"bypass-cookie" in raw(edge, data)
    seen = origin.requests(path)[-1]
    assert {"cookie", "x-forwarded-host", "cdn-loop"} <= seen.names
    for name, value in (("Age", "100"), ("Set-Cookie", "a=1"), ("Vary", "*")):
        own = f"{path}/{name}"
        origin.on(own, Reply(b"x", [*FRESH, (name, value), ("Connection", name)]))
        for _ in range(2):
            assert not edge.get(own).hit


def test_a_coding_that_the_visitor_does_not_take(edge, origin, path):
    """The origin always compresses and varies on nothing: who does not take gzip is not given what
    others were.
    """

    def packed(connection, request):
        if "gzip" in (request.get("accept-encoding") or ""):
            Reply(gzip.compress(b"page"), [*FRESH, ("Content-Encoding", "gzip")])(
                connection, request
            )
        else:
            Reply(b"page", FRESH)(connection, request)

    origin.on(path, packed)
    for _ in range(2):
        first = edge.get(path, accept_encoding="gzip")
        assert (
            first.headers["content-encoding"] == "gzip" and gzip.decompress(first.body) == b"page"
        )
        plain = edge.get(path, accept_encoding="identity")
        assert "content-encoding" not in plain.headers and plain.body == b"page"
    assert origin.count(path) == 2


def test_a_path_of_slashes_makes_no_page(edge, origin, path):
    """Each segment would be a target that every hit compares."""
    deep = path + "/a" * 4_000
    origin.on(deep, page("page"))
    for _ in range(2):
        answer = raw(edge, request_bytes(deep))
        assert status_of(answer) == 200 and b"detail=path-depth" in answer, answer
    assert origin.count(deep) == 2


def test_invented_urls_and_sessions_cost_what_they_may(start_worker, origin, path):
    """Denial of wallet: beyond the budget nothing lasting; origin requests within their limit."""
    import threading

    small = start_worker(origin.url, config={"new_keys_per_second": 2, "origin_concurrency": 3})
    origin.on(path, page("page", tags="a"))
    shown = [small.get(f"{path}?x={number}").cache for number in range(40)]
    assert any(cache.get("detail") == "key-budget" for cache in shown)
    release = threading.Event()

    lock = threading.Lock()
    at_once = most_at_once = 0

    def slow(connection, request):
        nonlocal at_once, most_at_once
        with lock:
            at_once += 1
            most_at_once = max(most_at_once, at_once)
        release.wait(10)
        with lock:
            at_once -= 1
        Reply(b"x", FRESH)(connection, request)

    origin.on(f"{path}/slow", slow)
    answers = []

    def ask(number):
        answers.append(
            raw(
                small,
                request_bytes(f"{path}/slow", [("Cookie", f"sessionid={number}")]),
                timeout=20,
            )
        )

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads[:]:
        thread.join(0.2)
    release.set()
    for thread in threads:
        thread.join(20)
    statuses = sorted(map(status_of, answers))
    assert statuses == [200] * 12, "they wait for their turn"
    assert most_at_once == 3
