"""What a page loads, it depends on: every way of loading, and what it tags."""

import pytest
from asgiref.sync import async_to_sync
from conftest import IS_MARIADB, is_public, tags_of
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q
from django.http import HttpResponse
from shop.models import Banner, Category, Cheap, Label, Manual, Premium, Product, Quiet, Review

from edge_isr import isr, register
from edge_isr.context import Recorder, recording

pytestmark = pytest.mark.django_db


@pytest.fixture
def data():
    hats = Category.objects.create(pk=1, name="Hats", slug="hats")
    shoes = Category.objects.create(pk=2, name="Shoes", slug="shoes")
    Product.objects.create(pk=11, name="Fez", slug="fez", category=hats)
    Product.objects.create(pk=12, name="Cap", slug="cap", category=hats, active=False)
    boot = Product.objects.create(pk=13, name="Boot", slug="boot", category=shoes)
    Review.objects.create(pk=21, product=boot, text="good")
    Manual.objects.create(pk=31, product=boot)
    boot.labels.add(Label.objects.create(pk=41, name="new"))
    Premium.objects.create(pk=14, name="Crown", slug="crown", category=hats)
    Banner.objects.create(pk=51, category=None)
    Quiet.objects.create(pk=61)


def seen(load):
    """What loading something tags a page with."""
    recorder = Recorder()
    with recording(recorder):
        load()
    return set(recorder.named())


