"""What is written by `connection.cursor()` is sent by its tables."""

import pytest
from conftest import IS_MARIADB
from django.db import connection, transaction
from shop.models import Banner, Review

import edge_isr

pytestmark = pytest.mark.django_db
quoted = connection.ops.quote_name


@pytest.fixture
def data(hats, shoes, fez, cap):
    Review.objects.create(pk=21, product=fez, text="good")


WRITES = {
    "insert": ("INSERT INTO shop_banner (text) VALUES ('x')", {"shop.banner"}),
    "update": ("UPDATE shop_category SET name = 'x'", {"shop.category"}),
    "update, several": ("UPDATE shop_category SET name = 'x', slug = id", {"shop.category"}),
    "delete": ("DELETE FROM shop_review", {"shop.review"}),
    "capitals": (f"update {quoted('shop_category')} set NAME = 'x'", {"shop.category"}),
    "comment": ("/* nightly */ UPDATE shop_category SET name = 'x'", {"shop.category"}),
    "insert from": (
        "INSERT INTO shop_banner (text, category_id) SELECT name, id FROM shop_category",
        {"shop.banner"},
    ),
    "with": (
        # MariaDB knows it inside alone.
        "DELETE FROM shop_review WHERE id IN "
        "(WITH c AS (SELECT id FROM shop_category) SELECT id FROM c)"
        if IS_MARIADB
        else "WITH c AS (SELECT id FROM shop_category) DELETE FROM shop_review WHERE id IN "
        "(SELECT id FROM c)",
        {"shop.review"},
    ),
    "upsert": (
        "INSERT INTO shop_category (id, name, slug) VALUES (1, 'x', 'x') "
        + ("ON DUPLICATE KEY" if IS_MARIADB else "ON CONFLICT (id) DO")
        + " UPDATE SET name = 'y'".replace("SET " if IS_MARIADB else "", ""),
        {"shop.category"},
    ),
    "a child's table": ("DELETE FROM shop_premium", {"shop.premium"}),
}


@pytest.mark.parametrize("name", WRITES)
def test_writes_by_cursor(data, new_tags, name):
    sql, wanted = WRITES[name]
    new_tags()
    with connection.cursor() as cursor:
        cursor.execute(sql)
    found = new_tags()
    # Which rows is not known: pages of each are sent.
    assert wanted | {f"{label}:*" for label in wanted} <= found
    found = {name for name in found if not name.endswith(":*")}
    assert found - wanted <= {"shop.category", "shop.product"}


def test_writes_by_executemany(data, new_tags):
    new_tags()
    with connection.cursor() as cursor:
        cursor.executemany("UPDATE shop_category SET name = %s WHERE id = %s", [("a", 1), ("b", 2)])
    assert new_tags() == {"shop.category", "shop.category:*"}


def test_a_read_by_cursor_sends_nothing(data, new_tags):
    new_tags()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'UPDATE shop_category SET name = 1' FROM shop_review")
    assert new_tags() == set()


def test_the_orms_own_writes_are_sent_by_their_rows(data, new_tags):
    edge_isr.register(Banner, only_if=lambda banner: banner.text == "shown")
    new_tags()
    Banner.objects.create(text="draft")
    Banner.objects.update(text="draft 2")
    Banner.objects.all().delete()
    assert new_tags() == set()


def test_silence_holds_for_cursors(data, new_tags):
    new_tags()
    with edge_isr.silence(), connection.cursor() as cursor:
        cursor.execute("UPDATE shop_category SET name = 'x'")
    assert new_tags() == set()


def test_a_write_that_is_rolled_back_is_sent_to_nobody(data, new_tags):
    new_tags()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE shop_category SET name = 'x'")
        transaction.set_rollback(True)
    assert new_tags() == set()
