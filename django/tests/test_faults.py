"""Faults of the database and of the operator: the site goes on, and the log says what to do."""

import threading
from datetime import timedelta

import pytest
from conftest import IS_MARIADB, IS_POSTGRES, the_row
from django.db import OperationalError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from shop.models import Category

import edge_isr
from edge_isr.conf import get_settings
from edge_isr.delivery import outbox
from edge_isr.delivery.outbox import Deliverer
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)


def deliver():
    return Deliverer().round("default", get_settings())


@pytest.mark.parametrize("status", [401, 403])
def test_a_secret_that_is_wrong_on_one_side(status, worker, caplog):
    worker.answers = [(status, {"detail": "No configured secret made the signature."})]
    edge_isr.revalidate_by_tags("x")
    assert deliver().failed == 1
    for text in (caplog.text, the_row().last_error):
        assert "No configured secret" in text
        assert "WEBHOOK_SECRET" in text and "clock" in text and "nothing is lost" in text
    OutboxMessage.objects.update(due_at=the_row().created_at)
    assert deliver().delivered == 1


def test_a_host_whose_clock_is_ahead(worker, monkeypatch):
    """Another one delivers what it wrote, at once; what is put off stays so."""
    ahead = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr(outbox.timezone, "now", lambda: ahead)
    edge_isr.revalidate_by_tags("x")
    monkeypatch.undo()
    worker.answers = [(503, {})]
    assert deliver().failed == 1
    assert deliver().failed == 0 and the_row().due_at > timezone.now()


def test_what_a_save_adds_to_the_sites_statements():
    category = Category.objects.create(pk=1, name="a", slug="a")

    def statements(write):
        with CaptureQueriesContext(connection) as queries:
            write()
        return [query["sql"].split()[0] for query in queries]

    def change():
        category.name += "!"
        category.save()

    def in_a_transaction():
        with transaction.atomic():
            change()
            change()

    message = ["SAVEPOINT", "INSERT", "RELEASE"]
    row = ["SELECT", "UPDATE"]
    assert statements(change) == ["BEGIN", *row, *message, "COMMIT"]
    assert statements(category.save) == ["BEGIN", *row, "COMMIT"]
    assert statements(in_a_transaction) == ["BEGIN", *row, *row, *message, "COMMIT"]
    update = statements(lambda: Category.objects.update(name="x"))
    # Rows are kept as they are by their keys, where their values are named.
    keys = ["SELECT"] if IS_POSTGRES else []
    assert update == ["BEGIN", *keys, *row, *message, "COMMIT"]


def elsewhere(do):
    """In a thread, with a connection of its own."""

    def run():
        try:
            do()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def run_sql(*statements):
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


if IS_POSTGRES:
    LOCK = "LOCK TABLE edge_isr_outboxmessage IN ACCESS EXCLUSIVE MODE"
    IMPATIENT, PATIENT = "SET lock_timeout = '50ms'", "SET lock_timeout = 0"
    LOCKED, DEADLOCK = "lock timeout", "deadlock detected"
    END_CONNECTION = "SELECT pg_terminate_backend(%d)"
elif IS_MARIADB:
    LOCK = "LOCK TABLES edge_isr_outboxmessage WRITE"
    IMPATIENT, PATIENT = "SET lock_wait_timeout = 1", "SET lock_wait_timeout = DEFAULT"
    LOCKED, DEADLOCK = "Lock wait timeout", "Deadlock found"
    END_CONNECTION = "KILL %d"


