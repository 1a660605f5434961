"""Views that need more than one method of a queryset: expressions, relations, SQL."""

from django.db import connection
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    Max,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
    prefetch_related_objects,
)
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Concat, Lower, Rank, TruncMonth

from .registry import view
from .store.models import (
    Award,
    Category,
    Cheap,
    Country,
    Label,
    LabelRow,
    Luxury,
    Offer,
    Premium,
    Product,
    Review,
    Shelf,
)

REVIEWS = "SELECT COUNT(*) FROM store_review WHERE product_id = store_product.id"


def add_expressions():
    products = Product.objects.order_by("pk")
    of = Review.objects.filter(product=OuterRef("pk"))
    view(
        "Case and When",
        lambda: list(
            products.annotate(k=Case(When(reviews__stars__gt=2, then=Value(1)), default=Value(0)))
            .values_list("pk", "k")
            .distinct()
            .order_by("pk", "k")
        ),
    )
    view(
        "conditional aggregate",
        lambda: Product.objects.aggregate(n=Count("pk", filter=Q(category__name="Hats"))),
    )
    view(
        "group by",
        lambda: list(
            Product.objects.order_by()
            .values("category__name")
            .annotate(s=Sum("price"))
            .order_by("category__name")
        ),
    )
    view(
        "two steps of counting",
        lambda: Category.objects.annotate(n=Count("products")).aggregate(a=Avg("n")),
    )
    view(
        "having",
        lambda: list(Category.objects.annotate(n=Count("products")).filter(n__gt=1).order_by("pk")),
    )
    view(
        "window",
        lambda: list(
            Product.objects.annotate(
                r=Window(Rank(), partition_by=F("category__name"), order_by=F("price").desc())
            )
            .order_by("pk")
            .values_list("pk", "r")
        ),
    )
    view(
        "function over a relation",
        lambda: list(
            products.annotate(
                t=Concat(Lower("author__name"), Value("-"), "category__name")
            ).values_list("t")
        ),
    )
    view(
        "Coalesce of a subquery",
        lambda: list(
            products.annotate(
                s=Coalesce(
                    Subquery(
                        of.order_by().values("product").annotate(s=Sum("stars")).values("s"),
                        output_field=IntegerField(),
                    ),
                    0,
                )
            ).values_list("s")
        ),
    )
    view(
        "nested OuterRef",
        lambda: list(
            Category.objects.filter(
                Exists(
                    Product.objects.filter(
                        Exists(of.filter(author__name="Bob")), category=OuterRef("pk")
                    )
                )
            ).order_by("pk")
        ),
    )
    view(
        "Exists in order_by",
        lambda: list(Product.objects.order_by(Exists(of).desc(), "pk").values_list("pk")),
    )
    view(
        "Q of a subquery",
        lambda: list(products.filter(Q(pk__in=Premium.objects.values("pk")) | Q(price__lt=15))),
    )
    view(
        "subquery in select",
        lambda: list(products.values("pk", top=Subquery(of.order_by("-stars").values("text")[:1]))),
    )
    view(
        "ordering by an aggregate",
        lambda: list(
            Product.objects.annotate(m=Max("reviews__stars"))
            .order_by(F("m").desc(nulls_last=True), "pk")
            .values_list("pk")
        ),
    )
    view(
        "months",
        lambda: list(
            Product.objects.order_by()
            .annotate(m=TruncMonth("published"))
            .values("m")
            .annotate(n=Count("pk"))
            .order_by("m")
        ),
    )
    view("JSON path", lambda: list(products.filter(data__in__box=True)))
    view("JSON text", lambda: list(products.annotate(s=KT("data__size")).values_list("s")))
    view(
        "multi-valued, twice",
        lambda: list(
            Product.objects.filter(reviews__stars__gt=1)
            .filter(labels__name="new")
            .distinct()
            .order_by("pk")
        ),
    )
    view(
        "far relation",
        lambda: list(
            Country.objects.filter(author__product__labels__name="new").distinct().order_by("pk")
        ),
    )
    view(
        "far values",
        lambda: sorted(
            map(
                repr,
                Review.objects.values_list(
                    "product__category__parent__name", "author__country__name"
                ),
            )
        ),
    )
    view(
        "far select_related",
        lambda: list(
            Review.objects.select_related("product__category__parent", "author__country").order_by(
                "pk"
            )
        ),
    )
    view(
        "select_related of everything", lambda: list(Review.objects.select_related().order_by("pk"))
    )
    view(
        "reverse one to one", lambda: list(Product.objects.select_related("manual").order_by("pk"))
    )
    view("parent to child", lambda: list(products.select_related("premium__luxury")))
    view("child to parent", lambda: [p.product_ptr for p in Premium.objects.order_by("pk")])
    view(
        "child by the grandparent's field",
        lambda: list(Luxury.objects.filter(name__gt="A").order_by("pk")),
    )
    view("default manager that filters", lambda: list(Product.on_sale.order_by("pk")))
    view("proxy", lambda: list(Cheap.objects.order_by("pk")))
    view("the same table, another model", lambda: list(LabelRow.objects.order_by("pk")))
    view(
        "Prefetch of a filtered list",
        lambda: [
            c.hot
            for c in Category.objects.prefetch_related(
                Prefetch(
                    "products",
                    Product.objects.filter(reviews__stars__gt=1).distinct().order_by("pk"),
                    to_attr="hot",
                )
            ).order_by("pk")
        ],
    )
    view(
        "prefetch, three steps",
        lambda: [
            [[r.author_id for r in p.reviews.all()] for p in c.products.all()]
            for c in Category.objects.prefetch_related("products__reviews__author").order_by("pk")
        ],
    )
    view("prefetch_related_objects", lambda: _prefetched())
    view(
        "union of two models",
        lambda: sorted(
            map(repr, Label.objects.values_list("name").union(Shelf.objects.values_list("name")))
        ),
    )
    view(
        "union that is counted",
        lambda: (
            Product.objects.filter(price__lt=20)
            .union(Product.objects.filter(category__name="Caps"))
            .count()
        ),
    )
    view(
        "to another field than the key",
        lambda: [o.product.name for o in Offer.objects.order_by("pk")],
    )
    view("by another field than the key", lambda: list(products.filter(offers__percent__gt=5)))
    view("award", lambda: list(Award.objects.select_related("author", "shelf", "country")))


