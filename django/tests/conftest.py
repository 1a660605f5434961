"""What the tests share: a site of one's own views, settings, a worker that answers as scripted."""

import json
import os
import re
import sys
import threading
import time
import types
import uuid
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from asgiref.sync import async_to_sync
from django.db.backends.signals import connection_created
from django.dispatch import receiver
from django.template import engines
from django.test import AsyncClient, Client
from django.urls import path

from edge_isr.pytest_plugin import edge_isr_invalidations  # noqa: F401  (installed, pytest finds it)
from edge_isr.tags import ANYTHING


@receiver(connection_created)
def _without_fsync(connection, **kwargs):
    """What a test writes need not outlive the machine."""
    if connection.vendor == "sqlite":
        journal = "WAL" if os.environ.get("EDGE_ISR_TEST_WAL") else "DELETE"
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous = OFF")
            cursor.execute(f"PRAGMA journal_mode = {journal}")


SECRET = "whsec_dGVzdHMgb25seTogMzIgYnl0ZXMgb2Yga2V5ISEhISE="


def pytest_addoption(parser):
    parser.addoption(
        "--sqlite-runs", type=int, default=1, metavar="N",
        help="how often the processes of test_sqlite.py write at once, on each journal, with the "
        "worker up and down",
    )  # fmt: skip


def pytest_generate_tests(metafunc):
    if "sqlite_run" in metafunc.fixturenames:
        metafunc.parametrize("sqlite_run", range(metafunc.config.getoption("sqlite_runs")))


@pytest.fixture
def edge(settings):
    """Changes settings of EDGE_ISR for one test: `edge(MODE="hard")`."""

    def change(**values):
        settings.EDGE_ISR = {**settings.EDGE_ISR, **values}

    return change


@pytest.fixture
def site(settings):
    """A site that serves a view at /page/ (and below), through all middlewares."""

    def serve(view, client=Client, **extra):
        module = types.ModuleType(f"urls_of_test_{uuid.uuid4().hex}")
        module.urlpatterns = [path("page/", view), path("page/<int:pk>/", view)]
        vars(module).update(extra)
        sys.modules[module.__name__] = module
        settings.ROOT_URLCONF = module.__name__
        return client(raise_request_exception=False)

    return serve


@pytest.fixture
def async_site(site):
    """The same by ASGI."""
    return lambda view, **more: site(view, client=AsyncClient, **more)


def aget(client, address, **more):
    """A GET by an asynchronous client."""

    async def get():
        return await client.get(address, **more)

    return async_to_sync(get)()


def tags_of(response):
    """The tags of a response, without its own path, and those for changes of very many rows."""
    named = set(response.get("X-Edge-ISR-Tags", "").split())
    every = {name for name in named if re.fullmatch(r"[a-z]+\.[a-z_]+:\*", name)}
    shown = {
        name.partition(":")[0] for name in named - every if re.match(r"[a-z]+\.[a-z_]+:", name)
    }
    assert {name.partition(":")[0] for name in every} >= shown
    return {name for name in named - every if not name.startswith("path:")}


PART = re.compile(r"[a-z]+\.[a-z_]+:(@.*|[a-z_]+(=|>).*)")


def ttl_of(response):
    """For how many seconds the edge may keep it."""
    return int(response["CDN-Cache-Control"].partition("max-age=")[2].partition(",")[0])


def is_public(response):
    """Whether the edge may keep it; a response is either or, and says so everywhere."""
    public = response.has_header("CDN-Cache-Control")
    assert public != (response.get("X-Edge-ISR") == "bypass")
    if public:
        assert "private" not in response.get("Cache-Control", "")
    return public


@pytest.fixture
def hats():
    from shop.models import Category

    return Category.objects.create(pk=1, name="Hats", slug="hats")


@pytest.fixture
def shoes():
    from shop.models import Category

    return Category.objects.create(pk=2, name="Shoes", slug="shoes")


@pytest.fixture
def fez(hats):
    from shop.models import Product

    return Product.objects.create(pk=11, name="Fez", slug="fez", category=hats)


@pytest.fixture
def cap(hats):
    from shop.models import Product

    return Product.objects.create(pk=12, name="Cap", slug="cap", category=hats)


@pytest.fixture
def ada(django_user_model):
    return django_user_model.objects.create_user("ada.lovelace", password="x")


