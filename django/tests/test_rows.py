"""The row that a save asks for, by SQL that is made once, is the one that the ORM gives."""

import datetime

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connections, models, transaction
from django.db.models.sql.compiler import SQLCompiler
from shop.models import Banner, Category, Premium, Product, Visit

from edge_isr.rows import MAX_STATEMENTS, row_of

pytestmark = pytest.mark.django_db
WHEN = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


@pytest.fixture
def rows():
    category = Category.objects.create(name="Ümläut %s", slug="a")
    premium = Premium.objects.create(name="b", slug="b", category=category, bonus="x")
    banner = Banner.objects.create(text="c")
    visit = Visit.objects.create(session_key="k%s'", session_data="", expire_date=WHEN)
    return [category, premium, premium.product_ptr, banner, visit]


@pytest.fixture
def compiled(monkeypatch):
    """How many statements Django's compiler has made."""
    made = []
    original = SQLCompiler.as_sql
    monkeypatch.setattr(
        SQLCompiler, "as_sql", lambda *args, **kwargs: made.append(1) or original(*args, **kwargs)
    )
    vars(connections["default"]).pop("edge_isr_rows", None)
    return made


def names_of(model):
    return tuple(f.attname for f in model._meta.local_concrete_fields if not f.primary_key)


def test_it_is_the_row_that_the_orm_gives(rows):
    with transaction.atomic():
        for row in rows * 2:
            names = names_of(type(row))
            wanted = type(row).objects.values_list(*names).get(pk=row.pk)
            assert row_of(type(row), connections["default"], row.pk, names) == wanted


def test_its_sql_is_made_once(rows, compiled):
    with transaction.atomic():
        row_of(Category, connections["default"], rows[0].pk, ("name", "slug"))
        made = len(compiled)
        assert made > 0
        assert row_of(Category, connections["default"], rows[0].pk, ("name", "slug")) == (
            "Ümläut %s",
            "a",
        )
        assert row_of(Category, connections["default"], -1, ("name", "slug")) is None
    assert len(compiled) == made


def test_how_many_are_kept_has_a_limit(rows):
    known = vars(connections["default"])["edge_isr_rows"] = {
        (Product, (str(n),)): None for n in range(2)
    }
    known.update({(Product, (str(n),)): None for n in range(MAX_STATEMENTS)})
    with transaction.atomic():
        row_of(Category, connections["default"], rows[0].pk, ("name",))
    assert list(known) == [(Category, ("name",))]


@pytest.mark.parametrize("key", ["7", True, 2**40, 2**62])
def test_keys_that_are_no_plain_numbers_are_looked_for_as_the_orm_does(key, rows):
    with transaction.atomic():
        found = Category.objects.filter(pk=key).values_list("name").first()
        assert row_of(Category, connections["default"], key, ("name",)) == found


def test_a_key_that_is_none_fails_as_with_the_orm(rows):
    with transaction.atomic(), pytest.raises((ValueError, ValidationError)):
        row_of(Category, connections["default"], "no number", ("name",))


def test_a_look_up_of_the_sites_own_is_left_to_the_orm(rows, monkeypatch):
    class Loud(models.SlugField):
        pass

    monkeypatch.setattr(Category._meta.pk, "__class__", Loud, raising=False)
    vars(connections["default"]).pop("edge_isr_rows", None)
    with transaction.atomic():
        assert row_of(Category, connections["default"], rows[0].pk, ("slug",)) == ("a",)
    assert vars(connections["default"])["edge_isr_rows"] == {(Category, ("slug",)): None}


def test_whoever_watches_statements_sees_it(rows, django_assert_num_queries):
    seen = []

    def wrapper(execute, sql, *args):
        seen.append(sql)
        return execute(sql, *args)

    connection = connections["default"]
    with transaction.atomic():
        with connection.execute_wrapper(wrapper):
            row_of(Category, connection, rows[0].pk, ("name",))
        with django_assert_num_queries(1):
            row_of(Category, connection, rows[0].pk, ("name",))
    assert len(seen) == 1


def test_a_transaction_that_has_failed_is_asked_nothing(rows):
    connection = connections["default"]
    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(transaction.TransactionManagementError):
            row_of(Category, connection, rows[0].pk, ("name",))


def test_what_the_driver_says_is_djangos_error(rows):
    connection = connections["default"]
    with transaction.atomic():
        row_of(Category, connection, rows[0].pk, ("name",))
        known = connection.edge_isr_rows
        statement = known[Category, ("name",)]
        by_driver = statement.driver_sql and "SELECT nothing, ?"
        known[Category, ("name",)] = statement._replace(
            sql="SELECT nothing, %s", driver_sql=by_driver
        )
        try:
            with pytest.raises(DatabaseError), transaction.atomic():
                row_of(Category, connection, rows[0].pk, ("name",))
        finally:
            known.clear()
