"""What the end-to-end tests run on: the release worker on the local runtime, and two origins.

`edge` is the worker in front of the scriptable origin; `site` is a worker in front of the Django
blog. Both live as long as the run, so each test uses paths (and hosts and tags) of its own.
"""

import itertools
import json
import os
import sys
from pathlib import Path

import httpx
import pytest

sys.path[:0] = [
    str(Path(__file__).resolve().parents[2] / "scripts" / "lib"),
    str(Path(__file__).parent),
]

from origin import Origin
from stack import (
    BLOG_CONFIG,
    KEEPALIVE_SECONDS,
    TOKENS,
    Blog,
    Worker,
    cache_status,
    free_port,
    signed,
    wait_until,
)

# Short enough that a test of it is quick, long enough for a busy machine.
ORIGIN_TIMEOUT_SECONDS = 2
# Invalidations are seen within this bound (the default), and a moment for the machine.
MAX_LAG_SECONDS = 2
SEEN_SECONDS = MAX_LAG_SECONDS + 1

EDGE_CONFIG = {
    "origin_timeout": ORIGIN_TIMEOUT_SECONDS,
    "new_keys_per_second": 10_000,
    "routes": [
        {"path": "/forced-bypass/*", "action": "bypass"},
        {"path": "/forced-ttl/*", "ttl": 60, "visitor_cache_control": "max-age=5"},
        {"path": "/everything/*", "forward_headers": "all"},
    ],
}

_counter = itertools.count(1)


class Answer:
    """An answer with its body as it came over the wire, and its Cache-Status taken apart."""

    def __init__(self, response, body):
        self.status = response.status_code
        self.headers = response.headers
        self.body = body
        self.text = body.decode("utf-8", "replace")
        self.cache = cache_status(response.headers.get("cache-status", ""))

    @property
    def hit(self):
        """Whether the edge answered it from its store."""
        return "hit" in self.cache

    def __repr__(self):
        return f"<{self.status} {self.headers.get('cache-status')!r} {self.body[:60]!r}>"


class Edge:
    """A worker, as a visitor and as an operator see it."""

    def __init__(self, worker):
        self.worker = worker
        self.url = worker.url
        self.client = self.visitor()

    def visitor(self):
        """A client with connections of its own, and no fields of its own."""
        limits = httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS)
        client = httpx.Client(base_url=self.url, timeout=40, limits=limits)
        client.headers.clear()
        return client

    def request(self, method, path, headers=None, client=None, **more):
        """One request; cookies are what the test says, redirects are not followed, bodies not
        decoded.
        """
        client = client or self.client
        headers = {
            "accept": "*/*",
            "accept-encoding": "identity",
            "user-agent": "e2e",
            **(headers or {}),
        }
        with client.stream(method, path, headers=headers, **more) as response:
            body = b"".join(response.iter_raw())
        client.cookies.clear()
        return Answer(response, body)

    def get(self, path, **headers):
        """GET; an underscore in a field's name stands for a dash."""
        return self.request(
            "GET", path, {name.replace("_", "-"): value for name, value in headers.items()}
        )

    def breaks(self, path):
        """Whether the answer is visibly not whole: broken off, or an error of the edge."""
        # A connection of its own: one that broke may look well until it is used again.
        with self.visitor() as client:
            try:
                return self.request("GET", path, client=client).status in (502, 504)
            except (httpx.RemoteProtocolError, httpx.ReadError):
                return True

    def until(self, condition, path, timeout=10, what="", **headers):
        """Asks until an answer is as wanted."""
        last = []

        def ask():
            last[:] = [self.get(path, **headers)]
            return last[0] if condition(last[0]) else None

        try:
            return wait_until(ask, timeout, what or path, interval=0.05)
        except TimeoutError as error:
            raise AssertionError(f"{error}; the last answer was {last}") from None

    def until_hit(self, path, **headers):
        """Asks until the page is in the cache."""
        return self.until(lambda answer: answer.hit, path, what=f"a hit on {path}", **headers)

    def post(self, path, body, headers):
        """Posts bytes to the control API."""
        return self.request("POST", path, headers, content=body)

    def revalidate(self, command, message_id=None, **more):
        """A signed webhook; the answer must be 202, or 200 where nothing is to be done."""
        body, headers = signed(command, message_id=message_id, **more)
        answer = self.post("/__isr/v1/revalidate", body, headers)
        assert answer.status == (200 if command.get("dry_run") else 202), answer
        return json.loads(answer.text)

    def control(self, path, token="reader"):
        """A read of the control API."""
        return self.get(path, authorization=f"Bearer {TOKENS[token][1]}")


def pytest_configure(config):
    """Marks of this suite."""
    config.addinivalue_line("markers", "slow: takes more than five seconds")


@pytest.fixture(scope="session")
def origin():
    """The scriptable origin."""
    server = Origin()
    yield server
    server.refuse()


@pytest.fixture(scope="session")
def start_worker(tmp_path_factory):
    """Starts further workers; they end with the run."""
    directory = tmp_path_factory.mktemp("workers")
    started = []

    def start(origin_url, **options):
        worker = Worker(directory, origin_url, **options)
        started.append(worker)
        return Edge(worker)

    yield start
    for worker in started:
        worker.process.kill()


@pytest.fixture(scope="session")
def edge(start_worker, origin):
    """The worker in front of the scriptable origin."""
    return start_worker(origin.url, config=EDGE_CONFIG)


@pytest.fixture(scope="session")
def blog_and_site(start_worker, tmp_path_factory):
    """The Django blog, and the worker in front of it."""
    port = free_port()
    site = start_worker(f"http://127.0.0.1:{port}", config=BLOG_CONFIG)
    blog = Blog(tmp_path_factory.mktemp("blog"), port, edge_url=site.url)
    yield blog, site
    blog.stop()


@pytest.fixture(scope="session")
def blog(blog_and_site):
    """The Django blog."""
    return blog_and_site[0]


@pytest.fixture(scope="session")
def site(blog_and_site):
    """The worker in front of the Django blog."""
    return blog_and_site[1]


@pytest.fixture
def path():
    """A path that no other test uses."""
    return f"/t{next(_counter)}-{os.getpid()}"


@pytest.fixture
def tag():
    """A tag that no other test uses."""
    return f"tag:{next(_counter)}"
