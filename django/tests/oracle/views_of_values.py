"""Views of rows by their values: every field of every model, alone and beside other conditions."""

import uuid
from itertools import cycle

from django.db.models import (
    BooleanField,
    CharField,
    F,
    IntegerField,
    Q,
    UUIDField,
)

from .registry import view
from .store.models import Author, Category, Label, Luxury, Product
from .views_of_models import store_models

WAYS = {
    "rows": lambda q, where: list(q.filter(**where).order_by("pk")),
    "values": lambda q, where: list(q.filter(**where).order_by("pk").values_list("pk")),
    "counted": lambda q, where: q.filter(**where).count(),
    "exists": lambda q, where: q.filter(**where).exists(),
    "the last": lambda q, where: q.filter(**where).order_by("-pk").first(),
    "none of": lambda q, where: list(q.exclude(**where).order_by("pk")),
    "or": lambda q, where: list(q.filter(Q(**where) | Q(pk=1)).order_by("pk")),
    "and more": lambda q, where: list(q.filter(Q(**where) & ~Q(pk=77)).order_by("pk")),
    "of two kinds": lambda q, where: list(
        q.filter(**where).order_by().union(q.filter(pk=1).order_by()).order_by("pk")
    ),
    "iterator": lambda q, where: list(q.filter(**where).order_by("pk").iterator(10)),
    "only": lambda q, where: list(q.filter(**where).order_by("pk").only("pk")),
    "with itself": lambda q, where: list(
        q.filter(**where, pk__in=q.filter(**where).values("pk")).order_by("pk")
    ),
}


def _compares(field):
    while field.remote_field is not None:
        field = field.target_field
    return isinstance(field, BooleanField | CharField | IntegerField | UUIDField)


def _missing(field):
    while field.remote_field is not None:
        field = field.target_field
    if isinstance(field, BooleanField):
        return False
    if isinstance(field, UUIDField):
        return uuid.UUID(int=9)
    return "made" if isinstance(field, CharField) else 5


def add_values():
    """Of each field: one value that is there, one that is not yet, several, and none."""
    first, others = cycle(["rows", "values", "the last"]), cycle(WAYS)
    for model in store_models():
        if model._meta.proxy or not model._meta.managed:
            continue
        objects = model._base_manager
        row = objects.order_by("pk").first()
        for field in model._meta.concrete_fields:
            if field.primary_key or not _compares(field) or getattr(field, "generated", False):
                continue
            held = getattr(row, field.attname)
            wheres = {
                "held": {field.attname: held},
                "missing": {field.attname: _missing(field)},
                "in": {f"{field.attname}__in": [held, _missing(field)]},
                "null": {f"{field.attname}__isnull": True},
            }
            for kind, where in wheres.items():
                if None in where.values() or (kind == "null" and not field.null):
                    continue
                if kind == "in" and held is None:
                    continue
                for way in {next(first): None, next(others): None}:
                    if way == "of two kinds" and model._meta.pk.name == "pk":
                        continue
                    if way in ("or", "of two kinds", "and more") and not isinstance(
                        model._meta.pk, IntegerField
                    ):
                        continue
                    view(
                        f"value: {model._meta.model_name}.{field.name} {kind}, {way}",
                        lambda q=objects, way=way, where=where: WAYS[way](q.all(), where),
                    )


def add_joined():
    """Values of rows that are joined, and relations that are cut short."""
    fez = Product(pk=1)
    view("value: of a joined row", lambda: list(
        Product.objects.filter(category__slug="hats").order_by("pk")))  # fmt: skip
    view("value: of two joined rows", lambda: list(Product.objects.filter(
        category__slug="hats", author__email="ann@a.example").order_by("pk")))  # fmt: skip
    view("value: missing in an outer join", lambda: list(
        Category.objects.filter(products__isnull=True).order_by("pk")))  # fmt: skip
    view("value: null of an outer join", lambda: list(
        Author.objects.filter(product__author__isnull=True).order_by("pk")))  # fmt: skip
    view("value: the same row twice", lambda: list(
        Product.objects.filter(category=1, author=F("category")).order_by("pk")))  # fmt: skip
    view("value: shoes", lambda: list(Product.objects.filter(category=2).order_by("pk")))
    view("value: first label", lambda: fez.labels.order_by("name").first())
    view("value: labels by name", lambda: list(fez.labels.filter(name="new").order_by("pk")))
    view("value: labels without one", lambda: list(fez.labels.exclude(name="x").order_by("pk")))
    view("value: labels counted", lambda: fez.labels.count())
    view("value: names of labels", lambda: sorted(fez.labels.values_list("name", flat=True)))
    view("value: products of labels", lambda: [
        list(label.products.filter(active=True).order_by("pk"))
        for label in Label.objects.order_by("pk")])  # fmt: skip
    view("value: friends", lambda: list(Author(pk=1).friends.order_by("pk")))
    view("value: related", lambda: list(fez.related.order_by("pk")))
    view("value: related with categories", lambda: list(
        fez.related.select_related("category").order_by("category__name", "pk")))  # fmt: skip
    view("link: counted", lambda: Product.objects.filter(labels=1, price__gt=5).count())
    view("extends: of a category", lambda: list(
        Luxury.objects.filter(category=1, active=True).order_by("pk")))  # fmt: skip
    view("value: shelves by placement", lambda: list(
        fez.shelves.filter(placements__position=1).order_by("pk")))  # fmt: skip