def own_process():
    """By which the server knows this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()" if IS_POSTGRES else "SELECT connection_id()")
        return cursor.fetchone()[0]


if IS_POSTGRES or IS_MARIADB:

    def test_an_outbox_that_is_locked_by_a_migration(edge, worker, caplog):
        edge(REQUEST_WAIT=2)
        Category.objects.create(pk=1, name="a", slug="a")
        locked, done = threading.Event(), threading.Event()

        def lock():
            try:
                with transaction.atomic():
                    run_sql(LOCK)
                    locked.set()
                    done.wait(20)
            finally:
                connections.close_all()

        other = threading.Thread(target=lock)
        other.start()
        assert locked.wait(20)
        run_sql(IMPATIENT)
        try:
            Category.objects.create(pk=2, name="b", slug="b")
            with transaction.atomic():
                Category.objects.filter(pk=1).update(name="c")
        finally:
            run_sql(PATIENT)
            done.set()
            other.join()
        assert Category.objects.get(pk=1).name == "c" and Category.objects.count() == 2
        assert worker.tags == {"shop.category", "shop.category:1", "shop.category:2"}
        assert LOCKED in caplog.text

    def test_a_deadlock_fails_one_of_two_transactions_and_sends_the_other(worker):
        """One fails, as without the package, and sends nothing; repeated, it is sent once."""
        for pk in (1, 2):
            Category.objects.create(pk=pk, name="a", slug=str(pk))
        deliver()
        worker.calls.clear()
        both = threading.Barrier(2)
        failed = {}

        def swap(own, first, second, meanwhile=lambda: None):
            with transaction.atomic():
                Category.objects.create(pk=own, name="own", slug=str(own))
                Category.objects.filter(pk=first).update(name=str(own))
                meanwhile()
                Category.objects.filter(pk=second).update(name=str(own))

        def contend(*rows):
            try:
                swap(*rows, lambda: both.wait(20))
            except OperationalError as error:
                failed[rows] = str(error)
            finally:
                connections.close_all()

        contenders = [
            threading.Thread(target=contend, args=rows) for rows in ((10, 1, 2), (20, 2, 1))
        ]
        for contender in contenders:
            contender.start()
        for contender in contenders:
            contender.join()
        ((rows, why),) = failed.items()
        assert DEADLOCK in why
        won = 30 - rows[0]
        common = {"shop.category", "shop.category:1", "shop.category:2"}
        assert deliver().delivered == 1 and worker.tags == {*common, f"shop.category:{won}"}
        swap(*rows)
        worker.calls.clear()
        assert deliver().delivered == 1 and worker.tags == {*common, f"shop.category:{rows[0]}"}

    def test_a_connection_that_is_lost_before_the_commit():
        with pytest.raises(OperationalError), transaction.atomic():
            Category.objects.create(pk=1, name="a", slug="a")
            process = own_process()
            elsewhere(lambda: run_sql(END_CONNECTION % process))
        connection.close()
        assert not Category.objects.exists() and not OutboxMessage.objects.exists()


if IS_POSTGRES:

    def test_a_serialization_failure_is_the_sites_to_repeat(worker):
        """It fails as without the package, sends nothing, and what is repeated is sent once."""
        Category.objects.create(pk=1, name="a", slug="a")
        deliver()
        worker.calls.clear()

        def once(meanwhile):
            with transaction.atomic():
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
                category = Category.objects.get(pk=1)
                meanwhile()
                category.name += "b"
                category.save()

        def other():
            with edge_isr.silence():
                Category.objects.filter(pk=1).update(name="other")

        with pytest.raises(OperationalError, match="could not serialize"):
            once(lambda: elsewhere(other))
        assert deliver().delivered == 0
        once(lambda: None)
        assert deliver().delivered == 1
        assert Category.objects.get().name == "otherb"
        assert worker.tags == {"shop.category", "shop.category:1"}


if not IS_POSTGRES and not IS_MARIADB:

    def test_a_full_disk(tmp_path):
        """Neither the row nor its message is there, and the site hears of it as it would."""
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA page_count")
            (pages,) = cursor.fetchone()
            cursor.execute(f"PRAGMA max_page_count = {pages}")
        before = Category.objects.count()
        try:
            with pytest.raises(OperationalError, match="full"), transaction.atomic():
                for n in range(5000):
                    Category.objects.create(name="x" * 80, slug=str(n))
        finally:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA max_page_count = 1073741823")
        assert Category.objects.count() == before and not OutboxMessage.objects.exists()
