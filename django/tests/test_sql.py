"""What a page reads by SQL of the site's own: fragments in queries, cursors, views, functions."""

import pytest
from conftest import IS_POSTGRES, is_public, tags_of, ttl_of
from django.db import connection, models
from django.db.models import (
    Count,
    F,
    FilteredRelation,
    Func,
    Max,
    OuterRef,
    Q,
    Subquery,
    Window,
)
from django.db.models.expressions import RawSQL
from django.db.models.functions import Rank
from django.http import HttpResponse
from shop.models import Category, Manual, Product, Quiet, Review

import edge_isr
from edge_isr import isr, statements
from edge_isr.context import Recorder, recording
from edge_isr.tags import ANYTHING

pytestmark = pytest.mark.django_db
# They commit what the transaction of a test has done so far, on MariaDB.
schema_changes = pytest.mark.django_db(transaction=True)
quoted = connection.ops.quote_name

COUNT = "SELECT COUNT(*) FROM shop_product WHERE category_id = shop_category.id"


@pytest.fixture
def data(hats, shoes, fez, cap):
    Review.objects.create(pk=21, product=fez, text="good")
    Manual.objects.create(pk=31, product=fez)


def seen(load):
    recorder = Recorder()
    with recording(recorder):
        load()
    return set(recorder.named())


def by_cursor(sql, *args):
    with connection.cursor() as cursor:
        cursor.execute(sql, *args)
        return cursor.fetchall()


def one():
    return Category.objects.filter(pk=1)


