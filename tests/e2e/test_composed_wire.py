"""Composed pages of an origin that speaks their wire itself, and speaks it badly: what a visitor
gets of parts that fail or are somebody's own, of shells that were changed on their way, and that
nobody meets a byte of another, or a shell as it is stored.
"""

import contextlib
import gzip
import itertools
import json
import random
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from origin import Reply, page

HTML = ("Content-Type", "text/html; charset=utf-8")
TOKEN = re.compile(r"[A-Za-z0-9]{64}")
PERSONAL = "/_edge_isr/personal"
MARKER = "eIsR"
MANY = 200
AT_ONCE = 20
_renders = itertools.count(1)


@pytest.fixture(scope="module")
def edge(start_worker, origin):
    """A worker that composes, and waits two seconds for parts."""
    return start_worker(
        origin.url,
        config={
            "new_keys_per_second": 10_000,
            "compose_timeout": 2,
            "defaults": {"compose": True},
            "routes": [{"path": "/admin/*", "action": "bypass", "compose": False}],
        },
    )


def shell(body, more="", change=None):
    """A page: its shell for the edge, inline for all others. In `body`, `{m}` is the marker."""

    def behaviour(connection, request):
        if request.get("x-edge-isr-compose") != "v=1":
            fields = [HTML, ("Cache-Control", "private, no-store")]
            return Reply(f"inline {request.get('cookie')}".encode(), fields)(connection, request)
        assert request.get("cookie") is None
        marker = f"{MARKER}{next(_renders):039}"
        text = body.format(m=marker).encode()
        field = (
            f'v=1, max-age=300, swr=600, marker="{marker}", '
            f"placeholders={text.count(marker.encode())}, "
            f'length={len(text)}, audience=all, csrf=("csrftoken" "Path=/")' + more
        )
        fields = [
            HTML,
            ("Cache-Control", "private, no-store"),
            ("X-Edge-ISR-Compose", field),
        ]
        reply = Reply(text, fields)
        return (change or (lambda reply: reply))(reply)(connection, request)

    return behaviour


def with_menu(origin, path, src=None, change=None):
    """A page with a shared part."""
    body = "<p>{m}s00none {m}t00{m}e00</p>"
    origin.on(path, shell(body, f', shared=("{src or path + "-menu"}")', change))


def is_fallback(answer):
    """A page with the fallback of its part: the page is served, and nothing else is in it."""
    found = re.fullmatch(r"<p>none ([A-Za-z0-9]{64})</p>", answer.text)
    return answer.status == 200 and found and "sessionid" not in str(answer.headers)


def chunked(body, whole=True):
    """A body of unknown length, cut off in its middle if it is not whole."""

    def behaviour(connection, _request):
        fields = [HTML, ("CDN-Cache-Control", "max-age=300"), ("Transfer-Encoding", "chunked")]
        connection.head(fields=fields)
        # The edge may have enough of it.
        with contextlib.suppress(OSError):
            for at in range(0, len(body), 1 << 16):
                connection.chunk(body[at : at + (1 << 16)])
            if whole:
                connection.chunk(b"")

    return behaviour


def public(body=b"[secret]", fields=(), status=200, kind=HTML):
    """A part that everybody may keep, but for what is wrong with it."""
    return Reply(body, [kind, ("CDN-Cache-Control", "max-age=300"), *fields], status)


# What can't be a shared part. None of these bodies may be in anybody's page.
NO_PARTS = {
    "500": public(status=500),
    "302": public(fields=[("Location", "/login/")], status=302),
    "304": public(b"", [("ETag", '"a"')], 304),
    "206": public(fields=[("Content-Range", "bytes 0-7/100")], status=206),
    "10 MiB": public(b"x" * (10 << 20)),
    "10 MiB in chunks": chunked(b"x" * (10 << 20)),
    "cut": chunked(b"[secret]", whole=False),
    "binary": public(b"\x89PNG\r\n\x1a\n\0", kind=("Content-Type", "image/png")),
    "of no type at all": public(b"\0\xff\xfe", kind=("Content-Type", "application/octet-stream")),
    "another charset": public(kind=("Content-Type", "text/html; charset=iso-8859-1")),
    "compressed": public(gzip.compress(b"[secret]"), [("Content-Encoding", "gzip")]),
    "a cookie": public(fields=[("Set-Cookie", "sessionid=bob")]),
    "private": Reply(b"[secret]", [HTML, ("Cache-Control", "private, max-age=60")]),
    "no-store": Reply(b"[secret]", [HTML, ("Cache-Control", "no-store")]),
    "no lifetime": Reply(b"[secret]", [HTML]),
    "bypass": public(fields=[("X-Edge-ISR", "bypass")]),
    "a shell": shell("[secret]{m}t00"),
}


