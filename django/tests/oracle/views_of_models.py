"""Views that follow from the models: every way of loading each, and along each relation."""

import django
from django.apps import apps
from django.db.models import (
    CharField,
    Count,
    DateField,
    DateTimeField,
    Exists,
    F,
    FilteredRelation,
    IntegerField,
    Max,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
)

from .registry import view

# How each method of a queryset is called on every model; `first` is the key of one of its rows.
PLAIN = {
    "all": lambda q, first: list(q.all()),
    "values": lambda q, first: list(q.values().order_by("pk")),
    "values_list": lambda q, first: list(q.values_list().order_by("pk")),
    "count": lambda q, first: q.count(),
    "get": lambda q, first: q.get(pk=first()),
    "first": lambda q, first: q.first(),
}
FULL = {
    "aggregate": lambda q, first: q.aggregate(n=Count("pk"), m=Max("name")),
    "annotate": lambda q, first: list(q.annotate(twice=F("pk")).order_by("pk")),
    "alias": lambda q, first: list(q.alias(n=F("name")).filter(n__gt="B").order_by("pk")),
    "complex_filter": lambda q, first: list(q.complex_filter(Q(name__gt="B")).order_by("pk")),
    "contains": lambda q, first: q.contains(q.model(pk=first())),
    "defer": lambda q, first: list(q.defer("name").order_by("pk")),
    "distinct": lambda q, first: sorted(q.distinct().values_list("name", flat=True)),
    "exclude": lambda q, first: list(q.exclude(name__gt="C").order_by("pk")),
    "exists": lambda q, first: q.filter(name="nobody").exists(),
    "filter by key": lambda q, first: q.filter(pk=first()).first(),
    "filter by a missing key": lambda q, first: q.filter(pk=77).first(),
    "in_bulk": lambda q, first: q.in_bulk([first(), 77]),
    "in_bulk, all": lambda q, first: q.in_bulk(),
    "iterator": lambda q, first: list(q.order_by("pk").iterator(chunk_size=2)),
    "last": lambda q, first: q.last(),
    "none": lambda q, first: list(q.none()),
    "only": lambda q, first: list(q.only("name").order_by("pk")),
    "order_by": lambda q, first: list(q.order_by("-name")),
    "reverse": lambda q, first: list(q.order_by("name").reverse()),
    "slice": lambda q, first: list(q.order_by("pk")[1:3]),
    "index": lambda q, first: q.order_by("pk")[0],
    "using": lambda q, first: list(q.using("default").order_by("pk")),
    "raw": lambda q, first: list(
        q.model.objects.raw(f"SELECT * FROM {q.model._meta.db_table} ORDER BY id")
    ),
    "select_for_update": lambda q, first: _in_transaction(
        lambda: list(q.select_for_update().order_by("pk"))
    ),
    "union": lambda q, first: _by_key(q.filter(name__lt="C").union(q.filter(name__gt="N"))),
    "union, values": lambda q, first: sorted(
        q.order_by().values_list("name").union(q.order_by().values_list("name"), all=True)
    ),
    "intersection": lambda q, first: _by_key(
        q.filter(name__lt="S").intersection(q.filter(name__gt="B"))
    ),
    "difference": lambda q, first: _by_key(q.all().difference(q.filter(name__gt="N"))),
    "refresh_from_db": lambda q, first: _refreshed(q.model(pk=first())),
}
DATES = {
    "latest": lambda q, name: q.latest(name),
    "earliest": lambda q, name: q.earliest(name),
    "dates": lambda q, name: list(q.dates(name, "month")),
    "by year": lambda q, name: list(q.filter(**{f"{name}__year": 2026}).order_by("pk")),
}


async def _listed(asynchronous):
    return [item async for item in asynchronous]


