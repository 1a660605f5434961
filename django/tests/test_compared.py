"""Changes of results: what is invalidated, also when whatever else happens meanwhile."""

import threading
from datetime import date, datetime, timedelta, timezone

import pytest
from compared import (
    NOW,
    SHARED,
    asking,
    deliver,
    is_invalidated,
    made_notices,
    results_of,
    sent,
    switched_on,
)
from conftest import IS_POSTGRES, tags_of
from django.db import Error, connection, connections, transaction
from django.http import HttpResponse
from shop.models import Category, Notice

import edge_isr
from edge_isr import isr, sharing
from edge_isr.conf import get_settings
from edge_isr.context import recording
from edge_isr.delivery import comparing
from edge_isr.delivery.outbox import Deliverer
from edge_isr.models import OutboxMessage, Result

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


class TestChanges:
    def test_the_same_result_is_not_invalidated(self, notices, page, worker):
        response = page(SHARED["months"])()
        Notice.objects.create(pk=4, text="n4", last_day=notices[0].last_day)
        assert not is_invalidated(response, sent(worker))
        assert Result.objects.count() == 1

    def test_another_result_is(self, notices, page, worker):
        ask = page(SHARED["months"])
        response = ask()
        Notice.objects.create(pk=4, text="n4", last_day=date(2001, 2, 3))
        assert results_of(response) <= sent(worker)
        # What it is now is on record before anybody asks again.
        again = ask()
        assert results_of(again) and results_of(again) != results_of(response)
        assert Result.objects.count() == 1

    @pytest.mark.parametrize("name", SHARED)
    def test_every_kind(self, name, notices, page, worker):
        ask = page(SHARED[name])
        response = ask()
        Notice.objects.create(
            pk=4, text="a", shelf=5, shown=NOW - timedelta(days=800), last_day=date(2001, 2, 3)
        )
        Notice.objects.filter(pk=4).update(shown=datetime.now(timezone.utc))
        tags = sent(worker)
        if name in ("until today", "published by now"):
            changed = ask().content != response.content
            assert is_invalidated(response, tags) == changed
        else:
            assert is_invalidated(response, tags)

    def test_there_and_back_again(self, notices, page, worker):
        """A page that saw what was there in between has another row's tag."""
        ask = page(SHARED["counted"])
        before = ask()
        Notice.objects.create(pk=4, text="n4")
        assert is_invalidated(before, sent(worker))
        between = ask()
        Notice.objects.filter(pk=4).delete()
        assert is_invalidated(between, sent(worker))
        after = ask()
        assert after.content == before.content
        assert results_of(after).isdisjoint(results_of(before) | results_of(between))

    def test_a_rollback_invalidates_nothing(self, notices, page, worker):
        response = page(SHARED["counted"])()
        with transaction.atomic():
            Notice.objects.create(pk=4, text="n4")
            transaction.set_rollback(True)
        assert not is_invalidated(response, sent(worker))

    def test_raw_sql(self, notices, page, worker):
        response = page(SHARED["counted"])()
        with connection.cursor() as cursor:
            cursor.execute("UPDATE shop_notice SET shelf = 1 WHERE id = 1")
        assert not is_invalidated(response, sent(worker))
        with connection.cursor() as cursor:
            cursor.execute("UPDATE shop_notice SET shelf = -1 WHERE id = 1")
        assert is_invalidated(response, sent(worker))

    def test_more_than_can_be_asked_are_invalidated(self, notices, page, worker, monkeypatch):
        response = page(SHARED["months"])()
        monkeypatch.setattr(comparing, "MAX_QUERIES", 0)
        Notice.objects.create(pk=4, text="n4", last_day=notices[0].last_day)
        assert is_invalidated(response, sent(worker))

    def test_no_time_left(self, notices, page, worker, monkeypatch):
        response = page(SHARED["months"])()
        monkeypatch.setattr(comparing, "MAX_SECONDS", -1)
        Notice.objects.create(pk=4, text="n4", last_day=notices[0].last_day)
        assert is_invalidated(response, sent(worker))

    @pytest.mark.parametrize("query", ['["SELECT nothing FROM nowhere", [], null, false]', "{"])
    def test_what_can_not_be_asked_is_invalidated(self, query, notices, page, worker):
        response = page(SHARED["months"])()
        Result.objects.update(query=query)
        Notice.objects.create(pk=4, text="n4", last_day=notices[0].last_day)
        assert is_invalidated(response, sent(worker))
        assert Result.objects.count() == 0

    def test_what_is_old_is_invalidated_with_the_next_change(self, notices, page, worker):
        response = page(SHARED["months"])()
        Result.objects.update(created_at=NOW - timedelta(days=31))
        Category.objects.create(name="c", slug="c")
        assert is_invalidated(response, sent(worker))

    def test_it_goes_on_when_nothing_is_put_on_record_any_more(self, notices, page, worker, edge):
        response = page(SHARED["counted"])()
        edge(COMPARE_RESULTS=False)
        Notice.objects.create(pk=4, text="n4")
        assert is_invalidated(response, sent(worker))

    def test_without_its_table(self, notices, worker):
        sharing.has_results("default")
        with connection.schema_editor() as editor:
            editor.delete_model(Result)
        try:
            Notice.objects.create(pk=4, text="n4")
            assert "shop.notice:4" in sent(worker)
        finally:
            with connection.schema_editor() as editor:
                editor.create_model(Result)

    def test_each_target_is_invalidated(self, notices, page, worker, edge):
        response = page(SHARED["counted"])()
        edge(TARGETS=[{"provider": "purge", "urls": [worker.url], "tag_header": "xkey"}])
        Notice.objects.create(pk=4, text="n4")
        deliver()
        rows = OutboxMessage.objects.all()
        named = {row.target for row in rows if results_of(response) & set(row.payload["tags"])}
        assert len(named) == 2


