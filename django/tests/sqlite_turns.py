"""A process of a site on SQLite whose queue of writers is taken: which transactions wait in it."""

import logging
from itertools import count

import django

django.setup()

from django.db import connection, transaction  # noqa: E402
from shop.models import Category  # noqa: E402

from edge_isr import sqlite  # noqa: E402

numbers = count()


class Waits(logging.Handler):
    """Counts who gave up waiting."""

    count = 0

    def emit(self, record):
        self.count += sqlite.WRITERS in record.getMessage()


def begins_with_a_write():
    with transaction.atomic():
        Category.objects.update(name="a")
        Category.objects.update(name="b")


def begins_with_a_save_in_a_savepoint():
    with transaction.atomic(), transaction.atomic():
        Category(name="c", slug=f"c-{next(numbers)}").save()


def has_read():
    with transaction.atomic():
        Category.objects.count()
        Category.objects.update(name="d")


def has_read_by_a_cursor():
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM shop_category")
        Category.objects.update(name="e")


def only_reads():
    with transaction.atomic():
        Category.objects.count()


waits = Waits()
logging.getLogger("edge_isr").addHandler(waits)
logging.getLogger("edge_isr").setLevel(logging.DEBUG)
connection.ensure_connection()
queue = sqlite._Lock(str(connection.settings_dict["NAME"]) + sqlite.WRITERS)
sqlite.QUEUE_WAIT_SECONDS = 0.01
for way in [begins_with_a_write, begins_with_a_save_in_a_savepoint, has_read, has_read_by_a_cursor,
            only_reads]:  # fmt: skip
    assert queue.take(exclusive=True, wait=10)
    before = waits.count
    way()
    queue.release()
    # Whoever had a turn has given it back; the thread that delivers takes one now and then.
    assert queue.take(exclusive=True, wait=10)
    queue.release()
    way()
    assert queue.take(exclusive=True, wait=10)
    queue.release()
    print(way.__name__, waits.count - before)
