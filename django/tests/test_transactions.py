"""After the commit, and only then: nested blocks, rollbacks, savepoints. On real commits."""

import pytest
from conftest import IS_MARIADB, IS_POSTGRES, PART
from django.core.management import call_command
from django.db import DatabaseError, OperationalError, connection, connections, transaction
from django.db.backends.sqlite3 import base as sqlite3
from django.db.models.signals import post_save, pre_save
from shop.models import Category

import edge_isr
from edge_isr import batching
from edge_isr.conf import get_settings
from edge_isr.delivery.outbox import Deliverer
from edge_isr.models import OutboxMessage
from edge_isr.tags import ANYTHING

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["outbox", "direct"])
def sent(request, edge, worker):
    """The tags that the worker was sent since the last call, by both ways of delivery."""
    edge(OUTBOX=request.param == "outbox", REQUEST_WAIT=2)

    def ask():
        # A deliverer has a connection of its own: what is not committed it can't see.
        if request.param == "outbox" and not connection.in_atomic_block:
            Deliverer().round("default", get_settings())
        calls, worker.calls[:] = list(worker.calls), []
        assert all(call.path == "/__isr/v1/revalidate" for call in calls)
        new_tags = {tag for call in calls for tag in call.json.get("tags", ())} - {ANYTHING}
        return {tag for tag in new_tags if not PART.fullmatch(tag)}

    return ask


def make(slug):
    return Category.objects.create(pk=ord(slug[0]), name=slug, slug=slug)


def change(category):
    """A save that changes something."""
    category.name += "!"
    category.save()


def tags(*categories):
    return {"shop.category", *(f"shop.category:{c.pk}" for c in categories)}


def test_in_autocommit_at_once(sent):
    assert sent() == set()
    a = make("a")
    assert sent() == tags(a)


def test_after_the_commit(sent):
    with transaction.atomic():
        a = make("a")
        assert sent() == set()
    assert sent() == tags(a)


def test_nested_blocks(sent):
    with transaction.atomic():
        a = make("a")
        with transaction.atomic():
            b = make("b")
            with transaction.atomic(savepoint=False):
                c = make("c")
        assert sent() == set()
    assert sent() == tags(a, b, c)


def test_a_rollback_sends_nobody(sent):
    with pytest.raises(RuntimeError), transaction.atomic():
        make("a")
        raise RuntimeError
    assert sent() == set()
    assert not OutboxMessage.objects.exists()


def test_set_rollback_sends_nobody(sent):
    with transaction.atomic():
        make("a")
        transaction.set_rollback(True)
    assert sent() == set()


def test_a_savepoint_takes_its_own_along(sent):
    with transaction.atomic():
        a = make("a")
        with pytest.raises(RuntimeError), transaction.atomic():
            make("b")
            raise RuntimeError
        c = make("c")
    assert sent() == tags(a, c)


def test_the_same_tag_inside_a_rolled_back_savepoint_and_after_it(sent):
    a = make("a")
    sent()
    with transaction.atomic():
        with pytest.raises(RuntimeError), transaction.atomic():
            change(a)
            raise RuntimeError
        change(a)
    assert sent() == tags(a)


def test_the_same_tag_before_and_inside_a_rolled_back_savepoint(sent):
    a = make("a")
    sent()
    with transaction.atomic():
        change(a)
        with pytest.raises(RuntimeError), transaction.atomic():
            change(a)
            raise RuntimeError
    assert sent() == tags(a)


def test_savepoints_by_hand(sent):
    a = make("a")
    sent()
    with transaction.atomic():
        point = transaction.savepoint()
        change(a)
        transaction.savepoint_rollback(point)
        point = transaction.savepoint()
        change(a)
        b = make("b")
        transaction.savepoint_commit(point)
    assert sent() == tags(a, b)


def test_a_savepoint_rolled_back_by_hand_takes_its_message_along(worker):
    with transaction.atomic():
        point = transaction.savepoint()
        make("a")
        transaction.savepoint_rollback(point)
    assert not OutboxMessage.objects.exists()


def test_a_second_transaction_after_a_rollback(sent):
    a = make("a")
    sent()
    with pytest.raises(RuntimeError), transaction.atomic():
        change(a)
        raise RuntimeError
    with transaction.atomic():
        change(a)
    assert sent() == tags(a)


def test_sent_by_hand_in_a_transaction(sent):
    with pytest.raises(RuntimeError), transaction.atomic():
        edge_isr.revalidate_by_tags("never")
        raise RuntimeError
    with transaction.atomic():
        edge_isr.revalidate_by_tags("posts")
        assert sent() == set()
    assert sent() == {"posts"}


def test_a_batch_in_autocommit(sent):
    with edge_isr.batch():
        a, b = make("a"), make("b")
        assert sent() == set()
    assert sent() == tags(a, b)


@pytest.fixture
def archive(tmp_path):
    """A second database, with its own outbox."""
    settings = {**connection.settings_dict, "NAME": str(tmp_path / "archive.sqlite3")}
    connections["archive"] = sqlite3.DatabaseWrapper({**settings, "OPTIONS": {}}, "archive")
    call_command("migrate", database="archive", run_syncdb=True, verbosity=0)
    yield "archive"
    connections["archive"].close()
    del connections["archive"]


def test_a_batch_holds_back_nothing_of_another_database(archive):
    kept = Category(pk=1, name="kept", slug="kept")
    with pytest.raises(RuntimeError), edge_isr.batch():
        make("a")
        kept.save(using=archive)
        # Committed with its change: a process that dies here loses nothing.
        assert OutboxMessage.objects.using(archive).count() == 1
        raise RuntimeError
    assert not OutboxMessage.objects.exists()
    (row,) = OutboxMessage.objects.using(archive)
    assert {tag for tag in row.payload["tags"] if not PART.fullmatch(tag)} == tags(kept)


