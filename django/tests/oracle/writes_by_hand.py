"""Writes that do not follow from a model: cascades, SQL, packages, files, transactions."""

import json
import tempfile
from pathlib import Path

import django
from django.core import serializers
from django.core.management import call_command
from django.db import connection, transaction
from django.db.migrations.state import ProjectState
from django.db.models import Case, F, Value, When
from django.db.models.deletion import Collector
from django.forms import modelform_factory, modelformset_factory

from .registry import write
from .store.models import (
    Author,
    Award,
    Category,
    Cheap,
    Country,
    Folder,
    Genre,
    Label,
    LabelRow,
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
from .writes_of_models import new_product, wait


def sql(text, *arguments):
    """By a cursor."""
    with connection.cursor() as cursor:
        cursor.execute(text, arguments or None)


def add_cascades():
    """What goes along with a row."""

    def add(name, run):
        write("cascade", name, run)

    # InnoDB has no SET DEFAULT: it refuses.
    if connection.vendor != "mysql" or django.VERSION < (6, 1):
        add(
            "country (set null, set default by the database)",
            lambda: Country.objects.get(code="fr").delete(),
        )
    add("author (set null, set, M2M)", lambda: Author.objects.get(pk=2).delete())
    add("author, queryset", lambda: Author.objects.filter(pk=1).delete())
    add("category", lambda: Category.objects.get(pk=1).delete())
    add("category, adelete", lambda: wait(Category.objects.filter(pk=2).adelete))
    add("label", lambda: Label.objects.get(pk=1).delete())
    add("labels, queryset", lambda: Label.objects.filter(name="new").delete())
    add("shelf (set default)", lambda: Shelf.objects.get(pk=2).delete())
    add("product", lambda: Product.objects.get(pk=1).delete())
    add("product of a label", lambda: Product.objects.get(pk=2).delete())
    add("products of no relation", lambda: Product.objects.filter(pk=3).delete())
    add("parent of a child", lambda: Product.objects.get(pk=5).delete())
    add("child", lambda: Premium.objects.get(pk=4).delete())
    add("grandchild", lambda: Luxury.objects.get(pk=5).delete())
    add("keep_parents", lambda: Luxury.objects.get(pk=5).delete(keep_parents=True))
    add("proxy", lambda: Cheap.objects.get(pk=1).delete())
    add("proxies", lambda: Cheap.objects.all().delete())
    add("raw delete", lambda: Placement.objects.filter(pk=1)._raw_delete("default"))
    add("collector", lambda: _collected())
    add("the same table, another model", lambda: LabelRow.objects.filter(pk=2).update(name="z"))
    add("award", lambda: Award.objects.all().delete())
    if django.VERSION >= (6, 1):
        from .store.models import Parcel, Shipment

        add("by the database", lambda: Shipment.objects.get(pk=1).delete())
        add("by the database, two steps", lambda: Author.objects.get(pk=3).delete())
        add("by the database, queryset", lambda: Shipment.objects.filter(pk=2).delete())
        add("by the database, set null", lambda: Shelf.objects.filter(pk=1).delete())
        add("parcels", lambda: Parcel.objects.all().delete())


def _collected():
    collector = Collector(using="default")
    collector.collect(Review.objects.filter(stars__gt=2))
    collector.delete()


def add_sql():
    """By cursors, and by raw querysets."""

    def add(name, run):
        write("cursor", name, run)

    add("update", lambda: sql("UPDATE store_label SET name = %s", "sql"))
    add("update in capitals", lambda: sql(
        "update STORE_LABEL set NAME = 'sql' where ID = 1" if connection.vendor != "mysql"
        else "UPDATE store_label SET NAME = 'sql' WHERE ID = 1"))  # fmt: skip
    add("quoted", lambda: sql(
        f"UPDATE {connection.ops.quote_name('store_shelf')} SET name = 'sql'"))  # fmt: skip
    add("insert", lambda: sql("INSERT INTO store_label (name) VALUES ('sql')"))
    add("insert from select", lambda: sql(
        "INSERT INTO store_label (name) SELECT name FROM store_shelf"))  # fmt: skip
    add("delete", lambda: sql("DELETE FROM store_note"))
    add("update by a subquery", lambda: sql(
        "UPDATE store_product SET price = (SELECT MAX(stars) FROM store_review)"))  # fmt: skip
    add("with a comment", lambda: sql("/* x */ UPDATE store_label -- y\n SET name = 'sql'"))
    add("executemany", lambda: _many())
    add("in a transaction", lambda: _in_transaction())
    if connection.vendor == "postgresql":
        add("CTE that writes", lambda: sql(
            "WITH gone AS (DELETE FROM store_note RETURNING id) SELECT * FROM gone"))  # fmt: skip
        add("update from", lambda: sql(
            "UPDATE store_review r SET text = p.name FROM store_product p "
            "WHERE p.id = r.product_id"))  # fmt: skip
        add("truncate", lambda: sql("TRUNCATE store_manual"))
    if connection.vendor == "sqlite":
        add(
            "raw that returns",
            lambda: list(
                Label.objects.raw("UPDATE store_label SET name = 'sql' RETURNING id, name")
            ),
        )
        add("replace", lambda: sql("REPLACE INTO store_label (id, name) VALUES (1, 'sql')"))


def _many():
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE store_label SET name = %s WHERE id = %s", [("a", 1), ("b", 2)])


def _in_transaction():
    with transaction.atomic():
        sql("UPDATE store_label SET name = 'sql'")


def add_packages():
    """What packages do to their own trees."""

    def add(name, run):
        write("tree", name, run)

    rock = lambda: Genre.objects.get(pk=1)  # noqa: E731
    add("mptt, new child", lambda: Genre.objects.create(name="new", parent=rock()))
    add("mptt, new root", lambda: Genre.objects.create(name="new"))
    add("mptt, move", lambda: Genre.objects.get(pk=2).move_to(rock()))
    add("mptt, moved by saving", lambda: _moved())
    add("mptt, delete", lambda: Genre.objects.get(pk=3).delete())
    add("mptt, delete a tree", lambda: rock().delete())
    add("mptt, rebuild", lambda: _rebuilt())
    for cls in (Folder, Topic):
        name = cls.__name__
        add(f"{name}, root", lambda cls=cls: cls.add_root(name="new"))
        add(f"{name}, child", lambda cls=cls: _first(cls).add_child(name="new"))
        add(f"{name}, move", lambda cls=cls: cls.objects.get(name="side").move(
            _first(cls), pos="sorted-child" if cls is Topic else "first-child"))  # fmt: skip
        add(f"{name}, delete", lambda cls=cls: cls.objects.get(name="one").delete())
        add(f"{name}, delete a tree", lambda cls=cls: _first(cls).delete())


def _first(cls):
    return cls.objects.get(name="root")


def _moved():
    genre = Genre.objects.get(pk=2)
    genre.parent_id = 1
    genre.save()


def _rebuilt():
    Genre.objects.filter(pk=2).update(parent=1)
    Genre.objects.rebuild()


def add_others():
    """Forms, files, historical models, transactions, copies."""

    def add(name, run):
        write("other", name, run)

    add("model form", lambda: _form())
    add("formset", lambda: _formset())
    add("loaddata", lambda: _loaddata())
    add("deserialized, with M2M", lambda: _deserialized())
    add("raw save", lambda: _renamed(Label, 1).save_base(raw=True))
    add("force_update", lambda: _renamed(Label, 1).save(force_update=True))
    add("force_insert", lambda: new_product(Premium, "Forced").save(force_insert=True))
    add("copy by a new key", lambda: _copied())
    add("key changed", lambda: _rekeyed())
    add("child of a parent that is there", lambda: _promoted())
    add("proxy saved", lambda: _renamed(Cheap, 1).save())
    add("foreign key moved", lambda: _set(Product.objects.get(pk=1), category_id=2))
    add("foreign key emptied", lambda: _set(Product.objects.get(pk=1), author=None))
    add("moved by slug", lambda: _set(Offer.objects.get(percent=10), product_id="boot"))
    # Django 4.2 inserts whatever is new and has a default for its key.
    if django.VERSION >= (5, 0):
        add("key in another form", lambda: Offer(
            id=f"{1:032}", product_id="boot", percent=1).save(force_update=True))  # fmt: skip
    add("key as a text", lambda: Label(pk="1", name="Text").save())
    add("one to one", lambda: Manual.objects.create(product_id=1, text="new"))
    add("one to one moved", lambda: _set(Manual.objects.get(pk=1), product_id=3))
    add("note", lambda: Note.objects.create(target=Shelf.objects.get(pk=1), text="new"))
    add("note moved", lambda: _set(Note.objects.get(pk=1), target=Author.objects.get(pk=2)))
    add("case update", lambda: Product.objects.update(
        price=Case(When(category=1, then=Value(5)), default=Value(6))))  # fmt: skip
    # What an instance holds need not be what its row holds.
    add("another value held than saved", lambda: _held(
        Product.objects.get(pk=1), ["name"], name="Other", category_id=2))  # fmt: skip
    add("saved over a newer row", lambda: _newer(
        lambda row: _set(row, name="Later")))  # fmt: skip
    add("saved in part over a newer row", lambda: _newer(
        lambda row: _held(row, ["name"], name="Later")))  # fmt: skip
    add("deleted over a newer row", lambda: _newer(lambda row: row.delete()))
    add("deferred and saved", lambda: _set(
        Product.objects.only("name").get(pk=1), name="Later"))  # fmt: skip
    add("by an expression", lambda: _set(Product.objects.get(pk=1), category_id=F("author_id") + 1))
    add("values swapped", lambda: Product.objects.filter(pk__in=[1, 2]).update(
        category=Case(When(category=1, then=Value(2)), default=Value(1))))  # fmt: skip
    add("value by another column", lambda: Product.objects.filter(
        author__isnull=False).update(category_id=F("author_id")))  # fmt: skip
    add("many columns at once", lambda: Product.objects.filter(pk=2).update(
        slug="made", active=False, category=3, author=None))  # fmt: skip
    add("a value as a text", lambda: _set(Product.objects.get(pk=1), category_id="2", price="5"))
    add("locked and saved", lambda: _locked())
    add("an inner rollback", lambda: _half())
    add("savepoints", lambda: _nested())
    add("historical model, save", lambda: _historical().objects.create(name="old model"))
    add("historical model, update", lambda: _historical().objects.update(name="old model"))
    add("historical model, delete", lambda: _historical().objects.filter(pk=1).delete())
    add("user's groups", lambda: __import__("django.contrib.auth.models", fromlist=["User"])
        .User.objects.get(pk=1).groups.clear())  # fmt: skip
    add("site", lambda: __import__("django.contrib.sites.models", fromlist=["Site"])
        .Site.objects.update(name="B"))  # fmt: skip
    add("site saved", lambda: _renamed(__import__(
        "django.contrib.sites.models", fromlist=["Site"]).Site, 1).save())  # fmt: skip
    if django.VERSION >= (5, 0):
        from .store.models import Invoice

        add("generated field", lambda: _set(Invoice.objects.get(pk=1), net=99))
        add("database default", lambda: Invoice.objects.create(net=1))
    if django.VERSION >= (5, 2):
        from .store.models import Stock

        add("composite, create", lambda: Stock.objects.create(shelf_id=1, code="z", amount=5))
        add("composite, save", lambda: _set(Stock.objects.get(pk=(1, "a")), amount=9))
        add("composite, update", lambda: Stock.objects.filter(pk=(1, "a")).update(amount=9))
        add("composite, delete", lambda: Stock.objects.get(pk=(1, "a")).delete())
        add("composite, bulk", lambda: Stock.objects.bulk_create(
            [Stock(shelf_id=2, code="q", amount=1)]))  # fmt: skip


def _set(row, **values):
    for name, value in values.items():
        setattr(row, name, value)
    row.save()


def _held(row, saved, **values):
    for name, value in values.items():
        setattr(row, name, value)
    row.save(update_fields=saved)


def _newer(write):
    """A row is moved between its reading and its writing."""
    row = Product.objects.get(pk=2)
    Product.objects.filter(pk=2).update(category=3, author=3, slug="moved", active=False)
    write(row)


def _renamed(model, pk):
    row = model.objects.get(pk=pk)
    row.name = "Renamed"
    return row


def _form():
    product = Product.objects.get(pk=1)
    form = modelform_factory(Product, fields=["name", "labels", "category"])(
        {"name": "Formed", "labels": ["2"], "category": "2"}, instance=product
    )
    form.save()


def _formset():
    cls = modelformset_factory(Label, fields=["name"], extra=1, can_delete=True)
    data = {"form-TOTAL_FORMS": "3", "form-INITIAL_FORMS": "2", "form-0-id": "1",
            "form-0-name": "set", "form-1-id": "2", "form-1-name": "old", "form-1-DELETE": "on",
            "form-2-name": "third"}  # fmt: skip
    formset = cls(data, queryset=Label.objects.order_by("pk"))
    assert formset.is_valid(), formset.errors
    formset.save()


def _loaddata():
    rows = [{"model": "store.label", "pk": 1, "fields": {"name": "loaded"}},
            {"model": "store.shelf", "pk": 9, "fields": {"name": "loaded"}}]  # fmt: skip
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rows.json"
        path.write_text(json.dumps(rows))
        call_command("loaddata", str(path), verbosity=0)


def _deserialized():
    text = serializers.serialize("json", Product.objects.filter(pk=1))
    rows = json.loads(text)
    rows[0]["fields"].update(price=777, labels=[2])
    for row in serializers.deserialize("json", json.dumps(rows)):
        row.save()


def _copied():
    product = Product.objects.get(pk=1)
    product.pk = product.id = None
    product._state.adding = True
    product.slug = product.name = "copy"
    product.save()


def _rekeyed():
    country = Country.objects.get(code="it")
    country.code = "vt"
    country.save()


def _promoted():
    premium = Premium(product_ptr_id=1, bonus="late")
    premium.__dict__.update(
        {k: v for k, v in vars(Product.objects.get(pk=1)).items() if not k.startswith("_")}
    )
    premium.save()


def _locked():
    with transaction.atomic():
        label = Label.objects.select_for_update().get(pk=1)
        label.name = "locked"
        label.save()


def _half():
    with transaction.atomic():
        Label.objects.filter(pk=1).update(name="kept")
        try:
            with transaction.atomic():
                Shelf.objects.update(name="dropped")
                raise ValueError
        except ValueError:
            pass


def _nested():
    with transaction.atomic():
        with transaction.atomic():
            Label.objects.filter(pk=1).update(name="inner")
        with transaction.atomic():
            Shelf.objects.filter(pk=1).update(name="inner")


def _historical():
    from django.apps import apps

    return ProjectState.from_apps(apps).apps.get_model("store", "label")