def _prefetched():
    rows = list(Product.objects.order_by("pk"))
    prefetch_related_objects(rows, "labels", "category__parent")
    return [(sorted(label.name for label in row.labels.all()), row.category) for row in rows]


def add_sql():
    view(
        "RawSQL",
        lambda: list(
            Product.objects.annotate(n=RawSQL(REVIEWS, [])).order_by("pk").values_list("pk", "n")
        ),
    )
    view(
        "RawSQL, one row",
        lambda: list(Product.objects.filter(slug="fez").annotate(n=RawSQL(REVIEWS, []))),
    )
    view(
        "RawSQL in a filter",
        lambda: list(
            Product.objects.filter(
                pk=RawSQL("SELECT product_id FROM store_review WHERE stars = %s", [3])
            )
        ),
    )
    view(
        "extra, select",
        lambda: list(Product.objects.filter(slug="fez").extra(select={"n": REVIEWS})),
    )
    view(
        "extra, tables and where",
        lambda: list(
            Product.objects.filter(slug="fez").extra(
                tables=["store_label"], where=["store_label.id = store_product.id"]
            )
        ),
    )
    view(
        "extra, order_by",
        lambda: list(
            Product.objects.extra(select={"n": REVIEWS}, order_by=["n", "id"]).values_list("pk")
        ),
    )
    view(
        "extra, where with a subquery",
        lambda: list(
            Product.objects.filter(pk=1).extra(
                where=[
                    "EXISTS (SELECT 1 FROM store_placement x WHERE x.product_id = store_product.id)"
                ]
            )
        ),
    )
    view(
        "raw with a join",
        lambda: [
            p.name
            for p in Product.objects.raw(
                "SELECT p.id, p.name FROM store_product p JOIN store_category c "
                "ON c.id = p.category_id WHERE c.name > %s ORDER BY p.id",
                ["A"],
            )
        ],
    )
    view(
        "raw in capitals",
        lambda: [
            p.n
            for p in Product.objects.raw(
                "SELECT ID, (SELECT COUNT(*) FROM store_label) AS N FROM store_product".replace(
                    "AS N", "AS n"
                ).replace("ID,", "id,")
            )
        ],
    )
    view(
        "raw with a CTE",
        lambda: [
            c.name
            for c in Category.objects.raw(
                "WITH RECURSIVE tree(id, name, depth) AS ("
                "SELECT id, name, 0 FROM store_category WHERE parent_id IS NULL UNION ALL "
                "SELECT c.id, c.name, depth + 1 FROM store_category c "
                "JOIN tree ON c.parent_id = tree.id) SELECT id, name, depth FROM tree ORDER BY id"
            )
        ],
    )
    view(
        "raw that names another table",
        lambda: [
            p.top
            for p in Product.objects.raw(
                f"SELECT id, ({REVIEWS}) AS top FROM store_product ORDER BY id"
            )
        ],
    )
    view("cursor", lambda: _sql("SELECT name FROM store_label ORDER BY id"))
    view(
        "cursor with quotes",
        lambda: _sql(f"SELECT name FROM {connection.ops.quote_name('store_shelf')} ORDER BY id"),
    )
    view(
        "cursor with a join",
        lambda: _sql(
            "SELECT r.text, a.name FROM store_review r LEFT JOIN store_author a "
            "ON a.id = r.author_id ORDER BY r.id"
        ),
    )
    view(
        "cursor with a CTE",
        lambda: _sql("WITH best AS (SELECT MAX(stars) AS s FROM store_review) SELECT s FROM best"),
    )


def _sql(text):
    with connection.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall()
