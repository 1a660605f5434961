"""What an isolate holds of what strangers keep open or make it store: read from the runtime's
inspector (heap and buffers, WebAssembly's memory among them), beside a worker that does nothing and
that is asked the same, and beside what the isolate counts itself. The platform ends an isolate at
128 MB.
"""

import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.parse

import pytest
from conftest import Edge
from origin import page
from stack import ROOT, TOKENS, WEBHOOK_SECRET, Process, free_port, wait_until
from wire import request_bytes

MB = 1 << 20
PLATFORM_LIMIT = 128_000_000
# The budgets (the defaults), and what bodies of strangers have of the second.
MEMORY, FILL_MEMORY = 50_331_648, 33_554_432
BODIES = FILL_MEMORY // 4
# What heap and WebAssembly's memory take more than what is in them, and what is under way.
SLACK = 6 * MB


class Isolate(Edge):
    """A worker whose isolate can be asked what it holds."""

    def __init__(self, around, directory, origin):
        port = free_port()
        tokens = " ".join(f"{name}:{scopes}:{value}" for name, (scopes, value) in TOKENS.items())
        settings = {"new_keys_per_second": 10_000, "origin_timeout": 20}
        given = {
            "around": str(ROOT / "tests/e2e" / around),
            "bindings": {
                "ORIGIN": origin.url,
                "EDGE_ISR": settings,
                "WEBHOOK_SECRETS": WEBHOOK_SECRET,
                "TOKENS": tokens,
            },
            "build": os.environ.get("EDGE_ISR_BUILD", str(ROOT / "build")),
            "persist": str(directory / around),
            "port": port,
        }
        arguments = [
            ROOT / "node_modules/.bin/node",
            ROOT / "tests/e2e/wrapped.mjs",
            json.dumps(given),
        ]
        self.process = Process(around, arguments, directory / f"{around}.log")
        self.process.wait_for(lambda: "ready\n" in self.process.output(), 60, "ready")
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(self)

    def held(self, how=signal.SIGUSR2):
        """Bytes that it holds: without garbage, or with it (SIGHUP)."""
        said = lambda: re.findall(r"^held (\d+)$", self.process.output(), re.MULTILINE)
        before = len(said())
        os.kill(self.process.pid, how)
        wait_until(lambda: len(said()) > before, 20, "what is held")
        return int(said()[-1])

    def counted(self):
        """Bytes that it counts as held."""
        text = self.control("/__isr/metrics?isolate").text
        return sum(
            map(int, re.findall(r"^edge_isr_(?:memory|fill)_bytes (\d+)$", text, re.MULTILINE))
        )


@pytest.fixture(scope="module")
def isolates(tmp_path_factory, origin):
    """The worker, and one that does nothing."""
    directory = tmp_path_factory.mktemp("memory")
    found = [
        Isolate(around, directory, origin) for around in ("colo_worker.mjs", "constant_worker.mjs")
    ]
    yield found
    for isolate in found:
        isolate.process.kill()


@pytest.fixture
def hold():
    """Opens connections that stay open until the test ends; more may be sent than is taken."""
    with contextlib.ExitStack() as stack:

        def hold_one(edge, data, buffer=None):
            url = urllib.parse.urlsplit(edge.url)
            sock = stack.enter_context(socket.socket())
            if buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.connect((url.hostname, url.port))
            sock.settimeout(0.2)
            with contextlib.suppress(TimeoutError, ConnectionError):
                sock.sendall(data)

        yield hold_one


def settled(isolate):
    """What is held, once it no longer grows."""
    last = [isolate.held()]

    def rests():
        last.append(isolate.held())
        return abs(last[-1] - last[-2]) < MB // 4

    wait_until(rests, 20, "rest", interval=0.5)
    return last[-1]


def growth(isolates, work, most):
    """What the worker holds more after some work than one that does nothing; never more than its
    budget and some.
    """
    edge, control = isolates
    before = [isolate.held() for isolate in isolates]
    for isolate in isolates:
        work(isolate)
    after = [settled(isolate) for isolate in isolates]
    more = after[0] - before[0] - max(0, after[1] - before[1])
    assert after[0] < PLATFORM_LIMIT
    assert more < most + SLACK, (before, after)
    # All of it is counted, to a tenth.
    assert after[0] < 1.1 * edge.counted() + SLACK, (after, edge.counted())


def test_a_hundred_idle_uploads(isolates, hold, path):
    data = request_bytes(path, [("Content-Length", "65000")], method="POST", body=b"x" * 64_000)
    growth(isolates, lambda isolate: [hold(isolate, data) for _ in range(100)], BODIES)


