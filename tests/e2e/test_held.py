"""Connections that are held: what strangers keep open takes nothing from others but their share.

Times are compared with a second worker that nobody burdens, asked in turns with the first, on the
same machine and of the same origin.
"""

import re
import select
import socket
import statistics
import struct
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


def connect(edge, data, buffer=None):
    """A connection on which this was sent."""
    url = urllib.parse.urlsplit(edge.url)
    sock = socket.socket()
    if buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    sock.connect((url.hostname, url.port))
    sock.sendall(data)
    return sock


class Burden:
    """All of it at the same time, for as long as it takes: who is let go comes again."""

    def __init__(self, edge, origin, path):
        self.edge, self.end = edge, threading.Event()
        self.large = request_bytes(f"{path}/large")
        self.readers, self.since = [], time.monotonic()

        def drips(connection, request):
            connection.head(200, [("CDN-Cache-Control", "max-age=300"), ("Content-Length", 1000)])
            while not self.end.wait(0.2):
                connection.send(b"x")

        origin.on(f"{path}/drips", page("whole", tags=f"{path}-drips"))
        origin.on(f"{path}/large", page(LARGE))
        for each in ("drips", "large"):
            edge.get(f"{path}/{each}", host="example.com")
            edge.until_hit(f"{path}/{each}", host="example.com")
        origin.on(f"{path}/drips", drips)
        self.sent = [*uploads(f"{path}/upload"), *bodies()]
        self.idle = [connect(edge, data) for data in self.sent]
        self.read()
        edge.revalidate({"tags": [f"{path}-drips"], "mode": "hard"})
        wait_until(lambda: origin.count(f"{path}/drips") == 2, 20, "the dripping warm")

    def read(self):
        """Slow readers, from the beginning."""
        for sock in self.readers:
            sock.close()
        self.readers = [connect(self.edge, self.large, 4096) for _ in range(READERS)]
        self.since = time.monotonic()
        everyone = lambda: len(answered(self.readers)) == READERS
        wait_until(everyone, 20, "the head of each slow reader's answer")

    def renew(self):
        """Those whose time was over come again: bodies have 30 s, readers 60."""
        over = answered(self.idle)
        for number, sock in enumerate(self.idle):
            if sock in over:
                sock.close()
                self.idle[number] = connect(self.edge, self.sent[number])
        if time.monotonic() > self.since + 30:
            self.read()

    def stop(self):
        """Ends it."""
        self.end.set()
        for sock in (*self.idle, *self.readers):
            sock.close()


def in_turns(workers, times, work, before):
    """How many times longer it takes at the first: of medians, as many times at each, in turns.

    A busy machine takes time from either: where the median is twice the other, as many turns more
    are looked at with those before, five times at most. What waits for others does so in all.
    """
    spans, number = [[], []], 0
    for _ in range(5):
        for _ in range(times):
            before()
            number += 1
            both = list(zip(spans, workers))
            for span, edge in both if number % 2 else reversed(both):
                began = time.monotonic()
                work(edge, number)
                span.append(time.monotonic() - began)
        ratio = statistics.median(spans[0]) / statistics.median(spans[1])
        if ratio < 2:
            break
    return ratio


def test_what_strangers_hold_leaves_others_within_twice_their_usual_time(
    workers, origin, path, tag
):
    """100 idle uploads, 100 held bodies, 24 slow readers and a dripping page at the same time."""
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

    burden = Burden(workers[0], origin, path)
    try:
        ratios = {"hits": in_turns(workers, 100, hit, burden.renew)}
        ratios["misses"] = in_turns(workers, 40, miss, burden.renew)
        ratios["warms"] = in_turns(workers, 12, warm, burden.renew)
        assert max(ratios.values()) < 2, ratios
    finally:
        burden.stop()


def test_who_leaves_gives_their_place_up(start_worker, origin, path):
    """Visitors of pages that nobody has wait for one that the origin is at, and leave: it is asked
    for none of theirs.
    """
    edge = start_worker(origin.url, config={**CONFIG, "origin_concurrency": 1})
    goes_on = threading.Event()

    def answer(connection, request):
        if request.target == f"{path}/first":
            goes_on.wait(20)
        page("page")(connection, request)

    origin.on(path, answer)
    names = [f"{path}/first", *(f"{path}/{number}" for number in range(20))]
    for name in names:
        origin.on(name, answer)

    def limited(work):
        text = edge.control("/__isr/metrics?isolate").text
        found = re.search(rf'^edge_isr_origin_limited_total{{work="{work}"}} (\d+)$', text, re.M)
        return int(found[1])

    first = connect(edge, request_bytes(names[0]))
    wait_until(lambda: origin.requests(names[0]), 10, "the first")
    others = [connect(edge, request_bytes(name)) for name in names[1:]]
    wait_until(lambda: limited("waited") == len(others), 10, "the others")
    for sock in others:
        # A connection that is reset: one that is closed is noticed once it is written to.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    wait_until(lambda: limited("left") == len(others), 10, "who left")
    goes_on.set()
    wait_until(lambda: answered([first]), 10, "the first")
    assert edge.get(names[1]).status == 200
    assert [len(origin.requests(name)) for name in names] == [1, 1, *[0] * (len(others) - 1)]
    first.close()


def test_who_leads_and_leaves_holds_nobody_up(start_worker, origin, path):
    """Who asks oddly for a page that nobody has tells the others whether it can be stored. The
    runtime ends the request of one who leaves without a word.
    """
    edge = start_worker(origin.url, config=CONFIG)

    def answer(connection, request):
        if request.get("x-odd"):
            threading.Event().wait(3)
        page("page")(connection, request)

    origin.on(path, answer)
    leads = connect(edge, request_bytes(path, [("X-Odd", "1")]))
    wait_until(lambda: origin.requests(path), 10, "who leads")
    others = [connect(edge, request_bytes(path)) for _ in range(5)]
    leads.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    leads.close()
    began = time.monotonic()
    wait_until(lambda: len(answered(others)) == len(others), 60, "the others")
    assert time.monotonic() - began < 8
    # They are one fetch, as those who wait for any page, or where one of them is late, two.
    assert len(origin.requests(path)) <= 3
    for sock in others:
        sock.close()


def test_who_leaves_gives_their_place_at_the_origin_back(start_worker, origin, path):
    """Visitors of what can't be stored leave while the origin is at theirs: the runtime ends their
    requests without a word, and the origin is free for others.
    """
    edge = start_worker(origin.url, config={**CONFIG, "origin_concurrency": 2})

    def answer(connection, request):
        threading.Event().wait(1)
        page("page")(connection, request)

    origin.on(path, answer)
    origin.on(f"{path}/other", page("page"))
    cookie = [("Cookie", "sessionid=1")]
    for number in range(2):
        sock = connect(edge, request_bytes(path, cookie))
        wait_until(lambda n=number: len(origin.requests(path)) > n, 10, "theirs")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    began = time.monotonic()
    assert edge.get(f"{path}/other").status == 200
    assert time.monotonic() - began < 8
