"""Writes that follow from the models and from what their managers can do, and the async twins.

A method that a newer Django has and this file does not know of fails a test.
"""

import datetime

from asgiref.sync import async_to_sync
from django.db.models import F, Manager, QuerySet
from django.db.models.fields.related_descriptors import (
    create_forward_many_to_many_manager,
    create_reverse_many_to_one_manager,
)

from .registry import write
from .store.models import (
    Author,
    Category,
    Country,
    Friendship,
    Label,
    Luxury,
    Note,
    Placement,
    Premium,
    Product,
    Review,
    Shelf,
)

NOON = datetime.datetime(2026, 2, 1, 12, tzinfo=datetime.timezone.utc)


def new_product(cls=Product, name="New", **more):
    """A product that is not in the store yet."""
    values = {
        "name": name, "slug": name.lower(), "price": 15, "category_id": 2, "author_id": 1,
        "published": NOON.date(), "created": NOON, **more,
    }  # fmt: skip
    return cls(**values)


def wait(coroutine_function, *args, **kwargs):
    """Runs an asynchronous method."""

    async def run():
        return await coroutine_function(*args, **kwargs)

    return async_to_sync(run)()


# By name: what makes a row of the model, and what changes one.
NEW = {
    Label: lambda: Label(name="Made"),
    Shelf: lambda: Shelf(name="made"),
    Product: new_product,
    Premium: lambda: new_product(Premium, "Made"),
    Luxury: lambda: new_product(Luxury, "Made"),
    Review: lambda: Review(product_id=1, author_id=1, stars=5, text="made"),
    Category: lambda: Category(name="Made", slug="made", position=0),
    Country: lambda: Country(code="mt", name="Malta"),
}
FIELD = {Review: "text", Luxury: "seal"}
# Names are unique within a category; not every row may go.
IN_BULK = {**FIELD, Product: "data", Premium: "bonus"}
KEPT = {Country, Shelf}


def _changed(model):
    row = model._base_manager.order_by("pk").first()
    setattr(row, FIELD.get(model, "name"), "Changed")
    return row


def _saves(model):
    name = model.__name__
    field = FIELD.get(model, "name")

    def add(way, run):
        write("save", f"{name}, {way}", run)

    add("create", lambda: NEW[model]().save())
    add("save", lambda: _changed(model).save())
    add("update_fields", lambda: _changed(model).save(update_fields=[field]))
    add("asave", lambda: wait(_changed(model).asave))
    add("without reading it", lambda: _blind(model))
    write("delete", f"{name}, instance", lambda: _last(model).delete())
    write("delete", f"{name}, adelete", lambda: wait(_last(model).adelete))
    write("delete", f"{name}, queryset", lambda: model.objects.filter(pk=_last(model).pk).delete())
    if model not in KEPT:
        write("delete", f"{name}, all", lambda: model.objects.all().delete())
    every = IN_BULK.get(model, "name")
    write("update", f"{name}", lambda: model.objects.update(**{every: "Changed"}))
    write("update", f"{name}, some", lambda: model.objects.filter(
        pk=_last(model).pk).update(**{field: "Changed"}))  # fmt: skip


def _blind(model):
    row = NEW[model]()
    if model is Product:
        # Offers point at it.
        row.slug = "fez"
    row.pk = model._base_manager.order_by("pk").first().pk
    for parent in model._meta.parents.values():
        if parent is not None:
            setattr(row, parent.attname, row.pk)
    row.id = row.pk
    if model in (Premium, Luxury):
        row.product_ptr_id = row.pk
    row.save()


def _last(model):
    return model._base_manager.order_by("pk").last()