@pytest.mark.parametrize("what", NO_PARTS)
def test_what_can_not_be_a_shared_part_is_a_fallback(edge, origin, path, what):
    with_menu(origin, path)
    origin.on(f"{path}-menu", NO_PARTS[what])
    for cookie in ("", "sessionid=ada", "_ga=1", "sessionid=bob"):
        answer = edge.get(path, **({"cookie": cookie} if cookie else {}))
        assert is_fallback(answer), (cookie, answer, answer.headers)
    for request in origin.requests(f"{path}-menu"):
        assert not request.names & {"cookie", "authorization", "if-none-match", "range"}
    assert is_fallback(edge.until_hit(path))


def test_a_shared_part_that_never_comes_is_a_fallback_in_time(edge, origin, path):
    """The page does not wait for it: it is there before the part is let go."""
    go = threading.Event()

    def never(connection, request):
        go.wait(30)
        public()(connection, request)

    with_menu(origin, path)
    origin.on(f"{path}-menu", never)
    assert is_fallback(edge.get(path))
    assert is_fallback(edge.get(path, cookie="sessionid=ada"))
    assert not go.is_set()
    go.set()
    edge.until(lambda answer: answer.text == "<p>[secret]</p>", path)


@pytest.mark.parametrize(
    "src", ["/__isr/healthz", "/%5f_isr/healthz", "/cdn-cgi/trace", "/admin/x", "/x/%2e%2e/admin/x"]
)
def test_a_shared_part_leads_nowhere_that_a_fragment_may_not(edge, origin, path, src):
    with_menu(origin, path, src)
    origin.on(src, public())
    for cookie in ("", "sessionid=ada"):
        assert is_fallback(edge.get(path, **({"cookie": cookie} if cookie else {})))
    assert origin.count(src) == 0


@pytest.mark.parametrize("src", ["//evil.example/x", "https://evil.example/x", "x"])
def test_a_shared_part_of_another_host_is_no_shell(edge, origin, path, src):
    with_menu(origin, path, src)
    for cookie in ("_ga=1", "sessionid=ada"):
        answer = edge.get(path, cookie=cookie)
        assert answer.text == f"inline {cookie}"
        assert answer.cache["detail"].endswith("compose-field"), answer
    assert origin.count("/x") == 0


def changed(name, value=None):
    """A reply whose field of this name is another, or is not there."""

    def change(reply):
        fields = [pair for pair in reply.fields if pair[0] != name]
        return Reply(reply.body, fields + ([(name, value)] if value else []), reply.status)

    return change


def field_of(reply, change):
    """A reply whose compose field was changed on its way."""
    value = dict(reply.fields)["X-Edge-ISR-Compose"]
    return changed("X-Edge-ISR-Compose", change(value))(reply)


def coded(reply):
    """A reply that was compressed on its way."""
    return Reply(gzip.compress(reply.body), [*reply.fields, ("Content-Encoding", "gzip")])


# A shell that was changed on its way.
CHANGED = {
    "stripped": changed("X-Edge-ISR-Compose"),
    "cut": lambda reply: field_of(reply, lambda value: value[:-20]),
    "joined": lambda reply: field_of(reply, lambda value: f"{value}, {value}"),
    "two lines": lambda reply: Reply(reply.body, [*reply.fields, reply.fields[-1]]),
    "another marker beside it": lambda reply: field_of(
        reply, lambda value: value + f', marker="{MARKER}{0:039}"'
    ),
    "public": changed("Cache-Control", "public, max-age=60"),
    "out of a cache": lambda reply: Reply(reply.body, [*reply.fields, ("Age", "1")]),
    "a cookie": lambda reply: Reply(reply.body, [*reply.fields, ("Set-Cookie", "a=b")]),
    "compressed": coded,
    "minified": lambda reply: Reply(reply.body.replace(b"</p>", b""), reply.fields),
    "longer": lambda reply: Reply(reply.body + b" ", reply.fields),
    "another placeholder": lambda reply: Reply(reply.body.replace(b"t00", b"x00"), reply.fields),
    "another status": lambda reply: Reply(reply.body, reply.fields, 203),
}


