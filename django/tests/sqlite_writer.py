"""A process of a site on SQLite that writes: `sqlite_writer.py WAY THREADS TIMES NAME`. It prints
each exception of a write, and at last how many of its writes are in the database."""

import sys
import threading
import traceback

import django

django.setup()

from django.db import Error, connection, transaction  # noqa: E402
from shop.models import Category  # noqa: E402


def many(name, times):
    """What fails for no site whose writers wait for each other: each write is its own, or first."""
    for n in range(times):
        slug = f"{name}-{n}"
        row = Category.objects.create(name="new", slug=slug)
        Category.objects.filter(slug=slug).update(name="updated")
        row.name = "saved"
        row.save()
        with transaction.atomic():
            Category.objects.filter(slug=slug).update(name="first")
            row.refresh_from_db()
            row.save()
        with transaction.atomic():
            Category.objects.bulk_create([Category(name="bulk", slug=f"{slug}-bulk")])
        with transaction.atomic():
            Category.objects.create(name="gone", slug=f"{slug}-gone").delete()


def alone(name, times):
    """What fails for no site with one writer: transactions that read and then write."""
    for n in range(times):
        slug = f"{name}-{n}"
        with transaction.atomic():
            Category.objects.filter(slug=slug).count()
            Category.objects.create(name="new", slug=slug)
        Category.objects.update_or_create(slug=slug, defaults={"name": "x"})
        with transaction.atomic():
            for other in list(Category.objects.filter(slug=slug)):
                other.name = "saved"
                other.save()
        Category.objects.get_or_create(slug=f"{slug}-bulk", defaults={"name": "x"})


def run(way, name, times):
    try:
        way(name, times)
    except Error:
        traceback.print_exc(file=sys.stdout)
    finally:
        connection.close()


def main(way, threads, times, name):
    running = [
        threading.Thread(target=run, args=(globals()[way], f"{name}-{n}", int(times)))
        for n in range(int(threads))
    ]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    print("wrote", Category.objects.filter(slug__startswith=f"{name}-").count())


main(*sys.argv[1:])
