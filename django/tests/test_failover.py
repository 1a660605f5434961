"""A PostgreSQL server that stops and comes back, as in a failover: while a site saves, and while
it delivers. A request fails as it would without the package, and nothing committed is lost."""

import json
import subprocess
import sys

import psycopg
import pytest
from conftest import FakeWorker, wait_for
from processes import TESTS, SiteProcess, site_environment

ROOT = TESTS.parents[1]
SERVER = """
ROOT=$1
. "$ROOT/scripts/lib/postgres.sh"
trap stop_postgres EXIT
# A commit that was answered is there after a crash.
durable=(-c synchronous_commit=on)
start_postgres "${durable[@]}" >&2 || exit 1
echo "$POSTGRES_SOCKETS"
while read -r signal; do
  halt_postgres "$signal"
  echo down
  read -r up
  run_postgres "${durable[@]}" >&2 || exit 1
  echo up
done
"""


class Lines:
    """What one writes to a process, and what it answers."""

    def __init__(self, process):
        self._process = process

    def write_line(self, text):
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def hear(self):
        return self._process.stdout.readline().strip()

    def ask(self, text):
        self.write_line(text)
        return self.hear()


PIPES = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}


@pytest.fixture(scope="module")
def server():
    """One of its own: the others' tests need theirs."""
    process = subprocess.Popen(["bash", "-c", SERVER, "server", str(ROOT)], **PIPES)
    lines = Lines(process)
    lines.sockets = lines.hear()
    assert lines.sockets
    yield lines
    process.stdin.close()
    process.wait(30)


@pytest.fixture
def edge_worker():
    fake = FakeWorker()
    yield fake
    fake.stop()


@pytest.fixture
def site(server, edge_worker, settings):
    """A site that delivers by its own thread."""
    database = {
        "ENGINE": "django.db.backends.postgresql", "HOST": server.sockets,
        "NAME": "postgres", "USER": "edge",
    }  # fmt: skip
    edge_isr = {**settings.EDGE_ISR, "DELIVERY": "thread", "WORKER_URL": edge_worker.url}
    environment = site_environment(edge_isr, SITE_DATABASE=json.dumps(database))
    subprocess.run(
        [sys.executable, "-m", "django", "migrate", "--run-syncdb", "-v0"],
        env=environment, check=True,
    )  # fmt: skip
    process = SiteProcess([str(TESTS / "failover_site.py")], environment, **PIPES)
    yield Lines(process.process)
    edge_worker.hold.set()
    process.kill()


def rows(server, sql):
    with psycopg.connect(host=server.sockets, user="edge", dbname="postgres") as connection:
        return connection.execute(sql).fetchall()


def all_delivered(server):
    return not rows(server, "SELECT 1 FROM edge_isr_outboxmessage WHERE status = 'pending'")


def calls_for(edge_worker, key):
    return [c for c in edge_worker.calls if f"shop.category:{key}" in c.json["tags"]]


@pytest.mark.parametrize("signal", ["INT", "QUIT"])
def test_a_server_that_restarts_while_a_site_saves(signal, server, site, edge_worker):
    first, second, third = range(10, 13) if signal == "INT" else range(20, 23)
    assert site.ask(first) == "inside"
    assert server.ask(signal) == "down"
    assert site.ask("on") == "failed OperationalError"
    assert site.ask(second) == "failed OperationalError", "there is no server"
    assert server.ask("up") == "up"
    assert site.ask(third) == "inside" and site.ask("on") == "saved"
    wait_for(lambda: calls_for(edge_worker, third), 30)
    wait_for(lambda: all_delivered(server), 30)
    kept = rows(server, f"SELECT id FROM shop_category WHERE id BETWEEN {first} AND {third}")
    assert kept == [(third,)]
    assert not calls_for(edge_worker, first) and not calls_for(edge_worker, second)


def test_a_server_that_restarts_while_a_site_delivers(server, site, edge_worker):
    edge_worker.hold.clear()
    assert site.ask(1) == "inside" and site.ask("on") == "saved"
    wait_for(lambda: calls_for(edge_worker, 1), 30)
    assert server.ask("QUIT") == "down"
    # The worker has it, and the site can't write that down.
    edge_worker.hold.set()
    wait_for(lambda: edge_worker.answered, 30)
    assert server.ask("up") == "up"
    assert site.ask(2) == "inside" and site.ask("on") == "saved"
    wait_for(lambda: calls_for(edge_worker, 2), 30)
    wait_for(lambda: all_delivered(server), 60)
    assert rows(server, "SELECT id FROM shop_category WHERE id < 10 ORDER BY id") == [(1,), (2,)]
    # Sent again when the claim had ended; it is the same call.
    ids = [call.headers["webhook-id"] for call in calls_for(edge_worker, 1)]
    assert len(ids) == 2 and len(set(ids)) == 1