@pytest.mark.parametrize("what", CHANGED)
def test_a_shell_that_was_changed_on_its_way_reaches_nobody(edge, origin, path, what):
    origin.on(path, shell("<p>{m}t00</p>", change=CHANGED[what]))
    for headers in (
        {},
        {"cookie": "sessionid=ada"},
        {"cookie": "_ga=1"},
        {"range": "bytes=0-9"},
        {"if_none_match": "*"},
    ):
        answer = edge.get(path, **headers)
        assert answer.text == f"inline {headers.get('cookie')}", (headers, answer)
        assert MARKER not in str(answer.headers) and not answer.hit
    head = edge.request("HEAD", path)
    assert MARKER not in str(head.headers) and head.body == b""


def test_a_shell_that_breaks_off_reaches_nobody(edge, origin, path):
    """… nor does what of it was read."""

    def cut(reply):
        def behaviour(connection, _request):
            connection.head(fields=[*reply.fields, ("Content-Length", len(reply.body) + 9)])
            connection.send(reply.body)

        return behaviour

    origin.on(path, shell("<p>{m}t00</p>", change=cut))
    for _ in range(2):
        answer = edge.get(path)
        assert answer.status in (200, 502, 504) and MARKER not in answer.text, answer


def test_conditions_ranges_and_head_get_the_page_whole_or_nothing(edge, origin, path):
    origin.on(path, shell("<p>{m}t00</p>"))
    for _ in range(2):
        for headers in (
            {"range": "bytes=0-9"},
            {"range": "bytes=-9"},
            {"if_none_match": "*"},
            {"if_modified_since": "Fri, 31 Dec 2100 00:00:00 GMT"},
            {"accept_encoding": "gzip"},
        ):
            answer = edge.get(path, **headers)
            assert answer.status == 200 and MARKER not in str(answer.headers), answer
            text = answer.text
            if "content-encoding" in answer.headers:
                text = gzip.decompress(answer.body).decode()
            assert re.fullmatch(r"<p>[A-Za-z0-9]{64}</p>", text), (headers, text)
        head = edge.request("HEAD", path)
        assert head.status == 200 and head.body == b"" and "set-cookie" not in head.headers
    assert origin.count(path) == 1


def own_parts(change=lambda request, reply: reply):
    """The origin's answer for parts: who asks, and for what page."""

    def behaviour(connection, request):
        asked = request.get("x-edge-isr-personal") or ""
        said = dict(re.findall(r'(\w+)="([^"]*)"', asked))
        session = re.search(r"sessionid=(\w+)", request.get("cookie") or "")
        text = f"[{session[1] if session else None} on {said.get('page')}]"
        body = json.dumps({"id": said.get("id"), "parts": {"who": text}}).encode()
        fields = [("Content-Type", "application/json"), ("Cache-Control", "private, no-store")]
        return change(request, Reply(body, fields))(connection, request)

    return behaviour


def with_parts(origin, path, more=""):
    """A page with a token, a part of its visitor's own and a shared one."""
    body = "<p>{m}t00|{m}p00nobody{m}e00|{m}s00none{m}e00</p>"
    more += f', cookies=("sessionid" "messages"), personal=("who"), shared=("{path}-menu")'
    origin.on(path, shell(body, more))
    origin.on(f"{path}-menu", page("[menu]", fields=[HTML]))


# What of an answer for parts is not believed.
UNBELIEVED = {
    "another's": lambda request, reply: Reply(
        b'{"id":"' + b"a" * 32 + b'","parts":{"who":"[bob]"}}', reply.fields
    ),
    "a part too many": lambda request, reply: Reply(
        reply.body.replace(b'"who"', b'"bob":"[bob]","who"'), reply.fields
    ),
    "Age": lambda request, reply: Reply(reply.body, [*reply.fields, ("Age", "1")]),
    "a cache's hit": lambda request, reply: Reply(
        reply.body, [*reply.fields, ("Cache-Status", "other; hit")]
    ),
    "public": lambda request, reply: Reply(reply.body, [reply.fields[0]]),
    "302": lambda request, reply: Reply(b"", [("Location", "/2fa/")], 302),
    "HTML": lambda request, reply: Reply(b"[bob]", [HTML]),
    "300 KiB": lambda request, reply: Reply(reply.body + b" " * (300 << 10), reply.fields),
    "not UTF-8": lambda request, reply: Reply(reply.body.replace(b"[", b"\xff[", 1), reply.fields),
    "cut": lambda request, reply: chunked(reply.body[:-2], whole=False),
}