def _managers():
    """What a manager writes by, apart from what `_saves` does."""
    product = lambda **more: new_product(**more)  # noqa: E731
    values = {"price": 99}

    def both(kind, name, run):
        write(kind, name, lambda: run("", lambda method, *a, **k: method(*a, **k)))
        write(kind, f"a{name}", lambda: run("a", wait))

    both("save", "create", lambda a, call: call(
        getattr(Label.objects, a + "create"), name="Made"))  # fmt: skip
    both("save", "get_or_create, new", lambda a, call: call(
        getattr(Label.objects, a + "get_or_create"), name="Made"))  # fmt: skip
    both("save", "update_or_create, new", lambda a, call: call(
        getattr(Label.objects, a + "update_or_create"), name="Made"))  # fmt: skip
    both("save", "update_or_create, old", lambda a, call: call(
        getattr(Product.objects, a + "update_or_create"), defaults=values, slug="fez"))  # fmt: skip
    both("update", "update, F", lambda a, call: call(
        getattr(Product.objects, a + "update"), price=F("price") + 1))  # fmt: skip
    both("delete", "delete, filtered", lambda a, call: call(
        getattr(Product.objects.filter(price__lt=25), a + "delete")))  # fmt: skip
    both("bulk", "bulk_create", lambda a, call: call(
        getattr(Product.objects, a + "bulk_create"),
        [product(), product(name="Newer")]))  # fmt: skip
    both("bulk", "bulk_create, ignore", lambda a, call: call(
        getattr(Product.objects, a + "bulk_create"), [product(), product(name="Fez")],
        ignore_conflicts=True))  # fmt: skip
    both("bulk", "bulk_update", lambda a, call: call(
        getattr(Product.objects, a + "bulk_update"), _repriced(), ["price"]))  # fmt: skip
    write("bulk", "bulk_create, batches", lambda: Product.objects.bulk_create(
        [product(name=f"New {n}") for n in range(5)], batch_size=2))  # fmt: skip
    write("bulk", "bulk_create, positional", lambda: Product.objects.bulk_create(
        [product()], 10, True))  # fmt: skip
    write("bulk", "bulk_create, keys given", lambda: Label.objects.bulk_create(
        [Label(pk=77, name="given")]))  # fmt: skip
    write("bulk", "bulk_create, update conflicts", lambda: _upsert(product(name="Fez")))
    write("update", "update, key", lambda: Country.objects.filter(pk="it").update(
        code="vt"))  # fmt: skip
    write("update", "update, over a relation", lambda: Product.objects.filter(
        category__name="Hats").update(price=1))  # fmt: skip
    write("update", "update, foreign key", lambda: Review.objects.update(product=2))
    write("update", "update, parent's field by child", lambda: Premium.objects.update(price=1))
    write("update", "update, both tables", lambda: Premium.objects.update(price=1, bonus="x"))
    write("update", "update, grandchild", lambda: Luxury.objects.update(price=1, bonus="x"))
    write("update", "update, JSON", lambda: Product.objects.update(data={"in": {"box": True}}))


def _repriced():
    rows = list(Product.objects.order_by("pk")[:2])
    for row in rows:
        row.price += 1
    return rows


def _upsert(row):
    from django.db import connection

    unique = ["slug"] if connection.features.supports_update_conflicts_with_target else None
    row.price = 999
    # The names of other rows of the category are unique as well: it is the same row.
    row.category_id = 1
    Product.objects.bulk_create(
        [row], update_conflicts=True, update_fields=["price"], unique_fields=unique
    )


# A related manager's method → what it is called with.
def _relation(kind, owner, name, made, others, through=None):
    """Every method of a related manager, and its async twin."""

    def manager():
        return getattr(owner(), name)

    new = {"through_defaults": through} if through else {}
    calls = {
        "add": lambda m, call, a: call(getattr(m, a + "add"), *others(), **new),
        "create": lambda m, call, a: call(getattr(m, a + "create"), **made, **new),
        "get_or_create": lambda m, call, a: call(getattr(m, a + "get_or_create"), **made, **new),
        "update_or_create": lambda m, call, a: call(
            getattr(m, a + "update_or_create"), **made, **new),
        "set": lambda m, call, a: call(getattr(m, a + "set"), others(), **new),
        "clear": lambda m, call, a: call(getattr(m, a + "clear")),
        "remove": lambda m, call, a: call(getattr(m, a + "remove"), *m.order_by("pk")[:1]),
    }  # fmt: skip
    probe = vars_of(kind)
    for method, run in calls.items():
        if method not in probe:
            continue
        write(kind, f"{name} {method}", lambda run=run: run(
            manager(), lambda f, *a, **k: f(*a, **k), ""))  # fmt: skip
        write(kind, f"{name} a{method}", lambda run=run: run(manager(), wait, "a"))
    write(kind, f"{name} update", lambda: manager().update(**_a_change(made)))
    write(kind, f"{name} delete", lambda: manager().all().delete())


def _a_change(made):
    return {name: "Moved" for name in made if name in ("name", "text")}


KNOWN = {
    "many-to-many": {"add", "create", "get_or_create", "update_or_create", "set", "clear",
                     "remove"},
    "through": {"add", "create", "get_or_create", "update_or_create", "set", "clear", "remove"},
    "foreign key": {"add", "create", "get_or_create", "update_or_create", "set"},
    "nullable foreign key": {"add", "create", "get_or_create", "update_or_create", "set", "clear",
                             "remove"},
    "generic": {"add", "create", "get_or_create", "update_or_create", "set", "clear", "remove"},
}  # fmt: skip