def test_uploads_that_drip(isolates, path):
    """A byte at a time: a piece holds what it has, not what the runtime read it into."""
    head = request_bytes(path, [("Content-Length", "60000")], method="POST")

    def work(isolate):
        url = urllib.parse.urlsplit(isolate.url)
        for _ in range(20):
            sock = stack.enter_context(socket.create_connection((url.hostname, url.port)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(head)
            sockets.append(sock)
        for _ in range(1_000):
            time.sleep(0.004)
            for sock in sockets[-20:]:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(b"x")

    sockets = []
    with contextlib.ExitStack() as stack:
        growth(isolates, work, BODIES)


def test_a_hundred_held_bodies_of_calls(isolates, hold):
    fields = [
        ("Content-Type", "application/json"),
        ("Webhook-Id", "msg_forged"),
        ("Webhook-Timestamp", str(int(time.time()))),
        ("Webhook-Signature", "v1,AAAA"),
        ("Content-Length", str(MB)),
    ]
    data = request_bytes("/__isr/v1/revalidate", fields, method="POST", body=b"{" * (MB - 1_000))
    growth(isolates, lambda isolate: [hold(isolate, data) for _ in range(100)], BODIES)


def test_a_hundred_held_bodies_of_calls_without_credentials(isolates, hold):
    """Refused at once; of what they send a piece at a time is read."""
    fields = [("Content-Type", "application/json"), ("Content-Length", str(MB))]
    data = request_bytes("/__isr/v1/revalidate", fields, method="POST", body=b"{" * (MB - 1_000))
    growth(isolates, lambda isolate: [hold(isolate, data) for _ in range(100)], MB)


def test_slow_readers_of_a_stored_page(isolates, hold, origin, path):
    origin.on(path, page(b"x" * (4 * MB)))
    isolates[0].get(path, host="example.com")
    isolates[0].until_hit(path, host="example.com")
    growth(
        isolates,
        lambda isolate: [hold(isolate, request_bytes(path), 4_096) for _ in range(24)],
        4 * MB,
    )


def test_slow_readers_of_pages_that_are_fetched(isolates, hold, origin, path):
    """Forty pages of 4 MiB: together far more than there is."""
    for number in range(40):
        origin.on(f"{path}/{number}", page(b"x" * (4 * MB)))

    def work(isolate):
        for number in range(40):
            hold(isolate, request_bytes(f"{path}/{number}"), 4_096)

    growth(isolates, work, MEMORY + FILL_MEMORY)


def test_forty_pages_at_once(isolates, origin, path):
    """Forty pages of 4 MiB that arrive at the same time: what is held meanwhile, garbage included,
    is below the platform's limit, and no answer breaks off.
    """
    edge, size, pages = isolates[0], 4 * MB, 40
    halfway = threading.Barrier(pages)

    def in_halves(number):
        def answer(connection, _):
            fields = {"CDN-Cache-Control": "max-age=300", "X-Edge-ISR-Tags": f"forty-{number}"}
            connection.head(200, [*fields.items(), ("Content-Length", size)])
            connection.send(b"x" * (size // 2))
            halfway.wait(20)
            connection.send(b"x" * (size // 2))

        return answer

    def length_of(number):
        with edge.visitor() as client:
            return len(edge.request("GET", f"{path}/{number}", client=client).body)

    for number in range(pages):
        origin.on(f"{path}/{number}", in_halves(number))
    most = []
    with concurrent.futures.ThreadPoolExecutor(pages) as pool:
        lengths = [pool.submit(length_of, number) for number in range(pages)]
        while not all(length.done() for length in lengths):
            most.append(edge.held(signal.SIGHUP))
        assert [length.result() for length in lengths] == [size] * pages
    assert max(most) < PLATFORM_LIMIT, most
    # A request first: what the runtime is done with it drops when the isolate runs again.
    counted = edge.counted()
    assert settled(edge) < 1.1 * counted + SLACK


def test_addresses_of_eight_kilobytes(isolates, origin, path):
    origin.on(path, page("page"))

    def work(isolate):
        for number in range(150):
            isolate.get(f"{path}?x={number}{'a' * 8_000}", host="example.com")

    growth(isolates, work, 12 * MB)


def test_more_pages_than_memory_has(isolates, origin, path):
    def work(isolate):
        for number in range(90):
            origin.on(f"{path}/{number}", page(b"x" * MB))
            isolate.get(f"{path}/{number}", host="example.com")

    growth(isolates, work, MEMORY)
