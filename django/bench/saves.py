"""What sending costs: 1,000 saves in one transaction, and an update of 60,000 rows, in turns.

    PYTHONPATH=django:django/tests .venv/bin/python django/bench/saves.py [ROUNDS]

Without: Django's own methods are put back. The database is SQLite in memory, so all time is the
process's own. Each round measures both, in random order; a ratio is of two neighbours.
"""

import os
import random
import statistics
import sys
import time

os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.core.signals import setting_changed  # noqa: E402
from django.db import transaction  # noqa: E402
from django.db.backends.base.base import BaseDatabaseWrapper  # noqa: E402
from django.db.backends.base.operations import BaseDatabaseOperations  # noqa: E402
from django.db.backends.utils import CursorWrapper  # noqa: E402
from django.db.models import Model, QuerySet  # noqa: E402
from django.db.models.deletion import Collector  # noqa: E402
from django.db.models.query import ModelIterable, RawModelIterable, RawQuerySet  # noqa: E402
from django.db.models.sql import compiler  # noqa: E402
from django.db.models.sql.subqueries import DeleteQuery, UpdateQuery  # noqa: E402
from shop.models import Category  # noqa: E402

from edge_isr.delivery import outbox  # noqa: E402
from edge_isr.models import OutboxMessage  # noqa: E402

SAVES = 1000
ROWS = 60_000
OWNERS = [
    BaseDatabaseWrapper, BaseDatabaseOperations, CursorWrapper, Model, QuerySet, Collector,
    ModelIterable, RawModelIterable, RawQuerySet, DeleteQuery, UpdateQuery,
    *(c for c in vars(compiler).values() if isinstance(c, type) and c.__name__.startswith("SQL")),
]  # fmt: skip
HOOKS = [
    (owner, name, value)
    for owner in OWNERS
    for name, value in vars(owner).items()
    if hasattr(value, "edge_isr_original")
]


def put(with_hooks):
    for owner, name, hook in HOOKS:
        setattr(owner, name, hook if with_hooks else hook.edge_isr_original)


def saves():
    with transaction.atomic():
        for row in list(Category.objects.all()[:SAVES]):
            # One that makes no difference sends nothing.
            row.name = f"{time.perf_counter_ns()}"
            row.save()


def update():
    with transaction.atomic():
        Category.objects.update(name="x")


def seconds(write, with_hooks):
    put(with_hooks)
    started = time.process_time()
    write()
    took = time.process_time() - started
    put(True)
    names = [len(row.payload["tags"]) for row in OutboxMessage.objects.all()]
    OutboxMessage.objects.all().delete()
    assert bool(names) is with_hooks
    return took, names


def measure(write, rounds, named):
    ratios, times = [], {True: [], False: []}
    for _ in range(rounds):
        pair = [True, False]
        random.shuffle(pair)
        sample = {with_hooks: seconds(write, with_hooks) for with_hooks in pair}
        assert sample[True][1] == named, sample[True][1]
        for with_hooks, (took, _) in sample.items():
            times[with_hooks].append(took)
        ratios.append(sample[True][0] / sample[False][0])
    low, middle, high = statistics.quantiles(ratios, n=4)
    milliseconds = {key: statistics.median(took) * 1000 for key, took in times.items()}
    best = min(times[True]) / min(times[False])
    print(
        f"{write.__name__}: {rounds} rounds, {milliseconds[False]:.0f} ms without, "
        f"{milliseconds[True]:.0f} ms with, ratio {middle:.3f} (quartiles {low:.3f} to "
        f"{high:.3f}), of the best of each {best:.3f}"
    )
    return middle


def main(rounds):
    # The outbox is what is measured; a database in memory has none of its own accord.
    outbox.in_memory = lambda connection: False
    settings.DATABASES["default"]["NAME"] = ":memory:"
    settings.EDGE_ISR = {**settings.EDGE_ISR, "OUTBOX": True}
    setting_changed.send(None, setting="EDGE_ISR", value=None, enter=True)
    call_command("migrate", verbosity=0, run_syncdb=True)
    Category.objects.bulk_create(Category(name="x", slug=str(n)) for n in range(ROWS))
    OutboxMessage.objects.all().delete()
    # The model, the column, and of each row its key and its slug.
    middle = measure(saves, rounds, [2 * SAVES + 2])
    measure(update, max(3, rounds // 5), [2])
    return 0 if middle <= 1.4 else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 30))
