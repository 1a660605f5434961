"""The thread that delivers the outbox: after commits, by itself, and whatever happens to it."""

import threading

import pytest
from conftest import IS_MARIADB, IS_POSTGRES, the_row, wait_for
from django.db import connection, transaction
from shop.models import Category

import edge_isr
from edge_isr.conf import get_settings
from edge_isr.delivery import outbox, thread
from edge_isr.delivery.outbox import Deliverer
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _threaded(edge, worker, monkeypatch):
    monkeypatch.setattr(thread, "ERROR_SECONDS", 0.05)
    edge(DELIVERY="thread")


def idle():
    assert thread.ensure(get_settings()).idle(10)


def test_delivers_after_the_commit(worker):
    with transaction.atomic():
        category = Category.objects.create(name="x", slug="x")
        assert worker.calls == []
    idle()
    assert worker.tags == {"shop.category", f"shop.category:{category.pk}"}
    assert the_row().status == "delivered"


def test_a_save_does_not_wait_for_a_slow_worker(worker):
    worker.hold.clear()
    Category.objects.create(name="x", slug="x")
    assert not worker.answered
    worker.hold.set()
    idle()
    assert worker.tags


def test_it_tries_again_by_itself(worker, monkeypatch):
    monkeypatch.setattr(outbox, "delay", lambda attempts, after: 0.05)
    worker.answers = [(503, {})] * 3
    edge_isr.revalidate_by_tags("x")
    wait_for(lambda: the_row().status == "delivered")
    assert len(worker.calls) == 4


def test_a_dead_database_connection(worker, monkeypatch, caplog):
    from django.db import OperationalError

    real = Deliverer.round
    broken = [OperationalError("server closed the connection"), OperationalError("still")]

    def round_(self, using, settings):
        if broken:
            raise broken.pop()
        return real(self, using, settings)

    monkeypatch.setattr(Deliverer, "round", round_)
    edge_isr.revalidate_by_tags("x")
    wait_for(lambda: the_row().status == "delivered")
    assert "can't be read" in caplog.text


def test_a_connection_that_the_server_ended(worker):
    """PostgreSQL and MariaDB really end it; SQLite has no server that could."""
    edge_isr.revalidate_by_tags("x")
    idle()
    with connection.cursor() as cursor:
        if IS_POSTGRES:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        elif IS_MARIADB:
            cursor.execute(
                "SELECT id FROM information_schema.processlist "
                "WHERE id <> connection_id() AND db = database()"
            )
            for row in cursor.fetchall():
                cursor.execute("KILL %s", row)
    edge_isr.revalidate_by_tags("y")
    wait_for(lambda: not OutboxMessage.objects.filter(status="pending").exists())
    assert worker.tags == {"x", "y"}


def test_it_outlives_what_nobody_expected(worker, monkeypatch, caplog):
    real, broken = Deliverer.round, [RuntimeError("unexpected")]

    def round_(self, using, settings):
        if broken:
            raise broken.pop()
        return real(self, using, settings)

    monkeypatch.setattr(Deliverer, "round", round_)
    edge_isr.revalidate_by_tags("x")
    wait_for(lambda: the_row().status == "delivered")
    assert "unexpected" in caplog.text


def test_one_thread_however_many_changes(worker):
    before = threading.active_count()
    for n in range(50):
        edge_isr.revalidate_by_tags(f"post:{n}")
    names = [t.name for t in threading.enumerate()]
    assert names.count("edge-isr-delivery") == 1
    # The worker of the test has a thread for each connection.
    assert threading.active_count() - before < 60
    idle()


def test_what_another_process_left_is_found(worker, edge, monkeypatch):
    monkeypatch.setattr(thread, "POLL_SECONDS", 0.05)
    edge(DELIVERY="command")
    edge_isr.revalidate_by_tags("left")
    edge(DELIVERY="thread")
    thread.ensure(get_settings())
    wait_for(lambda: the_row().status == "delivered")


def test_it_has_a_moment_at_the_end_of_the_process(worker):
    worker.hold.clear()
    edge_isr.revalidate_by_tags("x")
    timer = threading.Timer(0.2, worker.hold.set)
    timer.start()
    thread.stop()
    timer.join()
    assert the_row().status == "delivered"


def test_a_fork_gets_a_thread_of_its_own(monkeypatch):
    first = thread.ensure(get_settings())
    real = thread.os.getpid()
    monkeypatch.setattr(thread.os, "getpid", lambda: real + 1)
    second = thread.ensure(get_settings())
    assert first is not second
    second.stop()
    first.stop()


def test_the_middleware_begins_it(site, worker, edge):
    from django.http import HttpResponse

    edge(DELIVERY="command")
    edge_isr.revalidate_by_tags("left")
    edge(DELIVERY="thread")
    site(lambda request: HttpResponse("x")).get("/page/")
    wait_for(lambda: the_row().status == "delivered")
