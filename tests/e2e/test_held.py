"""Connections that are held: what strangers keep open takes nothing from others but their share.

Times are compared with a second worker that nobody burdens, asked in turns with the first, on the
same machine and of the same origin.
"""

import contextlib
import select
import socket
import statistics
import threading
import time
import urllib.parse

import pytest
from origin import page
from stack import wait_until
from wire import request_bytes

CONFIG = {"new_keys_per_second": 10_000, "warm_rate": 10_000}
UPLOADS, BODIES, READERS = 100, 100, 24
LARGE = b"x" * (2 << 20)
FORGED = [
    ("Content-Type", "application/json"),
    ("Webhook-Id", "msg_forged"),
    ("Webhook-Signature", "v1,AAAA"),
]


@pytest.fixture
def workers(start_worker, origin):
    """One that is burdened, and one that is not."""
    return start_worker(origin.url, config=CONFIG), start_worker(origin.url, config=CONFIG)


@pytest.fixture
def connect():
    """Opens connections that stay open until the test ends."""
    with contextlib.ExitStack() as stack:

        def open_one(edge, data, buffer=None):
            url = urllib.parse.urlsplit(edge.url)
            sock = stack.enter_context(socket.socket())
            if buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            sock.connect((url.hostname, url.port))
            sock.sendall(data)
            return sock

        yield open_one


def answered(sockets):
    """Those of the connections on which something came back, or that were closed."""
    return select.select(sockets, [], [], 0)[0]


def uploads(path):
    """Uploads that do not end: short ones, which are read here, and ones of unknown length, which
    the origin gets.
    """
    short = request_bytes(path, [("Content-Length", "1000")], method="POST", body=b"x")
    unknown = request_bytes(
        path, [("Transfer-Encoding", "chunked")], method="POST", body=b"1\r\nx\r\n"
    )
    return [short, unknown] * (UPLOADS // 2)


def bodies():
    """Calls of strangers with a signature, whose bodies do not end."""
    fields = [*FORGED, ("Webhook-Timestamp", str(int(time.time()))), ("Content-Length", "1000")]
    return [request_bytes("/__isr/v1/revalidate", fields, method="POST", body=b"{")] * BODIES


def burden(edge, origin, connect, path, end):
    """All of it at the same time; the connections on which nothing may come back."""

    def drips(connection, request):
        connection.head(200, [("CDN-Cache-Control", "max-age=300"), ("Content-Length", 1000)])
        while not end.wait(0.2):
            connection.send(b"x")

    origin.on(f"{path}/drips", page("whole", tags=f"{path}-drips"))
    edge.get(f"{path}/drips", host="example.com")
    edge.until_hit(f"{path}/drips", host="example.com")
    origin.on(f"{path}/drips", drips)
    origin.on(f"{path}/large", page(LARGE))
    edge.get(f"{path}/large", host="example.com")
    edge.until_hit(f"{path}/large", host="example.com")

    idle = [connect(edge, data) for data in [*uploads(f"{path}/upload"), *bodies()]]
    readers = [connect(edge, request_bytes(f"{path}/large"), 4096) for _ in range(READERS)]
    edge.revalidate({"tags": [f"{path}-drips"], "mode": "hard"})
    wait_until(
        lambda: len(answered(readers)) == READERS, 20, "the head of each slow reader's answer"
    )
    wait_until(lambda: origin.count(f"{path}/drips") == 2, 20, "the dripping warm")
    return idle


def in_turns(workers, times, work):
    """How many times longer it takes at the first: of medians, as many times at each, in turns."""
    spans = [[], []]
    for number in range(times):
        for span, edge in zip(spans, workers):
            began = time.monotonic()
            work(edge, number)
            span.append(time.monotonic() - began)
    return statistics.median(spans[0]) / statistics.median(spans[1])


def test_what_strangers_hold_leaves_others_within_twice_their_usual_time(
    workers, origin, connect, path, tag
):
    """100 idle uploads, 100 held bodies, 24 slow readers and a dripping page at the same time."""
    end = threading.Event()
    stored, warmed = f"{path}/stored", f"{path}/warmed"
    for each in (stored, warmed):
        origin.on(each, page("page", tags=f"{tag}-{each[-6:]}"))
        for edge in workers:
            edge.get(each)
            edge.until_hit(each)

    def hit(edge, number):
        assert edge.get(stored).hit

    def miss(edge, number):
        cold = f"{path}/cold/{number}"
        origin.on(cold, page("cold"))
        answer = edge.get(cold)
        assert answer.text == "cold" and not answer.hit

    def warm(edge, number):
        before = origin.count(warmed)
        said = edge.revalidate({"tags": [f"{tag}-warmed"], "wait_ms": 20_000})
        assert (said["pages"], said["warming"], origin.count(warmed)) == (1, 0, before + 1), said

    idle = burden(workers[0], origin, connect, path, end)
    try:
        ratios = {"hits": in_turns(workers, 100, hit)}
        ratios["misses"] = in_turns(workers, 40, miss)
        ratios["warms"] = in_turns(workers, 12, warm)
        assert answered(idle) == [], "all of it was held until here"
        assert max(ratios.values()) < 2, ratios
    finally:
        end.set()