ASYNC = {
    "aget": lambda q, first: q.aget(pk=first()),
    "acount": lambda q, first: q.acount(),
    "aexists": lambda q, first: q.filter(name="nobody").aexists(),
    "afirst": lambda q, first: q.order_by("pk").afirst(),
    "alast": lambda q, first: q.order_by("pk").alast(),
    "ain_bulk": lambda q, first: q.ain_bulk([first(), 77]),
    "aaggregate": lambda q, first: q.aaggregate(n=Count("pk"), m=Max("name")),
    "aiterator": lambda q, first: _listed(q.order_by("pk").aiterator()),
    "acontains": lambda q, first: q.acontains(q.model(pk=first())),
    "__aiter__": lambda q, first: _listed(q.order_by("pk")),
    "alatest": lambda q, first: q.alatest("name"),
    "aearliest": lambda q, first: q.aearliest("name"),
}


def _by_key(rows):
    return sorted(rows, key=lambda row: row.pk)


def _in_transaction(load):
    from django.db import transaction

    with transaction.atomic():
        return load()


def _refreshed(instance):
    instance.refresh_from_db()
    return instance


def store_models():
    """The store's models, parents before children."""
    return list(apps.get_app_config("store").get_models())


def _compared(model):
    """A field, and what to compare it with."""
    texts = [f.name for f in model._meta.concrete_fields if isinstance(f, CharField)]
    for name in ("name", "text", *texts):
        if name in texts:
            return name, "B"
    numbers = [f.name for f in model._meta.concrete_fields if isinstance(f, IntegerField)]
    return numbers[-1], 1


def _add(model, way, load):
    view(f"{model._meta.model_name}.{way}", load)


def _of_model(model):
    objects = model._base_manager

    def first():
        return FIRST[model._meta.label_lower]

    full = model._meta.model_name in ("product", "label")
    for way, load in {**PLAIN, **(FULL if full else {})}.items():
        if way == "raw" and model._meta.parents:
            continue
        _add(model, way, lambda load=load: load(objects.all(), first))
    if full:
        for way, load in ASYNC.items():
            view(
                f"{model._meta.model_name}.{way}",
                lambda load=load: load(objects.all(), first),
                is_async=True,
            )
    for field in model._meta.local_concrete_fields:
        if isinstance(field, DateField):
            for way, load in DATES.items():
                _add(model, f"{way} {field.name}", lambda load=load, name=field.name: load(
                    objects.all(), name))  # fmt: skip
        if isinstance(field, DateTimeField):
            _add(model, f"datetimes {field.name}",
                 lambda name=field.name: list(objects.datetimes(name, "day")))  # fmt: skip
        if field.unique and not field.primary_key and not field.is_relation:
            _add(model, f"get by {field.name}", lambda name=field.name: objects.get(
                **{name: UNIQUE[f"{model._meta.model_name}.{name}"]}))  # fmt: skip


# One row of each model, filled in by the run before the views are asked.
FIRST = {}
UNIQUE = {
    "author.email": "ann@a.example",
    "category.slug": "shoes",
    "product.slug": "fez",
    "folder.path": "0001",
}


def _of_relation(model, name, other):
    """A relation in any direction, from the model; `name` is how queries name it."""
    objects = model._base_manager
    text, least = _compared(other)

    def add(way, load):
        view(f"{model._meta.model_name} and {name}, {way}", load)

    add("filter", lambda: list(
        objects.filter(**{f"{name}__{text}__gt": least}).order_by("pk").distinct()))  # fmt: skip
    add("values", lambda: sorted(map(repr, objects.values_list("pk", f"{name}__{text}"))))
    add("count", lambda: list(objects.annotate(n=Count(name)).order_by("pk").values("pk", "n")))
    add("null", lambda: list(objects.filter(**{f"{name}__isnull": True}).order_by("pk")))
    if model._meta.model_name not in ("product", "author"):
        return
    add("exclude", lambda: list(
        objects.exclude(**{f"{name}__{text}__gt": least}).order_by("pk")))  # fmt: skip
    add("F", lambda: sorted(map(repr, objects.annotate(f=F(f"{name}__{text}")).values("pk", "f"))))
    add("order_by", lambda: list(objects.order_by(f"{name}__{text}", "pk").values_list("pk")))
    add("filtered", lambda: list(
        objects.alias(these=FilteredRelation(name, condition=Q(**{f"{name}__{text}__gt": least})))
        .annotate(n=Count("these")).order_by("pk").values("pk", "n")))  # fmt: skip
    add("aggregate", lambda: objects.aggregate(most=Max(f"{name}__{text}"), n=Count(name)))
    add("in a subquery", lambda: list(objects.filter(
        **{f"{name}__in": other._base_manager.filter(**{f"{text}__gt": least})}
    ).order_by("pk").distinct()))  # fmt: skip


