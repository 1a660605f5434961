"""The table of what hostile requests cost on the runtime, in docs/security.md: each figure is
counted there.

Round the worker stands the counter of `scripts/bench --runtime` (scripts/lib/bench_worker.mjs):
calls to objects, their alarms, and rows as the platform bills them, operations on KV and on the
Cache API. Origin requests and calls to a cache in front are counted where they arrive.
"""

import json
import os
import re
import time
from dataclasses import dataclass

import httpx
import pytest
from conftest import Edge
from origin import Origin, Reply, page
from stack import ROOT, TOKENS, WEBHOOK_SECRET, Process, free_port, wait_until

# Requests of each kind.
COUNT = 20
HOST = "example.com"
PAGE = "/post/1/"
COLUMNS = [
    "origin requests",
    "object requests",
    "rows written",
    "L2 reads",
    "L2 writes",
    "bytes held",
]
VARIED = [("Vary", "Accept-Language")]


def get(path, host=HOST, **fields):
    """A GET; an underscore in a field's name stands for a dash."""
    return (
        "GET",
        path,
        {"host": host, **{name.replace("_", "-"): value for name, value in fields.items()}},
        b"",
    )


def other(method, path, body=b"", **fields):
    """A request of another method."""
    return method, path, get(path, **fields)[2], body