class TestTime:
    def test_what_is_published_by_now_is_asked_with_the_now_of_then(self, notices, page, worker):
        def load():
            return Notice.objects.filter(shown__lte=datetime.now(timezone.utc)).count()

        ask = page(load)
        response = ask()
        assert results_of(response) == results_of(ask())
        later = Notice.objects.create(pk=4, text="n4", shown=NOW + timedelta(days=1))
        assert not is_invalidated(response, sent(worker))
        later.shown = datetime.now(timezone.utc)
        later.save()
        assert is_invalidated(response, sent(worker))

    def test_what_was_of_today_is_asked_for_both_days(self, notices, page, worker, monkeypatch):
        def load():
            return Notice.objects.filter(last_day__gte=date.today()).count()

        response = page(load)()
        assert results_of(response)
        row = Result.objects.get()
        yesterday = (date.today() - timedelta(days=1)).isoformat()
        row.query = row.query.replace(date.today().isoformat(), yesterday)
        row.save()
        Notice.objects.filter(pk=1).update(last_day=date.today() + timedelta(days=9))
        assert not is_invalidated(response, sent(worker))
        # It was of yesterday, and is not of today.
        Notice.objects.filter(pk=1).update(last_day=yesterday)
        assert is_invalidated(response, sent(worker))

    def test_what_was_of_another_week_is_invalidated(self, notices, page, worker):
        def load():
            return Notice.objects.filter(last_day__gte=date.today()).count()

        response = page(load)()
        row = Result.objects.get()
        before = (date.today() - timedelta(days=8)).isoformat()
        row.query = row.query.replace(date.today().isoformat(), before)
        row.created_at = NOW - timedelta(days=8)
        row.save()
        Notice.objects.filter(pk=1).update(last_day=date.today() + timedelta(days=9))
        assert is_invalidated(response, sent(worker))

    def test_a_time_of_a_row_invalidates_its_models_results(self, notices, page, worker):
        edge_isr.register(Notice, at=["shown"])
        response = page(SHARED["counted"])()
        Notice.objects.create(pk=4, text="n4", shelf=-1, shown=NOW + timedelta(days=1))
        rows = OutboxMessage.objects.exclude(at=None)
        assert any(is_invalidated(response, set(row.payload["tags"])) for row in rows)