@pytest.mark.parametrize("what", UNBELIEVED)
def test_a_personal_answer_that_can_not_be_believed_is_a_fallback(edge, origin, path, what):
    with_parts(origin, path)
    origin.on(PERSONAL, own_parts(UNBELIEVED[what]))
    edge.until_hit(path)
    answer = edge.get(path, cookie="sessionid=ada")
    assert re.fullmatch(r"<p>[A-Za-z0-9]{64}\|nobody\|\[menu\]</p>", answer.text), answer
    origin.on(PERSONAL, own_parts())
    assert f"|[ada on {path}]|[menu]" in edge.get(path, cookie="sessionid=ada").text


def test_with_a_gate_such_an_answer_sends_the_visitor_to_the_origin(edge, origin, path):
    with_parts(origin, path, ", gate")
    origin.on(PERSONAL, own_parts(UNBELIEVED["302"]))
    edge.until_hit(path)
    answer = edge.get(path, cookie="sessionid=ada")
    assert answer.text == "inline sessionid=ada" and answer.cache["detail"] == "compose-gate"


def test_parts_that_never_come_hold_no_page_up(edge, origin, path):
    go = threading.Event()

    def never(connection, request):
        go.wait(30)
        own_parts()(connection, request)

    with_parts(origin, path)
    origin.on(PERSONAL, never)
    edge.until_hit(path)
    for _ in range(2):
        assert "|nobody|[menu]" in edge.get(path, cookie="sessionid=ada").text
    assert not go.is_set()
    go.set()


@pytest.mark.parametrize("more", ["", ", wait", ", gate"], ids=["late", "wait", "gate"])
def test_two_hundred_interleaved_visitors_never_meet(edge, origin, path, more):
    """Twenty at once, whose parts the origin holds until all of them have asked, and gives in
    another order than they came.
    """
    pages = [f"{path}/{number}" for number in range(4)]
    for one in pages:
        with_parts(origin, one, more)
    dice, turns = random.Random(7), {}
    together = threading.Barrier(AT_ONCE, timeout=30)

    def held(connection, request):
        place = together.wait()
        if place == 0:
            order = list(range(AT_ONCE))
            dice.shuffle(order)
            events = [threading.Event() for _ in order]
            turns.update(events=events, order=order)
            events[order[0]].set()
        together.wait()
        events, order = turns["events"], turns["order"]
        together.wait()
        assert events[place].wait(30)
        own_parts()(connection, request)
        later = order.index(place) + 1
        if later < AT_ONCE:
            events[order[later]].set()

    origin.on(PERSONAL, own_parts())
    for one in pages:
        edge.until_hit(one)
        edge.until(lambda answer: "[menu]" in answer.text, one)
    origin.on(PERSONAL, held)

    def visit(number):
        with edge.visitor() as client:
            headers = {"cookie": f"sessionid=s{number}x"}
            return edge.request("GET", pages[number % 4], headers, client=client)

    secrets, tokens = set(), set()
    for first in range(0, MANY, AT_ONCE):
        numbers = range(first, first + AT_ONCE)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = list(pool.map(visit, numbers))
        for number, answer in zip(numbers, answers, strict=True):
            want = rf"<p>([A-Za-z0-9]{{64}})\|\[s{number}x on {pages[number % 4]}\]\|\[menu\]</p>"
            found = re.fullmatch(want, answer.text)
            assert found and answer.hit, (number, answer)
            assert answer.headers["cache-control"] == "private, no-store"
            tokens.add(found[1])
            secrets.add(re.search(r"csrftoken=(\w{32});", answer.headers["set-cookie"])[1])
    assert len(tokens) == len(secrets) == MANY
    # Nothing of theirs was kept: who has no session gets the page of nobody.
    origin.on(PERSONAL, own_parts())
    for one in pages:
        for headers in ({}, {"cookie": "_ga=1"}):
            assert "|nobody|[menu]" in edge.get(one, **headers).text
