"""Queries that many pages share: what a page has in place of their tags."""

from datetime import date, timedelta

import pytest
from compared import (
    NOW,
    SHARED,
    asking,
    is_invalidated,
    made_notices,
    results_of,
    sent,
    switched_on,
)
from conftest import is_public, tags_of
from django.core.management import call_command
from django.db import Error, connection, transaction
from django.http import HttpResponse
from shop.models import Category, Label, Notice, Product

import edge_isr
from edge_isr import checks, isr, isr_fragment, sharing
from edge_isr.context import Recorder, recording
from edge_isr.explanation import writes_that_invalidate
from edge_isr.models import Result
from edge_isr.results import Asked

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _compared(edge, monkeypatch):
    yield from switched_on(edge, monkeypatch)


@pytest.fixture
def notices():
    return made_notices()


@pytest.fixture
def page(site):
    return asking(site)


class TestPages:
    @pytest.mark.parametrize("name", SHARED)
    def test_a_shared_result_stands_in_place_of_what_may_change_it(self, name, notices, page):
        ask = page(SHARED[name])
        response = ask()
        assert len(results_of(response)) == 1
        assert "edge_isr.result:shop.notice" in tags_of(response)
        # Which columns are tracked is up to other tests.
        others = {tag for tag in tags_of(response) if "result:" not in tag and "=" not in tag}
        assert others <= {"shop.notice:1", "shop.notice:2", "shop.notice:3"}

    def test_the_first_time_it_has_the_tags_of_the_query(self, notices, site):
        client = site(isr(lambda request: HttpResponse(SHARED["months"]())))
        response = client.get("/page/")
        assert results_of(response) == set() and "shop.notice:@last_day" in tags_of(response)
        assert Result.objects.count() == 1

    def test_off_nothing_is_on_record(self, notices, page, edge):
        edge(COMPARE_RESULTS=False)
        response = page(SHARED["months"])()
        assert tags_of(response) == {"shop.notice:@last_day", "shop.notice:@"}
        assert Result.objects.count() == 0

    def test_before_several_pages_have_it_nobody_shares_it(self, notices, site, monkeypatch):
        monkeypatch.setattr(sharing, "SHARED_BY", 3)
        client = site(isr(lambda request, pk=0: HttpResponse(SHARED["months"]())))
        for path in ("/page/", "/page/1/", "/page/1/"):
            client.get(path)
        assert Result.objects.count() == 0
        client.get("/page/2/")
        assert Result.objects.count() == 1
        assert results_of(client.get("/page/")) and results_of(client.get("/page/3/"))

    def test_what_instances_hold_is_invalidated_by_their_own_tags(self, notices, page, worker):
        response = page(SHARED["the first"])()
        Notice.objects.filter(pk=3).update(text="new")
        tags = sent(worker)
        assert is_invalidated(response, tags) and not results_of(response) & tags

    @pytest.mark.parametrize("in_order", [True, False])
    def test_what_related_rows_hold_is_known_by_theirs(self, fez, cap, page, worker, in_order):
        order = "-price" if in_order else "category__name"
        response = page(lambda: repr(
            [p.category.name for p in Product.objects.select_related("category").order_by(order)]
        ))()  # fmt: skip
        assert results_of(response)
        Category.objects.filter(pk=1).update(name="Caps")
        assert is_invalidated(response, sent(worker))
        shoes = Category.objects.create(pk=2, name="Shoes", slug="shoes")
        sent(worker)
        Product.objects.filter(pk=11).update(category=shoes)
        assert is_invalidated(response, sent(worker))

    def test_in_a_transaction_it_goes_on_record_with_the_commit(self, notices, page):
        def load():
            with transaction.atomic():
                found = SHARED["months"]()
                assert Result.objects.count() in (0, 1)
                return found

        response = page(load)()
        assert results_of(response) and Result.objects.count() == 1

    @pytest.mark.parametrize("where", ["on_record", "between_transactions", "asked"])
    def test_no_page_fails_for_it(self, where, notices, page, monkeypatch):
        def broken(*args):
            raise Error("read-only") if where != "asked" else RuntimeError("unforeseen")

        monkeypatch.setattr(sharing, where, broken)
        response = page(SHARED["months"])()
        assert is_public(response) and "shop.notice:@last_day" in tags_of(response)

    def test_before_migrate_a_check_says_so(self, notices, page):
        with connection.schema_editor() as editor:
            editor.delete_model(Result)
        try:
            assert not results_of(page(SHARED["months"])())
            found = checks.check_tables(databases=["default"])
            assert [one.id for one in found] == ["edge_isr.W011"]
        finally:
            with connection.schema_editor() as editor:
                editor.create_model(Result)

    def test_there_is_an_end_to_it(self, notices, page, monkeypatch):
        monkeypatch.setattr(sharing, "MAX_ON_RECORD", 0)
        assert not results_of(page(SHARED["months"])())