# Texts are not named where the database finds others equal.
HATS, X = (
    ("shop.category",) * 2 if IS_MARIADB else ("shop.category:slug=hats", "shop.category:slug=x")
)
NAMES = {"shop.category:@", "shop.category:@name"}
LIST = {"shop.category", "shop.category:1", "shop.category:2"}
SHOWN = {"shop.category:@", "shop.category:1", "shop.category:2"}
FIRST = {*NAMES, "shop.category:1"}
# id: what loads, what it tags.
ROWS = {
    "list": (lambda: list(Category.objects.all()), SHOWN),
    "list twice": (lambda: [list(q) + list(q) for q in [Category.objects.all()]], SHOWN),
    "empty list": (lambda: list(Category.objects.filter(name="x")), NAMES),
    "slice": (lambda: list(Category.objects.all()[:1]), FIRST),
    "index": (lambda: Category.objects.all()[0], FIRST),
    "first": (lambda: Category.objects.first(), FIRST),
    "get by key": (lambda: Category.objects.get(pk=1), {"shop.category:1"}),
    "get by key, missing": (lambda: Category.objects.filter(pk=9).first(), {"shop.category:9"}),
    "in_bulk": (lambda: Category.objects.in_bulk([1, 9]), {"shop.category:1", "shop.category:9"}),
    "get by unique field": (lambda: Category.objects.get(slug="hats"), {"shop.category:1"}),
    "unique field, missing": (
        lambda: Category.objects.filter(slug="x").first(), {X},
    ),
    "unique field, iterator": (
        lambda: list(Category.objects.filter(slug="hats").iterator()),
        {HATS, "shop.category:1"},
    ),
    "key or other": (
        lambda: list(Category.objects.filter(Q(pk=1) | Q(name="Shoes"))), {*SHOWN, *NAMES},
    ),
    "not the key": (
        lambda: list(Category.objects.exclude(pk=1)), {"shop.category:@", "shop.category:2"},
    ),
    "key and other": (lambda: list(Category.objects.filter(pk=1, name="x")), {"shop.category:1"}),
    "key by expression": (
        lambda: list(Category.objects.filter(pk=F("id") + 0)), SHOWN,
    ),
    "refresh": (lambda: Category(pk=1).refresh_from_db(), {"shop.category:1"}),
    "foreign key": (
        lambda: Product.objects.get(pk=11).category, {"shop.product:11", "shop.category:1"},
    ),
    "reverse foreign key": (
        lambda: list(Category.objects.get(pk=2).products.all()),
        {"shop.category:2", "shop.product:category=2@", "shop.product:category=2@-",
         "shop.product:13"},
    ),
    "one to one": (
        lambda: Manual.objects.get(pk=31).product, {"shop.manual:31", "shop.product:13"},
    ),
    "reverse one to one": (
        lambda: Product.objects.get(pk=13).manual, {"shop.product:13", "shop.manual:31"},
    ),
    "many to many": (
        lambda: list(Product.objects.get(pk=13).labels.all()),
        {"shop.product:13", "shop.product_labels:product=13", "shop.label:41"},
    ),
    "select_related": (
        lambda: Product.objects.select_related("category").get(pk=11),
        {"shop.product:11", "shop.category:1"},
    ),
    "select_related, list": (
        lambda: list(Product.objects.select_related("category").filter(active=False)),
        {"shop.product:active=False@-", "shop.product:12", "shop.category:1"},
    ),
    "select_related, two steps": (
        lambda: Review.objects.select_related("product__category").get(pk=21),
        {"shop.review:21", "shop.product:13", "shop.category:2"},
    ),
    "select_related, reverse, none": (
        lambda: Product.objects.select_related("manual").get(pk=11),
        {"shop.product:11", "shop.manual:@", "shop.manual:@product_id"},
    ),
    "select_related, null": (
        lambda: Banner.objects.select_related("category").get(pk=51), {"shop.banner:51"},
    ),
    "order by a relation": (
        lambda: list(Product.objects.filter(active=False).order_by("category__name")),
        {"shop.product:12", "shop.product:active=False@-", *NAMES},
    ),
    "order by a relation's order": (
        lambda: list(Product.objects.filter(active=False).order_by("category")),
        {"shop.product:12", "shop.product:active=False@-", *NAMES},
    ),
    "filter by a relation": (
        lambda: list(Product.objects.filter(category__name="Shoes")),
        {"shop.product:@", "shop.product:@category_id", "shop.product:13", *NAMES},
    ),
    "key, filtered by a relation": (
        lambda: list(Product.objects.filter(pk=13, category__name="Shoes")),
        {"shop.product:13", "shop.category:@", "shop.category:@name"},
    ),
    "prefetch_related": (
        lambda: list(Category.objects.filter(pk=2).prefetch_related("products__labels")),
        {"shop.category:2", "shop.product:13", "shop.label:41",
         "shop.product:category=2@", "shop.product:category=2@-",
         "shop.product_labels:product=13"},
    ),
    "prefetch to a list": (
        lambda: list(Category.objects.filter(pk=2).prefetch_related(
            Prefetch("products", Product.objects.filter(active=True), to_attr="active"))),
        {"shop.category:2", "shop.product:category=2@", "shop.product:13"},
    ),
    "values": (lambda: list(Category.objects.values("name")), NAMES),
    "values_list": (lambda: list(Category.objects.values_list("pk", flat=True)), NAMES),
    "values of a relation": (
        lambda: list(Product.objects.values("category__name")),
        {*NAMES, "shop.product:@", "shop.product:@category_id"},
    ),
    "count": (lambda: Category.objects.count(), {"shop.category:@"}),
    "aggregate": (lambda: Category.objects.aggregate(n=Count("pk")), {"shop.category:@"}),
    "exists": (lambda: Category.objects.filter(name="x").exists(), NAMES),
    "exists by key": (lambda: Category.objects.filter(pk=9).exists(), {"shop.category:9"}),
    "contains": (lambda: Category.objects.contains(Category(pk=1)), {"shop.category:1"}),
    "dates": (lambda: list(Category.objects.distinct().values_list("name")), NAMES),
    "subquery": (
        lambda: list(Category.objects.filter(products__in=Product.objects.filter(price=9))),
        {"shop.category:@", "shop.product:@", "shop.product:@category_id", "shop.product:@price"},
    ),
    "Exists": (
        lambda: Category.objects.filter(
            Exists(Review.objects.filter(product__category=OuterRef("pk")))).count(),
        {"shop.category:@", "shop.product:@", "shop.product:@category_id", "shop.review:@",
         "shop.review:@product_id"},
    ),
    "union": (
        lambda: list(Category.objects.order_by().filter(pk=1).union(
            Category.objects.order_by().filter(name="Shoes"))),
        LIST,
    ),
    "iterator": (lambda: list(Category.objects.iterator()), LIST),
    "iterator with select_related": (
        lambda: list(Product.objects.select_related("category").filter(active=False).iterator()),
        {"shop.product:active=False", "shop.product:12", "shop.category:1"},
    ),
    "raw": (
        lambda: [c.name for c in Category.objects.raw(
            "SELECT c.* FROM shop_category c JOIN shop_product p ON p.category_id = c.id "
            "WHERE p.id = 13")],
        {"shop.category", "shop.category:2", "shop.product"},
    ),
    "raw, twice": (
        lambda: [list(q) + list(q) for q in [Category.objects.raw("SELECT * FROM shop_category")]],
        LIST,
    ),
    "deferred": (
        lambda: Category.objects.only("name").get(pk=1).slug, {"shop.category:1"},
    ),
    "proxy": (lambda: Cheap.objects.get(pk=11), {"shop.product:11"}),
    "child of a model": (
        lambda: Premium.objects.get(pk=14), {"shop.premium:14", "shop.product:14"},
    ),
    "children": (
        lambda: list(Premium.objects.all()),
        {"shop.premium:@", "shop.premium:14", "shop.product:14"},
    ),
    "child, by the parent's field": (
        lambda: list(Premium.objects.filter(name="Crown")),
        {"shop.premium:@", "shop.premium:14", "shop.product:@", "shop.product:@name",
         "shop.product:14"},
    ),
    "none": (lambda: list(Category.objects.none()), set()),
    "excluded model": (lambda: list(Quiet.objects.all()), set()),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_what_tags_what(data, name):
    register(Quiet, auto_tags=False)
    load, wanted = ROWS[name]
    assert seen(load) == wanted


def test_nothing_is_recorded_outside_of_pages(data):
    recorder = Recorder()
    with recording(recorder):
        pass
    list(Category.objects.all())
    assert recorder.named() == []


def test_a_list_that_was_loaded_before(data):
    categories = Category.objects.all()
    list(categories)
    assert seen(lambda: [c.name for c in categories]) == LIST


def test_a_count_of_a_relation(data):
    tags = seen(lambda: list(Category.objects.annotate(n=Count("products")).values("n")))
    # Where it can't be grouped by the key alone, it reads all columns of the categories.
    (category,) = tags - {"shop.product:@", "shop.product:@category_id"}
    assert category in ("shop.category", "shop.category:@") and len(tags) == 3


def test_asynchronous_loading(data, async_site):
    @isr
    async def view(request):
        names = [c.name async for c in Category.objects.all()]
        product = await Product.objects.aget(pk=11)
        count = await Review.objects.acount()
        more = [label async for label in Label.objects.aiterator()]
        return HttpResponse(f"{names} {product} {count} {more}")

    async def ask():
        return await async_site(view).get("/page/")

    tags = {*SHOWN, "shop.product:11", "shop.review:@", "shop.label", "shop.label:41"}
    response = async_to_sync(ask)()
    assert is_public(response) and tags_of(response) == tags


def test_a_page_carries_what_it_shows(data, site):
    def view(request):
        product = Product.objects.select_related("category").get(slug="boot")
        return HttpResponse(f"{product} {product.category} {list(product.reviews.all())}")

    assert tags_of(site(isr(view)).get("/page/")) == {
        "shop.product:13", "shop.category:2", "shop.review:product=13@", "shop.review:21",
    }  # fmt: skip
    assert tags_of(site(isr(auto_tags=False)(view)).get("/page/")) == set()


def test_switched_off(data, site, edge):
    edge(AUTO_TAGS=False)
    view = isr(tags="mine")(lambda r: HttpResponse(str(list(Category.objects.all()))))
    assert tags_of(site(view).get("/page/")) == {"mine"}


def test_excluded_by_the_settings(data, edge):
    edge(AUTO_TAGS_EXCLUDE=["shop.category"])
    assert seen(lambda: list(Product.objects.select_related("category").filter(pk=11))) == {
        "shop.product:11"
    }


def test_recorded_pages_do_not_mix(data, site):
    """Two pages at once, in threads: each has its own tags."""
    import threading

    both = threading.Barrier(2)

    def view(request, pk=0):
        both.wait(5)
        recorder = request.edge_isr.recorder
        recorder.tags[f"page:{pk}"] = None
        both.wait(5)
        return HttpResponse("x")

    client = site(isr(view))
    answers = {}

    def ask(pk):
        answers[pk] = client.get(f"/page/{pk}/")

    threads = [threading.Thread(target=ask, args=(pk,)) for pk in (1, 2)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert [tags_of(answers[pk]) for pk in (1, 2)] == [{"page:1"}, {"page:2"}]
