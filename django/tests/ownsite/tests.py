"""Tests as a site has them. They print how many queries each write made."""

import threading
import urllib.request

from django.db import connection, transaction
from django.test import LiveServerTestCase, TestCase, TransactionTestCase
from django.test.utils import CaptureQueriesContext
from shop.models import Banner, Category, Label, Product, Review


def fixture():
    category = Category.objects.create(pk=1001, name="Hats", slug="hats")
    product = Product.objects.create(pk=1011, name="Fez", slug="fez", category=category)
    product.labels.add(Label.objects.create(pk=1041, name="new"))
    Review.objects.create(product=product)
    Banner.objects.create(category=category)
    return category, product


WRITES = {
    "create": lambda c, p: Category.objects.create(name="x", slug="x"),
    "save": lambda c, p: c.save(),
    "update": lambda c, p: Product.objects.update(price=1),
    "bulk_create": lambda c, p: Label.objects.bulk_create([Label(name="x")]),
    "bulk_update": lambda c, p: Product.objects.bulk_update([p], ["price"]),
    "update_or_create": lambda c, p: Label.objects.update_or_create(name="x"),
    "get_or_create": lambda c, p: Label.objects.get_or_create(name="x"),
    "add": lambda c, p: p.labels.add(Label.objects.create(name="y")),
    "set": lambda c, p: p.labels.set([]),
    "remove": lambda c, p: p.labels.remove(1041),
    "clear": lambda c, p: p.labels.clear(),
    "delete": lambda c, p: p.delete(),
    "delete with cascade": lambda c, p: c.delete(),
    "delete by queryset": lambda c, p: Review.objects.all().delete(),
    "raw delete": lambda c, p: Review.objects.all()._raw_delete("default"),
    "atomic": lambda c, p: atomic(c),
}


def atomic(category):
    with transaction.atomic():
        category.save()


class Counted:
    def test_queries(self):
        for name, write in WRITES.items():
            with self.subTest(name):
                Category.objects.all().delete()
                Label.objects.all().delete()
                rows = fixture()
                with CaptureQueriesContext(connection) as queries:
                    write(*rows)
                print(f"{type(self).__name__} {name}: {len(queries)}")


class InATransaction(Counted, TestCase):
    def test_callbacks(self):
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            fixture()
            with transaction.atomic():
                Category.objects.update(name="x")
        print("callbacks", len(callbacks))


class Committed(Counted, TransactionTestCase):
    def test_many(self):
        for n in range(30):
            Category.objects.create(name=f"name{n}", slug=str(n))
            self.assertIn(f"name{n}".encode(), self.client.get("/list/").content)
        print("threads", sorted(t.name for t in threading.enumerate() if "edge" in t.name))


class Live(LiveServerTestCase):
    def test_live(self):
        for n in range(10):
            Category.objects.create(name=f"live{n}", slug=str(n))
            with urllib.request.urlopen(self.live_server_url + "/list/") as answer:
                self.assertIn(f"live{n}", answer.read().decode())
