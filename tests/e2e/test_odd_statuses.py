"""Answers that are no answers to the runtime, and answers without content (decision 0011)."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from origin import Reply, page
from stack import Worker, cache_status


OK = b"HTTP/1.1 200 OK\r\n"


class Patient(BaseHTTPRequestHandler):
    """An origin that keeps its connections open, and sends early hints below /early."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answers with the path that was asked for, and the number of the connection."""
        if self.path.startswith("/early"):
            self.send_response_only(103)
            self.send_header("Link", "</a.css>; rel=preload")
            self.end_headers()
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=300")
        self.send_header("X-Connection", str(self.client_address[1]))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Says nothing."""


@pytest.fixture
def patient(tmp_path):
    """A worker in front of that origin."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Patient)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    worker = Worker(tmp_path, f"http://127.0.0.1:{server.server_port}")
    with httpx.Client(base_url=worker.url, timeout=40) as client:
        yield client
    worker.stop()
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_follows_an_interim_response_answers_nobody_elses_request(patient):
    connections = []
    for n in range(6):
        interim = patient.get(f"/early-{n}")
        assert interim.status_code == 502
        assert cache_status(interim.headers["cache-status"])["detail"] == "origin-broken"
        for other in (f"/a-{n}", f"/b-{n}"):
            answer = patient.get(other)
            assert answer.text == other
            connections.append(answer.headers["x-connection"])
            assert patient.get(other).text == other
    # Otherwise the test would show nothing: connections are used again.
    assert len(set(connections)) < len(connections)


@pytest.mark.parametrize("status", [102, 600, 999])
def test_a_status_that_the_runtime_can_not_pass_on_is_a_broken_answer(edge, origin, path, status):
    origin.on(path, Reply(b"x", [("cache-control", "max-age=300")], status=status))
    answer = edge.get(path)
    assert answer.status == 502 and answer.cache["detail"] == "origin-broken"


@pytest.mark.parametrize("status", [204, 205])
def test_an_answer_without_content_is_stored_and_served(edge, origin, path, status):
    origin.on(path, Reply(b"", [("cache-control", "max-age=300")], status=status))
    miss, hit = edge.get(path), edge.get(path)
    assert (miss.status, miss.body, miss.hit) == (status, b"", False)
    assert (hit.status, hit.body, hit.hit) == (status, b"", True)
    assert origin.count(path) == 1


@pytest.mark.parametrize(
    ("status", "fields", "sent", "body"),
    [
        (200, [("Transfer-Encoding", "chunked")], b"5\r\nfive!\r\n0\r\n\r\n", b"five!"),
        (204, [], b"abc", b""),
        (205, [], b"abc", b""),
    ],
)
def test_a_length_that_says_nothing_breaks_no_answer(
    edge, origin, path, status, fields, sent, body
):
    """Beside a coding, or of a status without content (RFC 9112 §6.3)."""

    def lying(connection, request):
        fresh = [("Cache-Control", "max-age=300"), ("Content-Length", "3")]
        connection.head(status, [*fresh, *fields])
        if request.method != "HEAD":
            connection.send(sent)

    origin.on(path, lying)
    miss = edge.get(path)
    assert (miss.status, miss.body) == (status, body)
    hit = edge.until_hit(path)
    assert (hit.status, hit.body) == (status, body)
    assert edge.request("HEAD", path).headers.get("content-length") in (None, str(len(body)))
    assert origin.count(path) == 1


@pytest.mark.parametrize(
    "head",
    [
        OK
        + b"X-Edge-ISR-Tags: "
        + b" ".join(b"%d" % n + b"x" * 990 for n in range(300))
        + b"\r\n\r\n",
        OK + b"X-Long: " + b"x" * 140_000 + b"\r\n\r\n",
        OK + b"".join(b"X-%d: 1\r\n" % n for n in range(20_000)) + b"\r\n",
        OK + b"Content-Length: two\r\n\r\nok",
        b"no HTTP at all\r\n\r\n",
    ],
    ids=["tags", "one-field", "many-fields", "length", "no-http"],
)
def test_what_the_runtime_can_not_read_is_named(edge, origin, path, head):
    origin.on(path, lambda connection, _: connection.send(head))
    answer = edge.get(path)
    assert answer.status == 502 and answer.cache["detail"] == "origin-unreadable"
    assert "128 KB" in answer.text


def test_as_many_tags_as_the_contract_has(edge, origin, path, tag):
    """A thousand tags of a hundred bytes: stored, and purged by the last of them."""
    tags = [f"{tag}-{n}".ljust(100, "x") for n in range(1_000)]
    origin.on(path, page("one", " ".join(tags)))
    assert edge.get(path).text == "one"
    origin.on(path, page("two", " ".join(tags)))
    assert edge.until_hit(path).text == "one"
    edge.revalidate({"tags": [tags[-1]], "mode": "hard"})
    edge.until(lambda answer: answer.text == "two", path)