def vars_of(kind):
    """The methods of a kind of related manager."""
    return KNOWN[kind]


def unknown_methods():
    """What related managers have that nothing here calls."""
    base = Manager.from_queryset(QuerySet)
    many = create_forward_many_to_many_manager(base, Product.labels.rel, reverse=False)
    one = create_reverse_many_to_one_manager(base, Review.product.field.remote_field)
    nullable = create_reverse_many_to_one_manager(base, Review.author.field.remote_field)
    known = set().union(*KNOWN.values())
    known |= {f"a{name}" for name in known}
    passive = {
        "get_queryset", "get_prefetch_queryset", "get_prefetch_querysets", "get_prefetch_cache"
    }  # fmt: skip
    found = set()
    for manager in (many, one, nullable):
        found |= {n for n in dir(manager) if not n.startswith("_")} - set(dir(base)) - passive
    return found - known - MARKS


# What Django's templates and its asynchronous twins are marked by, and what adds no rows.
MARKS = {"do_not_call_in_templates", "alters_data", "set_base", "constrained_target"}


def add_writes():
    """All that follow from the models."""
    for model in NEW:
        _saves(model)
    _managers()
    fez = lambda: Product.objects.get(pk=1)  # noqa: E731
    _relation("many-to-many", fez, "labels", {"name": "Made"}, lambda: [Label.objects.get(pk=2)])
    _relation("many-to-many", lambda: Label.objects.get(pk=2), "products",
              {"name": "Made", "slug": "made", "category_id": 2, "published": NOON.date(),
               "created": NOON}, lambda: [fez()])  # fmt: skip
    _relation("many-to-many", fez, "related",
              {"name": "Mate", "slug": "mate", "category_id": 2, "published": NOON.date(),
               "created": NOON}, lambda: [Product.objects.get(pk=3)])  # fmt: skip
    _relation("through", fez, "shelves", {"name": "Made"},
              lambda: [Shelf.objects.get(pk=2)], {"position": 7})  # fmt: skip
    _relation("foreign key", fez, "reviews", {"text": "made", "stars": 1},
              lambda: [Review(product_id=1, text="x")] if False
              else list(Review.objects.filter(pk=3)))  # fmt: skip
    _relation(
        "nullable foreign key",
        lambda: Author.objects.get(pk=1),
        "review_set",
        {"text": "made", "product_id": 1},
        lambda: list(Review.objects.filter(pk=1)),
    )
    _relation("generic", fez, "notes", {"text": "made"}, lambda: list(Note.objects.filter(pk=2)))
    write("foreign key", "reviews add, not in bulk", lambda: fez().reviews.add(
        Review(text="new"), bulk=False))  # fmt: skip
    write("foreign key", "review_set set, not in bulk", lambda: Author.objects.get(
        pk=1).review_set.set(list(Review.objects.filter(pk=4)), bulk=False))  # fmt: skip
    write("many-to-many", "labels set, from nothing", lambda: Product.objects.get(
        pk=4).labels.set([1, 2]))  # fmt: skip
    write("many-to-many", "labels set, clear", lambda: Product.objects.get(pk=2).labels.set(
        [1], clear=True))  # fmt: skip
    _through_rows()


def _through_rows():
    labels = Product.labels.through
    write("through", "own row", lambda: Placement.objects.create(shelf_id=2, product_id=3))
    write("through", "own row moved", lambda: Placement.objects.filter(pk=1).update(shelf=2))
    write("through", "own row saved", lambda: _save(Placement.objects.get(pk=1), position=9))
    write("through", "own rows deleted", lambda: Placement.objects.all().delete())
    write("through", "own rows in bulk", lambda: Placement.objects.bulk_create(
        [Placement(shelf_id=2, product_id=pk) for pk in (3, 4)]))  # fmt: skip
    write("through", "made row", lambda: labels.objects.create(label_id=2, product_id=3))
    write("through", "made rows deleted", lambda: labels.objects.filter(product=2).delete())
    write("through", "made rows updated", lambda: labels.objects.filter(product=1).update(label=2))
    write("through", "made rows in bulk", lambda: labels.objects.bulk_create(
        [labels(label_id=2, product_id=pk) for pk in (3, 4)]))  # fmt: skip
    write("through", "friends", lambda: Friendship.objects.create(giver_id=3, taker_id=1))
    write("through", "friends of one", lambda: Author.objects.get(pk=1).friends.clear())


def _save(row, **values):
    for name, value in values.items():
        setattr(row, name, value)
    row.save()
