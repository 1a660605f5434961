"""What is not a page goes through untouched."""

import gzip
import hashlib
import http.client
import socket
import threading
import urllib.parse

import httpx
import pytest
from origin import Reply, echo_websocket, page
from websockets.sync.client import connect


def test_a_large_upload_keeps_its_length_and_bytes(edge, origin, path):
    block = bytes(range(256)) * 4096
    digest = hashlib.sha256(block * 50).hexdigest()
    origin.on(path, Reply(b"stored", status=201))
    headers = {"content-length": str(len(block) * 50), "content-type": "application/octet-stream"}
    answer = edge.request("POST", path, headers, content=(block for _ in range(50)))
    assert answer.status == 201 and answer.text == "stored"
    assert answer.cache["fwd"] == "method"
    (only,) = origin.requests(path)
    assert only.get("content-length") == str(len(block) * 50)
    assert "transfer-encoding" not in only.names
    assert only.body_length == len(block) * 50
    assert only.body_sha256 == digest


@pytest.mark.parametrize("method", ["PROPFIND", "DELETE", "PUT", "PATCH", "OPTIONS", "REPORT"])
def test_methods_keep_their_name(edge, origin, path, method):
    origin.on(path, Reply(b"done", status=207))
    answer = edge.request(
        method, path, {"depth": "1", "cookie": "sessionid=1; x=2"}, content=b"<x/>"
    )
    assert answer.status == 207 and answer.text == "done"
    (only,) = origin.requests(path)
    assert only.method == method
    assert only.body == b"<x/>"
    assert only.get("depth") == "1"
    assert only.get("cookie") == "sessionid=1; x=2"


@pytest.mark.parametrize("fields", [{}, {"cookie": "sessionid=1"}])
def test_who_names_no_coding_gets_no_coded_body(edge, origin, path, fields):
    """`curl` without options: the runtime would ask for gzip in their name."""

    def packs(connection, request):
        coded = "gzip" in (request.get("accept-encoding") or "")
        said = [("Cache-Control", "private"), ("Vary", "Accept-Encoding")]
        said += [("Content-Encoding", "gzip")] if coded else []
        Reply(gzip.compress(b"hello") if coded else b"hello", said)(connection, request)

    origin.on(path, packs)
    address = urllib.parse.urlsplit(edge.url)
    for _ in range(2):
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        connection.putrequest("GET", path, skip_accept_encoding=True)
        for name, value in fields.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        assert (answer.getheader("content-encoding"), answer.read()) == (None, b"hello")
        connection.close()


def test_a_websocket_connects_through(edge, origin, path):
    origin.on(path, echo_websocket)
    with connect(edge.url.replace("http", "ws") + path, open_timeout=5, close_timeout=1) as socket:
        socket.send("hello")
        assert socket.recv(timeout=5) == "hello"
    (only,) = origin.requests(path)
    assert only.get("upgrade").lower() == "websocket"


def test_events_arrive_as_they_are_written(edge, origin, path):
    steps = [threading.Event() for _ in range(3)]

    def events(connection, request):
        connection.head(
            fields=[("Content-Type", "text/event-stream"), ("Transfer-Encoding", "chunked")]
        )
        for number, step in enumerate(steps):
            step.wait(10)
            connection.chunk(b"data: %d\n\n" % number)
        connection.chunk(b"")

    origin.on(path, events)
    steps[0].set()
    headers = {"accept": "text/event-stream", "accept-encoding": "identity"}
    with edge.client.stream("GET", path, headers=headers) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        pieces = response.iter_raw()
        for number in range(3):
            assert next(pieces) == b"data: %d\n\n" % number
            if number < 2:
                steps[number + 1].set()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_the_visitors_to_follow(edge, origin, path, status):
    origin.on(path, Reply(b"", [("Location", "/elsewhere?x=1#y")], status))
    answer = edge.get(path)
    assert answer.status == status
    assert answer.headers["location"] == "/elsewhere?x=1#y"
    assert origin.count("/elsewhere") == 0


def test_several_set_cookies_stay_several(edge, origin, path):
    cookies = ["a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT"]
    origin.on(path, Reply(b"x", [("Set-Cookie", cookie) for cookie in cookies]))
    answer = edge.get(path)
    assert answer.headers.get_list("set-cookie") == cookies