NOT_COMPARED = {
    "a row by its key": lambda: list(Notice.objects.filter(pk__in=[1, 2])),
    "by chance": lambda: list(Notice.objects.order_by("?")[:2]),
    "since a week": lambda: Notice.objects.filter(shown__gt=NOW - timedelta(days=7)).count(),
    "the moment of a row": lambda: Notice.objects.filter(
        shown__lt=Notice.objects.get(pk=2).shown
    ).count(),
    "of a day": lambda: Notice.objects.filter(last_day=date.today() + timedelta(days=1)).exists(),
    "of a month": lambda: Notice.objects.filter(shown__month=NOW.month).count(),
    "one by one": lambda: [n.text for n in Notice.objects.order_by("-shown")[:2].iterator()],
    "by a relation": lambda: list(
        Product.objects.filter(labels=41, active=True).order_by("name").values("name")[:1]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_COMPARED)
def test_what_cannot_be_asked_again_alike_is_not_compared(name, notices, fez, page):
    Label.objects.create(pk=41, name="new").products.add(fez)
    assert not results_of(page(NOT_COMPARED[name])())


def test_of_another_database_or_tenant_nothing_is_compared(notices, page, settings, monkeypatch):
    settings.DATABASE_ROUTERS = [type("Router", (), {"db_for_write": lambda *a, **k: "other"})()]
    assert not results_of(page(SHARED["months"])())
    settings.DATABASE_ROUTERS = []
    monkeypatch.setattr(connection, "schema_name", "tenant", raising=False)
    assert not results_of(page(SHARED["months"])())


class TestByHand:
    def test_by_tags(self, notices, page, worker):
        response = page(SHARED["counted"])()
        edge_isr.revalidate_by_tags("shop.notice")
        assert is_invalidated(response, sent(worker))

    def test_by_the_command(self, notices, page, worker):
        response = page(SHARED["counted"])()
        call_command("revalidate_tags", "shop.notice")
        assert is_invalidated(response, set(worker.calls[0].json["tags"]))

    def test_explained(self, notices, page, site):
        page(SHARED["counted"])()
        key = Result.objects.get().pk
        assert "shop_notice" in writes_that_invalidate(f"edge_isr.result:{key}")
        assert "brings something else" in writes_that_invalidate("edge_isr.result:0")
        assert "by hand" in writes_that_invalidate("edge_isr.result:shop.notice")

    def test_explain_names_it(self, notices, page, capsys):
        page(SHARED["counted"])()
        key = Result.objects.get().pk
        sharing.forget()
        call_command("edge_isr_explain", "/page/")
        assert f"edge_isr.result:{key}" in capsys.readouterr().out

    def test_a_check_says_what_it_needs(self, edge):
        edge(AUTO_TAGS=False)
        assert "edge_isr.W010" in {one.id for one in checks.check_settings()}
        edge(AUTO_TAGS=True, OUTBOX=False)
        assert "edge_isr.W010" in {one.id for one in checks.check_settings()}
        edge(OUTBOX=True)
        assert "edge_isr.W010" not in {one.id for one in checks.check_settings()}


class TestCaches:
    def test_a_fragment_is_made_anew_at_once(self, notices, site, worker):
        calls = []

        @isr_fragment("months")
        def months():
            calls.append(1)
            return str(SHARED["months"]())

        client = site(isr(lambda request, pk=0: HttpResponse(months())))
        client.get("/page/")
        with transaction.atomic():
            Notice.objects.filter(pk=1).update(last_day=date(2001, 2, 3))
        response = client.get("/page/")
        assert len(calls) == 2 and b"2001" in response.content
        Notice.objects.filter(pk=1).update(last_day=date(2002, 2, 3))
        client.get("/page/")
        sent(worker)
        response = client.get("/page/")
        assert results_of(response) or "shop.notice:@last_day" in tags_of(response)
        Notice.objects.filter(pk=1).update(last_day=date(2003, 2, 3))
        assert is_invalidated(response, sent(worker))

    def test_a_page_with_a_value_out_of_a_cache_has_its_results(self, notices, page, worker):
        from django.core.cache import cache

        ask = page(SHARED["counted"])
        ask()

        def load():
            return cache.get_or_set("counted", SHARED["counted"], 60)

        response = page(load)()
        assert results_of(response)
        Notice.objects.create(pk=4, text="n4")
        assert is_invalidated(response, sent(worker))
        assert page(load)().content != response.content


class TestAsked:
    def test_a_digest_keeps_values_of_other_types_apart(self):
        query = Asked("SELECT 1", (), None, False)
        rows = [[(1,)], [("1",)], [(None,)], [("None",)], [("1", "2")], [("1",), ("2",)], [(True,)]]
        digests = {query.digest(one) for one in rows}
        assert len(digests) == len(rows) and None not in digests

    def test_what_is_large_or_not_plain_has_none(self):
        query = Asked("SELECT 1", (), None, False)
        assert query.digest([(1,)] * 101) is None and query.digest([({},)]) is None

    def test_text_and_back(self):
        query = Asked("SELECT %s", (1, "a", None, {"decimal": "1.5"}), (0, 2), True)
        assert Asked.load(query.dump()) == query

    def test_a_recorder_of_no_page(self, notices):
        recorder = Recorder()
        for _ in range(2):
            with recording(recorder):
                SHARED["months"]()
        assert any("edge_isr.result:" in tag for tag in recorder.named())
