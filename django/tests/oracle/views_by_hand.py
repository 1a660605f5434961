"""Views by what stands around querysets: generic relations, forms, templates, packages."""

import copy
import json
import pickle

import django
from django.contrib.contenttypes.models import ContentType
from django.core import serializers
from django.core.cache import cache
from django.core.paginator import Paginator
from django.db.models import (
    Count,
)
from django.forms import ModelChoiceField, modelform_factory
from django.shortcuts import get_list_or_404, get_object_or_404
from django.template import engines

from .registry import view
from .store.models import (
    Author,
    Category,
    Folder,
    Genre,
    Label,
    Note,
    Placement,
    Product,
    Shelf,
    Topic,
)

REVIEWS = "SELECT COUNT(*) FROM store_review WHERE product_id = store_product.id"


def add_generic():
    view("generic foreign key", lambda: [n.target for n in Note.objects.order_by("pk")])
    view(
        "generic, prefetched",
        lambda: [n.target for n in Note.objects.order_by("pk").prefetch_related("target")],
    )
    view(
        "generic relation",
        lambda: [list(p.notes.order_by("pk")) for p in Product.objects.order_by("pk")],
    )
    view(
        "generic relation, filter",
        lambda: list(Product.objects.filter(notes__text__gt="note 0").order_by("pk")),
    )
    view(
        "generic relation, back",
        lambda: list(Note.objects.filter(products__name="Fez").order_by("pk")),
    )
    view(
        "generic, counted",
        lambda: list(Product.objects.annotate(n=Count("notes")).order_by("pk").values("pk", "n")),
    )
    view(
        "content type",
        lambda: list(
            Note.objects.filter(content_type=ContentType.objects.get_for_model(Product)).order_by(
                "pk"
            )
        ),
    )
    if django.VERSION >= (5, 0):
        from django.contrib.contenttypes.prefetch import GenericPrefetch

        view(
            "GenericPrefetch",
            lambda: [
                n.target
                for n in Note.objects.order_by("pk").prefetch_related(
                    GenericPrefetch(
                        "target", [Product.objects.select_related("category"), Author.objects.all()]
                    )
                )
            ],
        )
    if django.VERSION >= (6, 1):
        from django.db import models

        view(
            "FETCH_PEERS",
            lambda: [
                p.author for p in Product.objects.fetch_mode(models.FETCH_PEERS).order_by("pk")
            ],
        )
        view(
            "FETCH_PEERS, deferred",
            lambda: [
                p.name
                for p in Product.objects.fetch_mode(models.FETCH_PEERS).only("pk").order_by("pk")
            ],
        )
    if django.VERSION >= (5, 2):
        from .store.models import Stock

        view("composite key", lambda: Stock.objects.get(pk=(1, "a")))
        view("composite keys", lambda: list(Stock.objects.filter(pk__in=[(1, "a"), (2, "x")])))
        view("composite, by a part", lambda: list(Stock.objects.filter(shelf__name="top")))
        view(
            "composite, backwards",
            lambda: [list(s.stock.order_by("code")) for s in Shelf.objects.order_by("pk")],
        )
        view("composite, in_bulk", lambda: Stock.objects.in_bulk([(1, "a")]))


def add_around():
    """What stands between the ORM and a page: shortcuts, forms, serializers, templates."""
    view("get_object_or_404", lambda: get_object_or_404(Product, slug="boot"))
    view("get_list_or_404", lambda: get_list_or_404(Product.objects.order_by("pk"), active=True))
    view(
        "paginator",
        lambda: (lambda page: [list(page), page.paginator.count])(
            Paginator(Product.objects.order_by("pk"), 2).page(2)
        ),
    )
    view(
        "choices of a form",
        lambda: str(ModelChoiceField(Label.objects.order_by("pk")).widget.render("x", None)),
    )
    view(
        "model form",
        lambda: modelform_factory(Product, fields=["category", "labels"])(
            instance=Product.objects.get(pk=1)
        ).as_p(),
    )
    view("serialized", lambda: serializers.serialize("json", Product.objects.order_by("pk")))
    view("copied", lambda: list(copy.deepcopy(Product.objects.order_by("pk"))))
    view("pickled query", lambda: list(_unpickled()))
    view("next by date", lambda: Product.objects.get(pk=1).get_next_by_published())
    view("unique check", lambda: _errors())
    view("deferred field", lambda: [p.name for p in Product.objects.only("pk").order_by("pk")])
    view(
        "template",
        lambda: (
            engines["django"]
            .from_string(
                "{% for c in cs %}{{ c }}:{% for p in c.products.all %}{{ p }}"
                "{{ p.author.country }}{% endfor %}{% endfor %}"
            )
            .render({"cs": Category.objects.order_by("pk")})
        ),
    )
    view(
        "user's groups",
        lambda: [
            g.name
            for g in __import__("django.contrib.auth.models", fromlist=["User"])
            .User.objects.get(pk=1)
            .groups.all()
        ],
    )
    view(
        "permissions",
        lambda: sorted(
            __import__("django.contrib.auth.models", fromlist=["User"])
            .User.objects.get(pk=1)
            .get_all_permissions()
        ),
    )
    view("mptt children", lambda: [list(g.get_children()) for g in Genre.objects.order_by("pk")])
    view(
        "mptt counts",
        lambda: [
            (g.is_leaf_node(), g.get_descendant_count()) for g in Genre.objects.filter(name="rock")
        ],
    )
    view("mptt, one node", lambda: Genre.objects.get(pk=1).get_descendant_count())
    view("mptt ancestors", lambda: list(Genre.objects.get(pk=3).get_ancestors()))
    view(
        "treebeard children",
        lambda: [list(f.get_children()) for f in Folder.objects.order_by("pk")],
    )
    view("treebeard, one node", lambda: Folder.objects.get(path="0001").numchild)
    view("treebeard tree", lambda: [(f.name, f.depth) for f in Folder.get_tree()])
    view("nested sets", lambda: [(t.name, t.lft, t.rgt) for t in Topic.get_tree()])
    view("nested sets, one node", lambda: Topic.objects.get(pk=1).get_descendant_count())
    view(
        "placements by shelf",
        lambda: [
            (p.position, p.product.name) for p in Placement.objects.filter(shelf=1).order_by("pk")
        ],
    )


def _errors():
    from django.core.exceptions import ValidationError

    try:
        Label(name="x").full_clean()
        Product(name="x", slug="boot").validate_unique()
    except ValidationError as error:
        return sorted(error.message_dict)
    return []


def _unpickled():
    queryset = Product.objects.order_by("pk")
    queryset.query = pickle.loads(pickle.dumps(Product.objects.filter(active=True).query))
    return queryset.order_by("pk")


def dumped(value):
    """Of a cached result that is not only plain data."""
    return json.dumps(value, default=str)


def forget_caches():
    """Nothing is cached."""
    cache.clear()
    from django.contrib.sites.models import Site

    Site.objects.clear_cache()
    ContentType.objects.clear_cache()