@pytest.fixture
def menu_part():
    """The part `menu`; what else a test registers is gone after it."""
    import edge_isr
    from edge_isr.compose import personal

    before = dict(personal._parts)

    @edge_isr.personal("menu")
    def menu(request):
        return (
            engines["django"]
            .from_string("<b>{{ user }}</b> at {{ request.path }}")
            .render({}, request)
        )

    yield
    personal._parts.clear()
    personal._parts.update(before)


class FakeWorker:
    """Answers the calls of the control API as the test says, and remembers them."""

    def __init__(self):
        self.calls = []
        self.answers = []
        self.answer = (202, {"id": "job", "epoch": 7})
        self.answered = 0
        self.hold = threading.Event()
        self.hold.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                call = types.SimpleNamespace(
                    method=self.command,
                    path=self.path,
                    headers={name.lower(): value for name, value in self.headers.items()},
                    body=body,
                )
                call.json = json.loads(body) if body[:1] == b"{" else None
                outer.calls.append(call)
                outer.hold.wait(10)
                outer.answered += 1
                status, answer, *more = outer.answers.pop(0) if outer.answers else outer.answer
                answer = answer(call) if callable(answer) else answer
                data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in more[0].items() if more else ():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PURGE = do_DELETE = handle_any

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def tags(self):
        """All tags that it was sent, but for the one that is in each invalidation by tags, and
        those of values and columns."""
        new_tags = {tag for call in self.calls for tag in (call.json or {}).get("tags", ())}
        return {tag for tag in new_tags - {ANYTHING} if not PART.fullmatch(tag)}

    def stop(self):
        """From now on connections are refused."""
        if self._thread.is_alive():
            self.hold.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()


@pytest.fixture
def worker(edge):
    """A worker, and the settings that point to it."""
    fake = FakeWorker()
    edge(WORKER_URL=fake.url)
    yield fake
    fake.stop()


@pytest.fixture
def new_tags():
    """The tags that the outbox got since the last call, as if each call ended a transaction: those
    of models and rows, or with `parts` those of values and columns as well."""
    from django.db import connection

    from edge_isr.batching import AfterCommit, before_commit
    from edge_isr.models import OutboxMessage

    seen = set()

    def ask(kind="tags", parts=False):
        before_commit(connection)
        connection.run_on_commit[:] = [
            entry for entry in connection.run_on_commit if not isinstance(entry[1], AfterCommit)
        ]
        # What is sent at a time is not sent now.
        rows = [row for row in OutboxMessage.objects.filter(at=None) if row.pk not in seen]
        seen.update(row.pk for row in rows)
        names = {name for row in rows for name in row.payload.get(kind, ())}
        return names if parts else {name for name in names if not PART.fullmatch(name)}

    return ask


@pytest.fixture(autouse=True)
def _clean():
    """Nothing of one test is left for the next: caches, registrations, threads."""
    from django.core.cache import cache

    from edge_isr import loops, registry
    from edge_isr.delivery import in_memory, thread

    before = dict(registry._entries)
    yield
    thread.stop()
    in_memory.stop(0)
    loops.forget()
    cache.clear()
    registry._entries.clear()
    registry._entries.update(before)
    registry.forget_models()


@pytest.fixture
def written():
    """The rows of the outbox, with what the open transaction would write at its commit."""
    from django.db import connection

    from edge_isr.batching import before_commit
    from edge_isr.models import OutboxMessage

    def ask():
        before_commit(connection)
        return list(OutboxMessage.objects.order_by("pk"))

    return ask


@pytest.fixture
def clock(monkeypatch):
    """Moves the outbox's clock."""

    from django.utils import timezone as django_timezone

    def move(now):
        monkeypatch.setattr(django_timezone, "now", lambda: now)

    return move


@pytest.fixture
def soon(clock):
    """In an hour."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    clock(now)
    return now + timedelta(hours=1)


IS_POSTGRES = bool(os.environ.get("EDGE_ISR_TEST_PG"))
IS_MARIADB = bool(os.environ.get("EDGE_ISR_TEST_MARIADB"))
# They have databases of their own: where the others are on such a one is enough.
collect_ignore = []
if IS_POSTGRES or IS_MARIADB:
    collect_ignore += ["test_migrating.py", "test_sqlite.py"]
if not IS_POSTGRES:
    collect_ignore.append("test_failover.py")


def wait_for(condition, timeout=10):
    """Until it holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def the_row():
    """The only row of the outbox."""
    from edge_isr.models import OutboxMessage

    return OutboxMessage.objects.get()
