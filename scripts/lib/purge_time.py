#!/usr/bin/env python3
"""How long calls of the purge APIs take, as their callers see it, on the local runtime with many
known pages.

usage: .venv/bin/python scripts/lib/purge_time.py [PAGES [CALLS [WARM_RATE]]]    (default 10000 30
100; after scripts/build)

Prints median, 95th percentile and maximum of each API in milliseconds. Each call names a page and
waits for its answer; the pages that it invalidates are refetched meanwhile, as in production, at
most WARM_RATE of them in a second. On one machine those take processor time from the calls. With a
WARM_RATE of 1 next to nothing does, and calls that purge everything are also made with a rest after
each, until the worker does nothing.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
from stack import ROOT, TOKENS, Worker

PAGES = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
CALLS = int(sys.argv[2]) if len(sys.argv) > 2 else 30
WARM_RATE = int(sys.argv[3]) if len(sys.argv) > 3 else 100
KEY = TOKENS["operator"][1]
BATCH = (
    "<InvalidationBatch "
    'xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Paths><Quantity>1</Quantity>'
    "<Items><Path>/page/{n}</Path></Items></Paths><CallerReference>{n}</CallerReference>"
    "</InvalidationBatch>"
)


class Pages(BaseHTTPRequestHandler):
    """Any page, with a tag of its own."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """Answers."""
        self.send_response(200)
        self.send_header("CDN-Cache-Control", "max-age=3600")
        self.send_header("X-Edge-ISR-Tags", "tag:" + self.path.rpartition("/")[2])
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"page")

    def log_message(self, *arguments):
        """Says nothing."""


class Origin(ThreadingHTTPServer):
    """A server of pages."""

    request_queue_size = 256

    def handle_error(self, request, client_address):
        """A connection that the runtime closed is no error."""


def calls(url):
    """A request of each API by the number of a page."""
    bearer = {"authorization": f"Bearer {KEY}"}
    host = url.partition("://")[2]
    purge = f"{url}/__isr/cloudflare/zones/z/purge_cache"
    return {
        "Cloudflare, a file": lambda n: ("POST", purge, bearer, f'{{"files":["{url}/page/{n}"]}}'),
        "Cloudflare, a tag": lambda n: ("POST", purge, bearer, f'{{"tags":["tag:{n}"]}}'),
        "Fastly, a key": lambda n: (
            "POST", f"{url}/__isr/fastly/service/s/purge/tag:{n}", {"fastly-key": KEY}, "",
        ),
        "CloudFront, a path": lambda n: cloudfront(url, host, n),
        "KeyCDN, a tag": lambda n: (
            "DELETE",
            f"{url}/__isr/keycdn/zones/purgetag/1.json",
            bearer,
            f'{{"tags":["tag:{n}"]}}',
        ),
        "PURGE, a page": lambda n: ("PURGE", f"{url}/page/{n}", bearer, ""),
        "BAN, a prefix": lambda n: ("BAN", f"{url}/page/{n}/", bearer, ""),
        # Last: all pages are refetched after it.
        "Cloudflare, everything": lambda _: ("POST", purge, bearer, '{"purge_everything":true}'),
    }  # fmt: skip


def cloudfront(url, host, n):
    """A call as boto3 signs it."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    target = f"{url}/__isr/cloudfront/2020-05-31/distribution/D/invalidation"
    request = AWSRequest("POST", target, {"host": host}, BATCH.format(n=n))
    SigV4Auth(Credentials("operator", KEY), "cloudfront", "us-east-1").add_auth(request)
    return "POST", target, dict(request.headers), request.data


def main():
    """Measures."""
    origin = Origin(("127.0.0.1", 0), Pages)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as directory:
        config = {"new_keys_per_second": 100_000, "warm_rate": WARM_RATE}
        worker = Worker(directory, f"http://127.0.0.1:{origin.server_address[1]}", config=config)
        try:
            measure(worker.url, worker.process.pid)
        finally:
            worker.stop()
            origin.shutdown()


def measure(url, session):
    """Fills the cache, then calls."""
    with httpx.Client(timeout=60) as client:
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            for _ in pool.map(
                lambda n: client.get(f"{url}/page/{n}").raise_for_status(), range(PAGES)
            ):
                pass
        print(f"{PAGES} pages in {time.monotonic() - began:.0f} s")
        for name, make in calls(url).items():
            took = [timed(client, make(n)) for n in range(CALLS)]
            show(name, took)
        if WARM_RATE > 1:
            return
        # The worker's own part: each call finds it at rest.
        alone = []
        for n in range(CALLS):
            at_rest(session)
            alone.append(timed(client, make(n)))
        show(f"{name}, each after a rest", alone)


def timed(client, call):
    """Milliseconds that a call takes."""
    method, target, headers, body = call
    started = time.perf_counter()
    answer = client.request(method, target, headers=headers, content=body)
    took = (time.perf_counter() - started) * 1000
    assert answer.status_code in (200, 201), (target, answer.status_code, answer.text)
    return took


def at_rest(session):
    """Waits until the processes of a session take less than a tenth of a processor."""
    for _ in range(120):
        before = ticks(session)
        time.sleep(0.5)
        if (ticks(session) - before) * 2 < os.sysconf("SC_CLK_TCK") / 10:
            return
    raise SystemExit("the worker does not come to rest; is WARM_RATE 1?")


def ticks(session):
    """Processor time of a session's processes (proc_pid_stat(5): session, utime and stime)."""
    total = 0
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session:
            total += int(fields[11]) + int(fields[12])
    return total


def show(name, took):
    """Prints what calls took."""
    took.sort()
    late = took[int(len(took) * 0.95)]
    print(
        f"{name}: median {statistics.median(took):.1f}, p95 {late:.1f}, most {took[-1]:.1f} ms",
        flush=True,
    )


if __name__ == "__main__":
    sys.path.append(str(ROOT / ".clients" / "all"))
    main()