def test_many_saves_in_a_transaction_are_one_call(edge, worker):
    edge(OUTBOX=False, REQUEST_WAIT=2)
    with transaction.atomic():
        for letter in "abcdefghijklmnopqrstuvwxyz":
            make(letter)
    assert len(worker.calls) == 1


class Fault(Exception):
    """What a test breaks something with."""


def test_the_row_and_its_message_are_committed_together(monkeypatch):
    """In autocommit mode, too: whatever happens at the commit, both are there or none."""
    a = make("a")
    count = OutboxMessage.objects.count()
    real = type(connections["default"])._commit

    def commit(self):
        raise OperationalError("the connection was lost")

    monkeypatch.setattr(type(connections["default"]), "_commit", commit)
    for write in (
        lambda: make("b"),
        lambda: Category.objects.update(name="new"),
        lambda: Category.objects.bulk_create([Category(name="b", slug="b")]),
        lambda: a.delete(),
        lambda: Category.objects.all().delete(),
    ):
        with pytest.raises(OperationalError):
            write()
    monkeypatch.setattr(type(connections["default"]), "_commit", real)
    assert list(Category.objects.values_list("name", flat=True)) == ["a"]
    assert OutboxMessage.objects.count() == count


@pytest.fixture
def broken_outbox():
    """A table that can't be written, as after a migration that was not run."""
    make("w")  # The table is known to be there.
    table = OutboxMessage._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
    yield
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE elsewhere RENAME TO {table}")


def test_the_sites_own_write_does_not_fail_for_the_outbox(edge, worker, broken_outbox, caplog):
    edge(REQUEST_WAIT=2)
    a = make("a")
    assert worker.tags == tags(a)
    with transaction.atomic():
        b = make("b")
        with transaction.atomic():
            Category.objects.filter(pk=b.pk).update(name="new")
    edge_isr.revalidate_by_tags("by-hand")
    a.delete()
    assert list(Category.objects.values_list("name", flat=True)) == ["new", "w"]
    assert worker.tags >= {*tags(b), "by-hand"}
    assert "run migrate" in caplog.text and "sent without it" in caplog.text


def test_a_failure_that_ends_the_transaction_is_not_hidden(broken_outbox, monkeypatch):
    """The savepoint is gone with the transaction, as after a deadlock on MySQL: a commit that went
    through would keep nothing, and nobody would know."""

    def rollback(self, sid):
        raise OperationalError("SAVEPOINT does not exist")

    with transaction.atomic():
        make("x")
    monkeypatch.setattr(type(connections["default"]), "_savepoint_rollback", rollback)
    with pytest.raises(DatabaseError):
        make("a")
    monkeypatch.undo()
    assert not Category.objects.filter(name="a").exists()


def test_receivers_of_a_save_find_the_row_committed(edge):
    """A task that one of them queues may run at once; `durable` blocks bear no transaction."""
    seen = []

    def receiver(sender, instance, **kwargs):
        with transaction.atomic(durable=True):
            seen.append(connections["default"].in_atomic_block)

    for signal in (pre_save, post_save):
        signal.connect(receiver, sender=Category)
    try:
        make("a")
    finally:
        for signal in (pre_save, post_save):
            signal.disconnect(receiver, sender=Category)
    assert seen == [True, True]


def test_an_exception_of_a_receiver_takes_no_row_along():
    def receiver(sender, instance, **kwargs):
        raise Fault

    post_save.connect(receiver, sender=Category)
    try:
        with pytest.raises(Fault):
            make("a")
    finally:
        post_save.disconnect(receiver, sender=Category)
    assert Category.objects.filter(name="a").exists()
    assert OutboxMessage.objects.count() == 1


def fails():
    raise Fault


def test_other_callbacks_run_when_ours_fails(edge, monkeypatch, caplog):
    called = []

    monkeypatch.setattr(batching, "committed", lambda *args: 1 / 0)
    with transaction.atomic():
        make("a")
        transaction.on_commit(lambda: called.append(1))
    assert called == [1]
    assert "ZeroDivisionError" in caplog.text


def test_ours_is_called_when_another_one_fails(sent):
    with pytest.raises(Fault), transaction.atomic():
        transaction.on_commit(fails)
        a = make("a")
    assert sent() == tags(a)


def test_without_a_transaction_of_its_own(sent):
    transaction.set_autocommit(False)
    try:
        a = make("a")
        transaction.rollback()
        b = make("b")
        edge_isr.revalidate_by_tags("x")
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert sent() == {*tags(b), "x"} and a.pk != b.pk


def test_a_thousand_saves_are_one_message():
    with transaction.atomic():
        for n in range(1000):
            Category.objects.create(name=str(n), slug=str(n))
    (row,) = OutboxMessage.objects.all()
    # The model, that rows came, and for each its key and its slug, where texts are named.
    assert len(row.payload["tags"]) == (1002 if IS_MARIADB else 2002)


def test_without_the_table_it_is_sent_directly(worker, edge, caplog, monkeypatch):
    edge(REQUEST_WAIT=2)
    from edge_isr.delivery import outbox

    monkeypatch.setattr(outbox, "has_table", lambda using: False)
    a = make("a")
    assert worker.tags == tags(a)
    assert "has no outbox yet" in caplog.text


def test_rows_are_locked_where_the_database_can():
    can = IS_POSTGRES or IS_MARIADB
    assert connection.features.has_select_for_update_skip_locked == can
