"""What a composed page costs beside a plain hit, on the local runtime: one run, in turns.

    bench_composed.py [--quick]

Prints a table of ratios, each the median of the turns with the lowest and the highest. The page is
the same 20 KiB each time; only what stands in it differs.
"""

import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

from stack import Worker

MARKER = "eIsR" + "b" * 39
FILL = "<p>words and words</p>\n" * 890
FORM = '<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="{}"></form>'
CSRF = 'csrf=("csrftoken" "Path=/; SameSite=Lax")'
PAGES = {
    "/plain": ("", ""),
    "/form": (FORM.format(f"{MARKER}t00") * 2, CSRF),
    "/menu": (f"{MARKER}s00-{MARKER}e00", 'shared=("/_edge_isr/f/menu")'),
    "/own": (
        f"{MARKER}p00-{MARKER}e00",
        f'{CSRF}, csrf-personal, cookies=("sessionid"), personal=("menu")',
    ),
}
WHAT = {
    "/plain": "a plain hit",
    "/form": "with two tokens",
    "/menu": "with a shared part, in memory",
    "/own": "with a reader's own part, from the origin",
}
FIELDS = {
    "Host": "site.test",
    "Accept": "text/html",
    "Accept-Encoding": "identity",
    "User-Agent": "Mozilla/5.0",
}
CONFIG = {
    "defaults": {"compose": True},
    "routes": [{"path": "/plain", "compose": False}, {"path": "/_edge_isr/*", "compose": False}],
}


class Origin(BaseHTTPRequestHandler):
    """Answers shells, parts and plain pages."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """One request."""
        path = urlsplit(self.path).path
        if path == "/_edge_isr/personal":
            asked = re.search(r'id="([^"]+)"', self.headers["X-Edge-ISR-Personal"])[1]
            body = json.dumps({"id": asked, "parts": {"menu": "<b>Ada</b>"}})
            fields = {"Content-Type": "application/json", "Cache-Control": "private, no-store"}
        elif path in PAGES and path != "/plain":
            placeholders, said = PAGES[path]
            body = f"<!doctype html><title>x</title>{placeholders}{FILL}"
            fields = {
                "Content-Type": "text/html; charset=utf-8",
                "Cache-Control": "private, no-store",
                "X-Edge-ISR-Compose": f'v=1, max-age=3600, marker="{MARKER}", '
                f"placeholders={body.count(MARKER)}, length={len(body)}, audience=all, {said}",
            }
        else:
            body = "<nav>menu</nav>" if path != "/plain" else f"<!doctype html>{FILL}"
            fields = {
                "Content-Type": "text/html; charset=utf-8",
                "CDN-Cache-Control": "max-age=3600",
            }
        self.send_response(200)
        for name, value in {**fields, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments):
        """Says nothing."""


def first_byte(connection, path):
    """Seconds until the first bytes of an answer's body are there; the answer is read whole."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in FIELDS.items())]
    if path == "/own":
        lines.append("Cookie: sessionid=0123456789abcdef")
    began = time.perf_counter()
    connection.sendall("\r\n".join([*lines, "", ""]).encode())
    got, first = b"", None
    while True:
        more = connection.recv(1 << 16)
        if not more:
            raise ConnectionError(f"{path}: it broke off")
        got += more
        head, _, body = got.partition(b"\r\n\r\n")
        if first is None and body:
            first = time.perf_counter() - began
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if first is not None and (
            len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")
        ):
            if b"edge-isr;hit" not in head.lower() or MARKER.encode() in body:
                raise ValueError(f"{path}: not a hit: {head.decode()}")
            return first


def rate(url, path, seconds):
    """Answers a second, with 16 connections."""
    fields = [part for name, value in FIELDS.items() for part in ("-H", f"{name}: {value}")]
    if path == "/own":
        fields += ["-H", "Cookie: sessionid=0123456789abcdef"]
    command = ["wrk", "-t1", "-c16", f"-d{seconds}s", *fields, url + path]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise ValueError(f"{path}: {said}")
    return float(re.search(r"Requests/sec:\s+([0-9.]+)", said)[1])


def spread(values):
    """The median, with the lowest and the highest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def measure(url, turns, asked, seconds):
    """For each page its ratios to the plain hit of the same turn: first byte, rate."""
    address = (urlsplit(url).hostname, urlsplit(url).port)
    ratios = {path: ([], []) for path in PAGES if path != "/plain"}
    plain = ([], [])
    for _ in range(turns):
        times = {path: [] for path in PAGES}
        with socket.create_connection(address, timeout=30) as connection:
            for _ in range(asked):
                for path in PAGES:
                    times[path].append(first_byte(connection, path))
        rates = {path: rate(url, path, seconds) for path in PAGES}
        medians = {path: statistics.median(found) for path, found in times.items()}
        plain[0].append(medians["/plain"] * 1000)
        plain[1].append(rates["/plain"])
        for path, (first, many) in ratios.items():
            first.append(medians[path] / medians["/plain"])
            many.append(rates[path] / rates["/plain"])
    return plain, ratios


def main():
    """Measures, and prints the table."""
    quick = "--quick" in sys.argv
    server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as directory:
        origin = f"http://127.0.0.1:{server.server_port}"
        worker = Worker(directory, origin, config=CONFIG)
        try:
            address = (urlsplit(worker.url).hostname, urlsplit(worker.url).port)
            deadline = time.monotonic() + 30
            for path in PAGES:
                while True:
                    with socket.create_connection(address, timeout=30) as connection:
                        try:
                            first_byte(connection, path)
                            break
                        except ValueError:
                            if time.monotonic() > deadline:
                                raise
            plain, ratios = measure(worker.url, *((2, 20, 1) if quick else (7, 100, 2)))
        finally:
            worker.stop()
    first, many = (f"{statistics.median(values):.1f}" for values in plain)
    print(f"A plain hit: first byte after {first} ms, {many} answers a second.\n")
    print(
        "| a page of 20 KiB | first byte, of a plain hit's | answers a second, of a plain hit's |"
    )
    print("| --- | --- | --- |")
    for path, (first, many) in ratios.items():
        print(f"| {WHAT[path]} | {spread(first)} | {spread(many)} |")


main()