def language(n):
    """The nth language that nobody speaks."""
    return "".join(chr(ord("a") + letter) for letter in (n // 26, n % 26))


# The nth request of a kind.
KINDS = {
    "a stored page": lambda n: get(PAGE),
    "an invented query": lambda n: get(f"{PAGE}?x={n}"),
    "a long invented query (8 KB)": lambda n: get(f"{PAGE}?x={n}{'a' * 8_000}"),
    "an invented path": lambda n: get(f"/post/{n}00/"),
    # Before those that teach the edge which addresses can't be stored.
    "an invented path that fails": lambda n: get(f"/broken/{n}"),
    "an invented path that is missing": lambda n: get(f"/missing/{n}"),
    "an invented path that is private": lambda n: get(f"/private/{n}"),
    "a path of 200 segments": lambda n: get(f"{'/a' * 200}{n}"),
    "an invented host": lambda n: get("/", host=f"h{n}.example.com"),
    "an invented session": lambda n: get(PAGE, cookie=f"sessionid={n}"),
    "an invented cookie that the key does not have": lambda n: get(PAGE, cookie=f"x={n}"),
    "an invented language": lambda n: get(PAGE, accept_language=language(n)),
    "an invented field": lambda n: get(PAGE, x_invented=str(n)),
    "an invented User-Agent": lambda n: get(PAGE, user_agent=f"bot/{n}"),
    "a range of a stored page": lambda n: get(PAGE, range=f"bytes={n % 3}-"),
    "a range of an invented query": lambda n: get(f"{PAGE}?r={n}", range="bytes=0-1"),
    "a condition that fails": lambda n: get(PAGE, if_none_match=f'"{n}"'),
    "a precondition for the origin": lambda n: get(PAGE, if_match=f'"{n}"'),
    "credentials that the origin does not know": lambda n: get(PAGE, authorization=f"Basic {n}"),
    "request directives": lambda n: get(PAGE, cache_control="no-cache"),
    "a HEAD of an invented query": lambda n: other("HEAD", f"{PAGE}?h={n}"),
    "a POST to a page that nobody stored": lambda n: other("POST", f"{PAGE}?next={n}", b"a=b"),
    "a POST to a page that nobody stored, whose key has cookies": lambda n: other(
        "POST", f"/language/{n}", b"a=b"
    ),
    "a POST to a stored page": lambda n: other("POST", PAGE, b"a=b"),
    "a DELETE of a stored page": lambda n: other("DELETE", PAGE),
    "an unknown method": lambda n: other("BREW", f"{PAGE}?b={n}"),
    "a PURGE without permission": lambda n: other("PURGE", PAGE),
    "a BAN without permission": lambda n: other("BAN", PAGE),
    "a webhook without credentials": lambda n: other("POST", "/__isr/v1/revalidate", b"{}"),
    "a webhook with an invented signature": lambda n: other(
        "POST",
        "/__isr/v1/revalidate",
        b'{"all": true}',
        webhook_id=f"m{n}",
        webhook_timestamp=str(int(time.time())),
        webhook_signature="v1,AAAA",
    ),
    "a guessed token at a purge API": lambda n: other(
        "POST", "/__isr/fastly/service/s/purge_all", fastly_key=str(n)
    ),
    "a question for a job without credentials": lambda n: get(f"/__isr/v1/jobs/{n}"),
    "healthz": lambda n: get("/__isr/healthz"),
    "a warm-up without permission": lambda n: get(PAGE, x_edge_isr_warmup="1"),
    "a request that looped": lambda n: get(PAGE, cdn_loop="edge-isr"),
}
# What is caused once a second, however many ask: an epoch of unsafe requests, a question to a shard
# or the journal.
A_SECOND = {"object requests": 2, "rows written": 24}
# These ask the shards together, once a second: the quicker they come, the fewer questions.
TOGETHER = {
    "a POST to a page that nobody stored",
    "a POST to a page that nobody stored, whose key has cookies",
}
# What an unsafe request changed is carried a second after the last time, at the latest.
CARRIED = 1
UNSAFE = {"POST", "DELETE", "BREW"}
# What the map of all that is held takes more when it doubles.
DOUBLED = {"bytes held": 64_000}
# From where on each request has its part in a figure: a mark is for many, rows may be of one epoch.
LEAST = {"bytes held": 100, "rows written": 3}


def answer(connection, request):
    """A site whose pages can be stored, but for what lies below three paths."""
    if request.method not in ("GET", "HEAD"):
        Reply(b"done", [("Cache-Control", "no-store")])(connection, request)
    elif request.target.startswith("/private/"):
        Reply(b"yours", [("Cache-Control", "private")])(connection, request)
    elif request.target.startswith("/missing/"):
        Reply(b"no", status=404)(connection, request)
    elif request.target.startswith("/broken/"):
        Reply(b"oops", status=500)(connection, request)
    else:
        page("page", tags="posts", fields=VARIED)(connection, request)


@dataclass
class Counted:
    """The worker with a counter round it."""

    edge: Edge
    origin: Origin
    front: Origin

    def counts(self):
        """What was counted since the last time."""
        response = httpx.get(f"{self.edge.url}/counts", headers={"host": "control.test"})
        return response.json()

    def settled(self, quiet):
        """All that was counted, once nothing more came for a while, and when the last of it had."""
        total, last = {}, time.monotonic()
        while (asked := time.monotonic()) - last < quiet:
            counts = self.counts()
            if counts:
                last = time.monotonic()
            for name, value in counts.items():
                total[name] = total.get(name, 0) + value
            wait_until(lambda asked=asked: time.monotonic() > asked + 0.1, 1)
        return total, last

    def held(self):
        """Bytes that the isolate holds, as it counts them."""
        text = self.edge.control("/__isr/metrics?isolate").text
        return int(re.search(r"^edge_isr_memory_bytes (\d+)$", text, re.MULTILINE)[1])

    def cost(self, name):
        """What so many of a kind cost in all, in the table's columns, and in how many seconds: up
        to the last that was counted, however late that came.
        """
        held = self.held()
        self.settled(0.2)
        asked, began = len(self.origin.everything()), time.monotonic()
        for number in range(COUNT):
            method, path, fields, body = KINDS[name](number)
            # Who is refused before the body was read finds the connection closed.
            with self.edge.visitor() as client:
                self.edge.request(method, path, fields, client, content=body)
        counts, ended = self.settled(CARRIED + 0.5 if method in UNSAFE else 0.4)
        both = lambda what: counts.get(f"journal {what}", 0) + counts.get(f"shard {what}", 0)
        return ended - began, [
            len(self.origin.everything()) - asked,
            # The news of the journal come once a second, whatever is asked.
            both("requests") - counts.get("journal sync", 0),
            both("rows written") + both("alarms set"),
            counts.get("kv reads", 0),
            counts.get("kv writes", 0),
            max(0, self.held() - held),
        ]


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """The worker with a counter round it, and one stored page."""
    directory = tmp_path_factory.mktemp("costs")
    origin, front = Origin(answer), Origin(Reply(b"done"))
    settings = {
        "routes": [{"path": "/language/*", "key_cookies": ["language"]}],
        "front_caches": [{"name": "front", "provider": "purge", "url": f"{front.url}/"}],
    }
    port = free_port()
    given = {
        "around": str(ROOT / "scripts/lib/bench_worker.mjs"),
        "bindings": {
            "ORIGIN": origin.url,
            "EDGE_ISR": settings,
            "WEBHOOK_SECRETS": WEBHOOK_SECRET,
            "FRONT_CACHE_SECRETS": "front:secret-of-the-front-cache",
            "TOKENS": " ".join(
                f"{name}:{scopes}:{value}" for name, (scopes, value) in TOKENS.items()
            ),
        },
        "build": os.environ.get("EDGE_ISR_BUILD", str(ROOT / "build")),
        "persist": str(directory),
        "port": port,
    }
    arguments = [ROOT / "node_modules/.bin/node", ROOT / "tests/e2e/wrapped.mjs", json.dumps(given)]
    process = Process("counted", arguments, directory / "counted.log")
    process.wait_for(lambda: "ready\n" in process.output(), 60, "ready")
    process.url = f"http://127.0.0.1:{port}"
    found = Counted(Edge(process), origin, front)
    found.edge.get(PAGE, host=HOST)
    found.edge.until_hit(PAGE, host=HOST)
    # Until each shard has pages: its first ones write more.
    for number in range(50):
        found.edge.get(f"/first/{number}", host=HOST)
    yield found
    process.kill()
    origin.refuse()
    front.refuse()


def table():
    """The figures of docs/security.md by kind: what one costs at most."""
    lines = iter((ROOT / "docs/security.md").read_text().splitlines())
    head = "| one of these | " + " | ".join(COLUMNS) + " |"
    assert head in lines and next(lines).startswith("| --- ")
    rows = {}
    for line in lines:
        if not line.startswith("|"):
            return rows
        name, *figures = [cell.strip() for cell in line.strip("|").split("|")]
        rows[name] = [float(figure.replace(",", "")) for figure in figures]
    raise AssertionError("nothing follows the table")


def test_the_table_has_each_kind():
    assert list(table()) == list(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_one_costs_what_the_table_says(counted, name):
    """Never more, and what each one costs is not half of it."""
    took, counts = counted.cost(name)
    for column, count, most in zip(COLUMNS, counts, table()[name], strict=True):
        once = DOUBLED.get(column, 0) + A_SECOND.get(column, 0) * (1 + int(took))
        assert count <= most * COUNT + once, (column, counts)
        each = most >= LEAST.get(column, 1) and not (
            column == "object requests" and name in TOGETHER
        )
        assert count > most * COUNT / 2 or not each, (column, counts)


def test_a_cache_in_front_is_purged_once_a_minute(counted):
    """Of all that the kinds above invalidated: one page."""
    calls = lambda: [request.method for request in counted.front.everything()]
    for _ in range(5):
        counted.edge.request("POST", PAGE, {"host": HOST}, content=b"a=b")
    wait_until(calls, 70, "the call")
    assert set(calls()) == {"PURGE"} and len(calls()) <= 3, calls()
