"""What is in the store before each write, and how it gets back to that."""

import datetime
import re

import django
from django.apps import apps
from django.core.management.color import no_style
from django.db import connection, transaction

from .store.models import (
    Author,
    Award,
    Category,
    Country,
    Essay,
    Folder,
    Friendship,
    Genre,
    Label,
    Luxury,
    Manual,
    Note,
    Offer,
    Placement,
    Premium,
    Product,
    Review,
    Shelf,
    Topic,
)

WORDS = " ".join(f"word{number:03}" for number in range(160))
DAY = datetime.date(2026, 1, 1)


def _product(model, pk, name, category, author, **more):
    return model.objects.create(
        pk=pk, name=name, slug=name.lower(), price=pk * 10, category=category, author=author,
        data={"size": pk, "in": {"box": pk % 2 == 0}}, published=DAY + datetime.timedelta(pk),
        created=datetime.datetime(2026, 1, pk, 12, tzinfo=datetime.timezone.utc), **more,
    )  # fmt: skip


def fill():
    """A few rows of each model."""
    from django.contrib.auth.models import Group, User
    from django.contrib.sites.models import Site

    france = Country.objects.create(code="fr", name="France")
    spain = Country.objects.create(code="es", name="Spain")
    Country.objects.create(code="it", name="Italy")
    authors = [
        Author.objects.create(
            pk=pk, name=name, email=f"{name.lower()}@a.example", country=country,
            born=DAY - datetime.timedelta(pk * 9000),
        )
        for pk, name, country in [(1, "Ann", france), (2, "Bob", spain), (3, "Cyd", None)]
    ]  # fmt: skip
    Friendship.objects.create(pk=1, giver=authors[0], taker=authors[1])
    hats = Category.objects.create(pk=1, name="Hats", slug="hats", position=2)
    shoes = Category.objects.create(pk=2, name="Shoes", slug="shoes", position=1)
    caps = Category.objects.create(pk=3, name="Caps", slug="caps", position=3, parent=hats)
    labels = [Label.objects.create(pk=pk, name=name) for pk, name in [(1, "new"), (2, "old")]]
    shelves = [Shelf.objects.create(pk=pk, name=name) for pk, name in [(1, "top"), (2, "low")]]
    fez = _product(Product, 1, "Fez", hats, authors[0])
    boot = _product(Product, 2, "Boot", shoes, authors[1])
    sock = _product(Product, 3, "Sock", shoes, None, active=False)
    crown = _product(Premium, 4, "Crown", caps, authors[0])
    tiara = _product(Luxury, 5, "Tiara", caps, authors[1])
    fez.labels.add(labels[0])
    boot.labels.add(*labels)
    fez.related.add(boot)
    for pk, (shelf, product) in enumerate([(0, fez), (0, boot), (1, crown)], 1):
        Placement.objects.create(pk=pk, shelf=shelves[shelf], product=product, position=pk)
    Manual.objects.create(pk=1, product=boot, text="lace")
    for pk, product in enumerate([fez, fez, boot, crown], 1):
        Review.objects.create(
            pk=pk, product=product, author=authors[pk % 3], stars=pk, text=f"text {pk}"
        )
    for pk, target in enumerate([fez, boot, authors[0]], 1):
        Note.objects.create(pk=pk, target=target, text=f"note {pk}")
    Offer.objects.create(id=f"{1:032}", product=fez, percent=10)
    Offer.objects.create(id=f"{2:032}", product=sock, percent=20)
    Award.objects.create(pk=1, name="Prix", author=authors[1], shelf=shelves[1], country=spain)
    for pk, text in enumerate([WORDS, f"<p>{WORDS}</p>", "short", ""], 1):
        Essay.objects.create(pk=pk, name=f"Essay {pk}", text=text)
    rock = Genre.objects.create(pk=1, name="rock")
    Genre.objects.create(pk=2, name="jazz")
    Genre.objects.create(pk=3, name="punk", parent=rock)
    for cls in (Folder, Topic):
        root = cls.add_root(name="root")
        root.add_child(name="one")
        cls.objects.get(pk=root.pk).add_child(name="two")
        cls.add_root(name="side")
    group = Group.objects.create(pk=1, name="staff")
    User.objects.create(pk=1, username="ann").groups.add(group)
    Site.objects.update_or_create(pk=1, defaults={"domain": "a.example", "name": "A"})
    _fill_newer(authors, shelves, france)
    assert tiara.pk == 5


def _fill_newer(authors, shelves, france):
    from .store import models

    if django.VERSION >= (5, 0):
        models.Invoice.objects.create(pk=1, net=10, tax=2)
    if django.VERSION >= (5, 2):
        models.Stock.objects.create(shelf=shelves[0], code="a", amount=1)
        models.Stock.objects.create(shelf=shelves[1], code="b", amount=2)
    if django.VERSION >= (6, 1):
        for pk, author in enumerate(authors, 1):
            shipment = models.Shipment.objects.create(pk=pk, name=f"s{pk}", author=author)
            models.Parcel.objects.create(
                pk=pk, name=f"p{pk}", shipment=shipment, shelf=shelves[pk % 2], country=france
            )


class Snapshot:
    """A copy of every table beside it, by SQL that goes round Django and the package."""

    def __init__(self):
        models = [
            model
            for model in apps.get_models(include_auto_created=True)
            if model._meta.app_label != "edge_isr"
        ]
        metas = [m._meta for m in models if m._meta.managed and not m._meta.proxy]
        self.columns = {
            meta.db_table: ", ".join(
                self.quote(field.column)
                for field in meta.local_concrete_fields
                if field.column and not getattr(field, "generated", False)
            )
            for meta in metas
        }
        with connection.constraint_checks_disabled():
            for table, columns in self.columns.items():
                self.run(f"CREATE TABLE {self.copy(table)} AS SELECT {columns} FROM {table}")
        self.models = models

    @staticmethod
    def quote(name):
        return connection.ops.quote_name(name)

    @staticmethod
    def copy(table):
        return f"copy_of_{table}"

    @staticmethod
    def run(*statements):
        connection.ensure_connection()
        cursor = connection.connection.cursor()
        for statement in statements:
            cursor.execute(statement)
        cursor.close()

    def restore(self):
        """All rows are as they were."""
        names = self.columns
        statements = [f"DELETE FROM {table}" for table in names]
        statements += [
            f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {self.copy(table)}"
            for table, columns in names.items()
        ]
        with connection.constraint_checks_disabled(), transaction.atomic():
            if connection.vendor == "postgresql":
                self.run("SET LOCAL session_replication_role = replica")
            self.run(*statements)

    def reset_sequences(self):
        """New rows get new keys."""
        models = [m for m in self.models if m._meta.managed and not m._meta.proxy]
        self.run(*connection.ops.sequence_reset_sql(no_style(), models))

    def drop(self):
        """Nothing of it is left."""
        self.run(*(f"DROP TABLE {self.copy(table)}" for table in self.columns))


def unquoted(name):
    """A name that can stand in a test's id."""
    return re.sub(r"[^\w.=, ()*-]", "", name)