def test_a_page_that_needs_cookies_gets_them(edge, origin, path):
    """The cookies were removed; the answer turns out private; it is asked for again, with them."""

    def form(connection, request):
        seen = (request.get("cookie") or "none").encode()
        Reply(seen, [("Cache-Control", "private"), ("Vary", "Cookie")])(connection, request)

    origin.on(path, form)
    assert edge.get(path, cookie="csrftoken=abc").text == "csrftoken=abc"
    assert origin.count(path) == 2
    # From then on a marker says so: one request, cookies and all.
    edge.until(lambda a: a.cache.get("fwd") is not None, path, cookie="csrftoken=abc")
    before = origin.count(path)
    assert edge.get(path, cookie="csrftoken=xyz").text == "csrftoken=xyz"
    assert origin.count(path) == before + 1


def test_an_unsafe_method_ends_the_stored_page(edge, origin, path):
    """RFC 9111 §4.4."""
    origin.on(path, page("before"))
    edge.get(path)
    edge.until_hit(path)
    origin.on(path, page("after"))
    assert edge.request("POST", path, content=b"x").status == 200
    edge.until(lambda answer: answer.text == "after", path)


def test_errors_of_the_origin_pass_as_they_are(edge, origin, path):
    origin.on(path, Reply(b"down for maintenance", [("Retry-After", "60")], 503))
    answer = edge.get(path)
    assert answer.status == 503 and answer.text == "down for maintenance"
    assert answer.headers["retry-after"] == "60"


def test_a_visitor_who_leaves_does_not_end_the_fill(edge, origin, path):
    started, rest = threading.Event(), threading.Event()

    def slow(connection, request):
        connection.head(fields=[("CDN-Cache-Control", "max-age=60"), ("Content-Length", 10)])
        connection.send(b"01234")
        started.set()
        rest.wait(10)
        connection.send(b"56789")

    origin.on(path, slow)
    with httpx.Client(base_url=edge.url) as leaving:
        with leaving.stream("GET", path, headers={"accept-encoding": "identity"}) as response:
            assert next(response.iter_raw()) == b"01234"
    started.wait(5)
    rest.set()
    assert edge.until_hit(path).text == "0123456789"
    assert origin.count(path) == 1


def test_idle_uploads_hold_nothing_that_others_need(edge, origin, path):
    """More than `origin_concurrency` of each kind: small, large, of unknown length."""
    origin.on(path, page("page"))
    url = urllib.parse.urlsplit(edge.url)
    framings = [b"Content-Length: 1000", b"Content-Length: 9000000", b"Transfer-Encoding: chunked"]
    idle = []
    try:
        for framing in framings:
            begun = b"1\r\nx\r\n" if b"chunked" in framing else b"x"
            head = b"POST " + path.encode() + b"/idle HTTP/1.1\r\nHost: a\r\n" + framing
            for _ in range(110):
                upload = socket.create_connection((url.hostname, url.port), timeout=20)
                upload.sendall(head + b"\r\n\r\n" + begun)
                idle.append(upload)
        assert edge.get(f"{path}?miss").status == 200
        assert edge.get(path, cookie="sessionid=1").status == 200
        assert edge.request("POST", path, content=b"a form").status == 200
    finally:
        for upload in idle:
            upload.close()


def test_idle_uploads_of_few_give_way_to_those_of_others(edge, origin, path):
    """As many as there may be, of two addresses; what gave way ends."""
    origin.on(path, Reply(b"done"))
    url = urllib.parse.urlsplit(edge.url)
    idle = []
    try:
        for number in range(1_010):
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nCF-Connecting-IP: 203.0.113.{number % 2}"
            upload = socket.create_connection((url.hostname, url.port), timeout=20)
            upload.sendall(head.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n")
            idle.append(upload)
        fields = {"cf-connecting-ip": "203.0.113.9", "transfer-encoding": "chunked"}
        answer = edge.request("POST", path, fields, content=iter([b"hello"]))
        assert answer.status == 200 and answer.text == "done"
        gave_way = idle[0].recv(1 << 16)
        assert gave_way.startswith(b"HTTP/1.1 503 ") and b"origin-busy" in gave_way
    finally:
        for upload in idle:
            upload.close()