class TestRaces:
    def test_a_change_between_the_record_and_the_query(self, notices, page, monkeypatch, worker):
        """The page gets what was on record when it was begun, or has the query's own tags."""
        ask = page(SHARED["counted"])
        original, calls = sharing.on_record, []

        def and_then(fingerprint, using):
            found = original(fingerprint, using)
            if not calls:
                calls.append(1)
                with recording(None):
                    Notice.objects.create(pk=4, text="n4")
                    sent(worker)
            return found

        monkeypatch.setattr(sharing, "on_record", and_then)
        response = ask()
        assert calls and not results_of(response) and "shop.notice" in str(tags_of(response))
        Notice.objects.create(pk=5, text="n5")
        assert is_invalidated(response, sent(worker))

    def test_a_change_after_the_query(self, notices, site, worker):
        """The page was begun before its tag is invalidated: the edge does not keep it."""
        during = []

        def view(request):
            found = SHARED["counted"]()
            if during:
                with recording(None):
                    Notice.objects.create(pk=4, text="n4")
                    during.append(sent(worker))
            return HttpResponse(found)

        client = site(isr(view))
        client.get("/page/")
        during.append(set())
        response = client.get("/page/")
        assert results_of(response) and is_invalidated(response, during[-1])

    def test_put_on_record_too_late(self, notices, site, worker):
        """Two pages have seen what has changed since: neither has it for the result of now."""
        query = []

        def view(request, pk=0):
            return HttpResponse(SHARED["counted"]())

        client = site(isr(view))
        client.get("/page/")
        row = Result.objects.get()
        Notice.objects.create(pk=4, text="n4")
        sent(worker)
        # Another process comes with what it saw before.
        row.pk = None
        row.save()
        query.append(client.get("/page/"))
        assert f"edge_isr.result:{row.pk}" not in tags_of(query[0])
        Notice.objects.create(pk=5, text="n5")
        tags = sent(worker)
        assert is_invalidated(query[0], tags) and f"edge_isr.result:{row.pk}" in tags

    def test_a_deliverer_that_dies_before_it_has_sent(self, notices, page, worker, monkeypatch):
        response = page(SHARED["counted"])()
        Notice.objects.create(pk=4, text="n4")

        def dies(*args):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(comparing, "_take_off", dies)
            with pytest.raises(KeyboardInterrupt):
                deliver()
        assert worker.calls == []
        OutboxMessage.objects.update(claimed_until=None)
        assert is_invalidated(response, sent(worker))

    def test_a_deliverer_that_dies_after_it(self, notices, page, worker, monkeypatch):
        response = page(SHARED["counted"])()
        Notice.objects.create(pk=4, text="n4")

        def dies(*args, **kwargs):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Deliverer, "_deliver", dies)
            with pytest.raises(KeyboardInterrupt):
                deliver()
        OutboxMessage.objects.update(claimed_until=None)
        assert is_invalidated(response, sent(worker))

    def test_a_worker_that_is_down_is_invalidated_later(self, notices, page, worker):
        response = page(SHARED["counted"])()
        worker.answers = [(503, {})] * 2
        Notice.objects.create(pk=4, text="n4")
        deliver()
        OutboxMessage.objects.update(due_at=NOW, claimed_until=None)
        assert is_invalidated(response, sent(worker))

    def test_without_the_outbox_for_once(self, notices, page, worker, monkeypatch):
        """What could not be written with its change is compared all the same."""
        from edge_isr.delivery import in_memory, scheduled

        response = page(SHARED["counted"])()

        def broken(*args):
            raise Error("no room")

        with monkeypatch.context() as patched:
            patched.setattr(scheduled, "write_all", broken)
            Notice.objects.create(pk=4, text="n4")
            assert in_memory.memory_queue(get_settings()).idle(10)
        assert is_invalidated(response, sent(worker))

    def test_what_a_page_changes_itself_does_not_refetch_it(self, notices, site, worker):
        """Else each refetch would begin the next."""

        def view(request):
            found = SHARED["counted"]()
            Notice.objects.create(pk=100 + found, text="one more")
            return HttpResponse(found)

        client = site(isr(view))
        client.get("/page/")
        sent(worker)
        response = client.get("/page/")
        assert results_of(response)
        deliver()
        calls = [
            call.json for call in worker.calls if is_invalidated(response, set(call.json["tags"]))
        ]
        assert calls and not any(call["warm"] for call in calls)
        Notice.objects.create(pk=99, text="by somebody")
        deliver()
        assert any(call.json["warm"] for call in worker.calls)

    @pytest.mark.skipif(not IS_POSTGRES, reason="needs transactions side by side")
    def test_two_transactions_that_each_see_no_difference(self, notices, page, worker):
        response = page(lambda: Notice.objects.filter(shelf__gte=0).exists())()
        Notice.objects.filter(pk=3).delete()
        sent(worker)
        both = threading.Barrier(2)

        def take(pk):
            try:
                with transaction.atomic():
                    Notice.objects.filter(pk=pk).update(shelf=-1)
                    both.wait(10)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=take, args=(pk,)) for pk in (1, 2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert is_invalidated(response, sent(worker))