def _forward(model, field):
    objects = model._base_manager

    def add(way, load):
        view(f"{model._meta.model_name}.{field.name}, {way}", load)

    add("attribute", lambda: [getattr(row, field.name) for row in objects.order_by("pk")])
    add("select_related", lambda: list(objects.select_related(field.name).order_by("pk")))
    add("prefetched", lambda: list(objects.prefetch_related(field.name).order_by("pk")))


def _many(model, accessor, other):
    """A reverse or many-to-many relation: what each row's manager gives."""
    objects = model._base_manager

    def add(way, load):
        view(f"{model._meta.model_name}.{accessor}, {way}", load)

    def each(load):
        return lambda: [load(getattr(row, accessor)) for row in objects.order_by("pk")]

    add("all", each(lambda manager: list(manager.order_by("pk"))))
    add("counted", each(lambda manager: manager.count()))
    add("prefetched", lambda: [
        _by_key(getattr(row, accessor).all())
        for row in objects.prefetch_related(accessor).order_by("pk")])  # fmt: skip
    few = other._base_manager.order_by("pk")
    # Generic relations can't be sliced.
    few = few if accessor == "notes" else few[:2]
    add("Prefetch", lambda: [
        row.some for row in objects.prefetch_related(Prefetch(
            accessor, few, to_attr="some")).order_by("pk")])  # fmt: skip


def _reverse(model, relation):
    """What subqueries make of rows that point here."""
    objects = model._base_manager
    other, field = relation.related_model, relation.field
    target = field.target_field.name
    inner = other._base_manager.filter(**{field.name: OuterRef(target)})
    name = f"{model._meta.model_name} by {other._meta.model_name}.{field.name}"
    view(f"{name}, Exists", lambda: list(objects.filter(Exists(inner)).order_by("pk")))
    view(f"{name}, not Exists", lambda: list(objects.filter(~Exists(inner)).order_by("pk")))
    view(f"{name}, Subquery", lambda: list(
        objects.annotate(n=Subquery(inner.order_by("-pk").values("pk")[:1]))
        .order_by("pk").values("pk", "n")))  # fmt: skip


def add_views():
    """All that follow from the models."""
    for model in store_models():
        _of_model(model)
        for field in model._meta.get_fields(include_hidden=False):
            other = field.related_model
            if not field.is_relation or not isinstance(other, type):
                continue
            if field.model is not model and field.concrete and not field.many_to_many:
                continue
            composite = django.VERSION >= (5, 2) and "stock" in (
                model._meta.model_name, other._meta.model_name)  # fmt: skip
            if composite:
                continue
            query = field.name
            hidden = "+" in field.name
            if hidden or getattr(field, "parent_link", False) or model._meta.proxy:
                continue
            _of_relation(model, query, other)
            if field.many_to_one and field.concrete:
                _forward(model, field)
            if (field.one_to_many or field.many_to_many) and model._meta.model_name in (
                "product", "author", "category", "label", "shelf", "shipment"
            ):  # fmt: skip
                accessor = field.get_accessor_name() if field.auto_created else field.name
                _many(model, accessor, other)
            if field.one_to_many and field.auto_created:
                _reverse(model, field)