# id: what loads, what has to be among its tags.
ROWS = {
    "RawSQL": (lambda: list(one().annotate(n=RawSQL(COUNT, []))), "shop.product"),
    "RawSQL of the same table": (
        lambda: list(one().annotate(n=RawSQL("SELECT COUNT(*) FROM shop_category", []))),
        "shop.category",
    ),
    "RawSQL beside a subquery": (
        lambda: list(one().annotate(
            s=Subquery(Product.objects.filter(category=OuterRef("pk")).values("pk")[:1]),
            c=Count("products"),
            n=RawSQL("SELECT COUNT(*) FROM shop_category", []))),
        "shop.category",
    ),
    "RawSQL in a filter": (
        lambda: list(one().filter(pk__in=RawSQL("SELECT category_id FROM shop_product", []))),
        "shop.product",
    ),
    "RawSQL in an order": (lambda: list(one().order_by(RawSQL(COUNT, []))), "shop.product"),
    "RawSQL in an aggregate": (
        lambda: one().aggregate(n=Max(RawSQL("SELECT MAX(id) FROM shop_review", []))),
        "shop.review",
    ),
    "RawSQL in values": (
        lambda: list(one().values(n=RawSQL("SELECT COUNT(*) FROM shop_review", []))),
        "shop.review",
    ),
    "RawSQL in a subquery": (
        lambda: list(one().filter(products__in=Product.objects.annotate(
            n=RawSQL("SELECT COUNT(*) FROM shop_review", [])).filter(n=1).values("pk"))),
        "shop.review",
    ),
    "a function with a template": (
        lambda: list(one().annotate(n=Func(
            template="(SELECT COUNT(*) FROM shop_category)",
            output_field=models.IntegerField()))),
        "shop.category",
    ),
    "extra, select": (lambda: list(one().extra(select={"n": COUNT})), "shop.product"),
    "extra, where": (
        lambda: list(one().extra(where=["id IN (SELECT category_id FROM shop_product)"])),
        "shop.product",
    ),
    "extra, tables": (
        lambda: list(one().extra(tables=["shop_product"], where=["shop_product.id > 0"])),
        "shop.product",
    ),
    "extra, order": (lambda: list(one().extra(order_by=["name"], select={"n": COUNT})),
                     "shop.product"),
    "raw, capitals": (
        lambda: list(Category.objects.raw(
            "SELECT *, (SELECT COUNT(*) FROM SHOP_PRODUCT) AS n FROM shop_category")),
        "shop.product",
    ),
    "raw, quoted": (
        lambda: list(Category.objects.raw(
            f"SELECT c.*, (SELECT COUNT(*) FROM {quoted('shop_product')}) AS n "
            f"FROM {quoted('shop_category')} c")),
        "shop.product",
    ),
    "raw, twice": (
        lambda: [list(q) and list(q) for q in [Category.objects.raw(
            "SELECT * FROM shop_category WHERE id IN (SELECT category_id FROM shop_product)")]],
        "shop.product",
    ),
    "raw, common table expression": (
        lambda: list(Category.objects.raw(
            "WITH p AS (SELECT DISTINCT category_id FROM shop_product) "
            "SELECT c.* FROM shop_category c JOIN p ON p.category_id = c.id")),
        "shop.product",
    ),
    "cursor": (lambda: by_cursor("SELECT name FROM shop_category"), "shop.category"),
    "cursor, join": (
        lambda: by_cursor("SELECT 1 FROM shop_category c, shop_product p WHERE c.id = p.id"),
        "shop.product",
    ),
    "cursor, parameters": (
        lambda: by_cursor("SELECT 1 FROM shop_category WHERE id = %s", [1]), "shop.category",
    ),
    "cursor, comment": (
        lambda: by_cursor("-- names\n/* all */ (SELECT name FROM SHOP_CATEGORY)")
        if IS_POSTGRES else by_cursor("-- names\nSELECT name FROM SHOP_CATEGORY"),
        "shop.category",
    ),
    "window": (
        lambda: list(one().annotate(
            r=Window(Rank(), order_by=F("products__price").asc()))), "shop.product",
    ),
    "annotation of two steps": (
        lambda: list(one().annotate(n=Count("products__reviews"))), "shop.review",
    ),
    "filtered relation": (
        lambda: list(one().annotate(
            cheap=FilteredRelation("products", condition=Q(products__price__lt=5))
        ).values_list("cheap__name")), "shop.product",
    ),
    "filtered relation, forward": (
        lambda: list(Product.objects.filter(pk=11).annotate(
            hat=FilteredRelation("category", condition=Q(category__name="Hats"))
        ).values_list("hat__name")), "shop.category",
    ),
    "alias": (
        lambda: list(one().alias(n=Count("products")).filter(n__gt=0)), "shop.product",
    ),
    "explained": (lambda: Category.objects.all().explain(), "shop.category"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_sql_of_the_site(data, name):
    load, wanted = ROWS[name]
    # The table as a whole, or which rows of it there are.
    assert {wanted, f"{wanted}:@"} & seen(load)


def test_what_models_explain_stays_exact(data):
    """Nothing of it makes a look-up by key depend on its whole table."""
    assert seen(lambda: one().get()) == {"shop.category:1"}
    assert seen(lambda: list(one().annotate(n=F("id") + 1))) == {"shop.category:1"}
    assert "shop.category" not in seen(lambda: list(one().values("products__name")))


@pytest.fixture
def view_of_database(data):
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE VIEW shop_names AS SELECT p.id, p.name FROM shop_product p "
            "JOIN shop_category c ON c.id = p.category_id"
        )
        cursor.execute("CREATE VIEW shop_more AS SELECT id, name FROM shop_names")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP VIEW shop_more")
        cursor.execute("DROP VIEW shop_names")


@schema_changes
def test_views_of_the_database(view_of_database):
    wanted = {"shop.product", "shop.category"}
    assert wanted <= seen(lambda: by_cursor("SELECT name FROM shop_more"))
    assert wanted <= seen(lambda: list(Review.objects.annotate(
        n=RawSQL("SELECT MAX(name) FROM shop_names", []))))  # fmt: skip
    assert wanted <= seen(lambda: list(Quiet.objects.raw("SELECT id, name AS text FROM shop_more")))


@schema_changes
def test_a_model_of_a_view(view_of_database):
    from django.apps import apps

    try:

        class Name(models.Model):
            name = models.CharField(max_length=80)

            class Meta:
                app_label = "shop"
                managed = False
                db_table = "shop_names"

        edge_isr.registry.forget_models()
        assert {"shop.product", "shop.category"} <= seen(lambda: list(Name.objects.all()))
        assert "shop.product" in seen(lambda: Name.objects.get(pk=11))
    finally:
        apps.all_models["shop"].pop("name")
        apps.clear_cache()
        edge_isr.registry.forget_models()


# A function of SQLite is none of SQL.
HOW_MANY = {
    "postgresql": "CREATE FUNCTION how_many() RETURNS bigint LANGUAGE sql AS "
    "$$ SELECT count(*) FROM shop_product $$",
    "mysql": "CREATE FUNCTION how_many() RETURNS bigint READS SQL DATA "
    "RETURN (SELECT count(*) FROM shop_product)",
}
if connection.vendor in HOW_MANY:

    @schema_changes
    def test_functions_of_the_database(data):
        with connection.cursor() as cursor:
            cursor.execute(HOW_MANY[connection.vendor])
        try:
            assert "shop.product" in seen(lambda: by_cursor("SELECT how_many()"))
            annotated = one().annotate(
                n=Func(function="how_many", output_field=models.IntegerField())
            )
            assert "shop.product" in seen(lambda: list(annotated))
        finally:
            with connection.cursor() as cursor:
                cursor.execute("DROP FUNCTION how_many")


@schema_changes
def test_a_table_without_a_model(data, new_tags):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE legacy_prices (price integer)")
        try:
            assert seen(lambda: by_cursor("SELECT price FROM legacy_prices")) == {
                "table:legacy_prices"
            }
            new_tags()
            cursor.execute("INSERT INTO legacy_prices VALUES (1)")
            assert new_tags() == {"table:legacy_prices"}
        finally:
            cursor.execute("DROP TABLE legacy_prices")


def test_what_nobody_knows_is_kept_for_a_minute(site, settings):
    """A name that is no table, view or function: the page depends on anything."""
    settings.DEBUG = True

    @isr(s_maxage=3600)
    def view(request):
        request.edge_isr.recorder.saw_unknown("a name")
        return HttpResponse("x")

    response = site(view).get("/page/")
    assert is_public(response) and ANYTHING in tags_of(response)
    assert ttl_of(response) == 60
    assert "stale-while-revalidate=60" in response["CDN-Cache-Control"]
    assert response["X-Edge-ISR-Reason"] == "anything-may-change-it; a name"


def test_sources_that_are_none():
    def sources(sql):
        return set(statements.read(sql).sources)

    assert sources('SELECT EXTRACT(year FROM made) FROM a JOIN "B".c x ON true') == {"a", "c"}
    assert sources("SELECT trim(both ' ' from name) FROM t") == {"t"}
    assert sources("SELECT 1 WHERE a IS DISTINCT FROM b") == set()
    assert sources("WITH x AS (SELECT 1 FROM y) SELECT * FROM x, json_each(z)") == {"y"}
    assert sources("SELECT * FROM json_each(z)") == set()
    assert sources("SELECT * FROM `o'd` NATURAL JOIN [w x]") == {"o'd", "w x"}


@pytest.mark.parametrize(
    ("sql", "reads", "writes"),
    [
        ("SELECT 1; UPDATE shop_category SET name = 'x'", True, True),
        ("SET LOCAL statement_timeout = 9; DELETE FROM shop_review", False, True),
        ("BEGIN; /* nightly */ REPLACE INTO shop_banner VALUES (1); COMMIT", False, True),
        ("SET x = 1; SELECT * FROM shop_review", True, False),
        ("SET x = 1; WITH c AS (DELETE FROM shop_review) SELECT 1", True, True),
        ("SELECT 'a; delete from shop_review'", True, False),
        ("SELECT 'it''s; delete from shop_review'; ", True, False),
    ],
)
def test_several_statements_in_one_text(sql, reads, writes):
    statement = statements.read(sql)
    assert (statement.reads, statement.writes) == (reads, writes)


# Others take one statement at a time.
if IS_POSTGRES:

    def test_what_follows_in_the_same_text_is_sent(data, new_tags):
        new_tags()
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0; UPDATE shop_category SET name = 'x'")
        assert {"shop.category", "shop.category:*"} <= new_tags()
