"""Invalidations at a time: by hand, of rows with a time, superseded and taken back."""

from datetime import datetime, timedelta, timezone

import pytest
from conftest import SECRET
from django.db import transaction

import edge_isr
from edge_isr import signing
from edge_isr.conf import get_settings
from edge_isr.delivery import in_memory
from edge_isr.delivery.outbox import Deliverer
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)

LATER = datetime(2100, 5, 4, 3, 2, 1, 250_000, tzinfo=timezone.utc)


def deliver():
    return Deliverer().round("default", get_settings())


def text_of(moment):
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def waiting():
    """What waits for its time: names, and when."""
    status = OutboxMessage.Status
    rows = OutboxMessage.objects.filter(status__in=[status.PENDING, status.DELIVERED])
    return {row.name: row.at for row in rows if row.at is not None}


def said(calls):
    return [(call.method, (call.json or {}).get("at")) for call in calls]


class TestByHand:
    def test_the_worker_is_sent_at_once_and_does_it_then(self, worker, soon):
        worker.answer = (202, {"id": "x", "at": 1, "state": "scheduled"})
        edge_isr.revalidate_by_tags("sale", at=soon, reason="ends")
        edge_isr.revalidate_by_tags("other")
        assert deliver().delivered == 2
        first, second = sorted(worker.calls, key=lambda call: "at" not in call.json)
        assert first.json == {
            "tags": ["sale"], "mode": "soft", "warm": True, "reason": "ends", "at": text_of(soon),
        }  # fmt: skip
        assert "at" not in second.json
        row = OutboxMessage.objects.get(at=soon)
        assert signing.verify([SECRET], first.headers, first.body) == row.job_id

    def test_other_time_zones_are_the_same_moment(self, worker, soon):
        edge_isr.revalidate_all(at=soon.astimezone(timezone(timedelta(hours=5, minutes=45))))
        deliver()
        assert said(worker.calls) == [("POST", text_of(soon))]

    def test_a_part_of_a_millisecond_is_not_sent_before(self, worker, soon):
        edge_isr.revalidate_all(at=soon + timedelta(microseconds=1))
        deliver()
        assert said(worker.calls) == [("POST", text_of(soon + timedelta(milliseconds=1)))]

    @pytest.mark.parametrize(
        "call",
        [
            lambda at: edge_isr.revalidate_by_tags("x", at=at),
            lambda at: edge_isr.revalidate_by_paths("/x/", at=at),
            lambda at: edge_isr.revalidate_by_urls("https://a.example/", at=at),
            lambda at: edge_isr.revalidate_by_prefixes("https://a.example/", at=at),
            lambda at: edge_isr.revalidate_all(at=at),
        ],
    )
    def test_a_naive_time_is_an_error_that_names_it(self, call):
        with pytest.raises(ValueError, match=r"datetime.datetime\(2100, 5, 4, 3.* is naive"):
            call(LATER.replace(tzinfo=None))
        with pytest.raises(TypeError, match="an aware datetime, not 5"):
            call(5)
        assert not OutboxMessage.objects.exists()

    def test_names_that_mean_nothing_are_errors(self, soon):
        with pytest.raises(ValueError, match="at=… is missing"):
            edge_isr.revalidate_by_tags("x", name="sale")
        with pytest.raises(ValueError, match="does not begin with @"):
            edge_isr.revalidate_by_tags("x", at=soon, name="@sale")
        for name in ("", "@sale"):
            with pytest.raises(ValueError, match="no name of something that waits"):
                edge_isr.cancel_scheduled(name)

    def test_a_time_that_has_come_is_now(self, worker, soon):
        edge_isr.revalidate_by_tags("x", at=soon, name="sale")
        deliver()
        edge_isr.revalidate_by_tags("x", at=soon - timedelta(hours=2), name="sale")
        deliver()
        assert said(worker.calls) == [("POST", text_of(soon)), ("DELETE", None), ("POST", None)]

    def test_a_rollback_schedules_nothing(self, worker, soon):
        with transaction.atomic():
            edge_isr.revalidate_by_tags("x", at=soon)
            transaction.set_rollback(True)
        assert not OutboxMessage.objects.exists()

    def test_many_names_are_parts_that_the_worker_takes(self, worker, soon, edge):
        edge(SITE_URLS=["https://a.example", "https://b.example"])
        edge_isr.revalidate_by_paths([f"/{n}/" for n in range(300)], at=soon, name="sale")
        deliver()
        sizes = [len(call.json["tags"]) + len(call.json["urls"]) for call in worker.calls]
        assert max(sizes) <= 500 and sum(sizes) == 900
        worker.calls.clear()
        edge_isr.cancel_scheduled("sale")
        deliver()
        assert said(worker.calls) == [("DELETE", None)] * len(sizes)


class TestNames:
    def test_the_same_again_is_nothing(self, worker, soon):
        for _ in range(2):
            edge_isr.revalidate_by_tags("x", at=soon, name="sale")
            deliver()
        assert said(worker.calls) == [("POST", text_of(soon))]

    def test_another_time_takes_its_place(self, worker, soon):
        edge_isr.revalidate_by_tags("x", at=soon, name="sale")
        deliver()
        first = OutboxMessage.objects.get()
        later = soon + timedelta(hours=1)
        edge_isr.revalidate_by_tags("x", at=later, name="sale")
        worker.calls.clear()
        deliver()
        cancel, again = worker.calls
        assert (cancel.method, cancel.path) == ("DELETE", f"/__isr/v1/scheduled/{first.job_id}")
        signing.verify([SECRET], cancel.headers, cancel.body)
        assert again.json["at"] == text_of(later)
        assert waiting() == {"sale": later}
        first.refresh_from_db()
        assert first.status == "cancelled"

    def test_back_and_forth_is_a_new_one_each_time(self, worker, soon):
        for at in (soon, soon + timedelta(hours=1), soon):
            edge_isr.revalidate_by_tags("x", at=at, name="sale")
            deliver()
        ids = [call.headers["webhook-id"] for call in worker.calls if call.method == "POST"]
        assert len(set(ids)) == 3

    def test_the_last_one_of_a_transaction_counts(self, worker, soon):
        with transaction.atomic():
            edge_isr.revalidate_by_tags("x", at=soon, name="sale")
            with transaction.atomic():
                edge_isr.revalidate_by_tags("x", at=soon + timedelta(hours=2), name="sale")
            with pytest.raises(KeyError), transaction.atomic():
                edge_isr.cancel_scheduled("sale")
                raise KeyError
        deliver()
        assert said(worker.calls) == [("POST", text_of(soon + timedelta(hours=2)))]

    def test_cancelled_before_it_was_sent(self, worker, soon):
        edge_isr.revalidate_by_tags("x", at=soon, name="sale")
        edge_isr.cancel_scheduled("sale")
        deliver()
        assert worker.calls == [] and not OutboxMessage.objects.exists()

    def test_cancelled_when_it_may_have_arrived(self, worker, soon, clock):
        worker.answer = (503, {})
        edge_isr.revalidate_by_tags("x", at=soon, name="sale")
        deliver()
        edge_isr.cancel_scheduled("sale")
        row = OutboxMessage.objects.get()
        worker.answer = (404, {"title": "x"}, {"Content-Type": "application/problem+json"})
        # It may still be under way: it is asked for again, until it can't be.
        assert deliver().failed == 1
        row.refresh_from_db()
        assert row.status == "pending"
        clock(row.created_at + timedelta(seconds=61))
        assert deliver().delivered == 1
        assert said(worker.calls)[1:] == [("DELETE", None)] * 2

    def test_a_name_that_nothing_has_is_nothing(self, worker, soon):
        edge_isr.cancel_scheduled("sale")
        deliver()
        assert worker.calls == []

    @pytest.mark.parametrize(
        ("answer", "status"),
        [
            ((200, {"state": "cancelled"}), "delivered"),
            ((409, {"title": "too late"}), "delivered"),
            ((404, {}, {"Content-Type": "application/problem+json"}), "delivered"),
            ((404, b"no such page", {"Content-Type": "text/html"}), "pending"),
            ((401, {}), "pending"),
            ((503, {}), "pending"),
        ],
    )
    def test_what_the_worker_says_of_a_cancellation(self, worker, soon, answer, status):
        edge_isr.revalidate_by_tags("x", at=soon, name="sale")
        deliver()
        edge_isr.cancel_scheduled("sale")
        worker.answer = answer
        deliver()
        assert OutboxMessage.objects.get(payload__has_key="cancel").status == status


class TestDelivery:
    def test_far_ahead_it_waits_here(self, worker, clock):
        edge_isr.revalidate_by_tags("x", at=LATER)
        deliver()
        assert worker.calls == []
        clock(LATER - timedelta(days=29))
        deliver()
        assert said(worker.calls) == [("POST", text_of(LATER))]

    def test_no_room_at_the_worker_holds_up_nothing_else(self, worker, soon, clock):
        worker.answer = (429, {"title": "full"})
        edge_isr.revalidate_by_tags("x", at=soon)
        deliverer = Deliverer()
        assert deliverer.round("default", get_settings()).failed == 1
        assert OutboxMessage.objects.get().due_at == soon
        worker.answer = (202, {"id": "job", "epoch": 7})
        edge_isr.revalidate_by_tags("y")
        assert deliverer.round("default", get_settings()).delivered == 1
        clock(soon)
        assert deliverer.round("default", get_settings()).delivered == 1
        assert OutboxMessage.objects.filter(status="delivered").count() == 2

    def test_the_same_call_is_repeated_under_its_id(self, worker, soon, clock):
        worker.answer = (503, {})
        edge_isr.revalidate_by_tags("x", at=soon)
        deliver()
        worker.answer = (202, {"id": "x", "at": 1, "state": "scheduled"})
        clock(soon + timedelta(minutes=5))
        assert deliver().delivered == 1
        first, second = worker.calls
        assert first.body == second.body
        assert first.headers["webhook-id"] == second.headers["webhook-id"]

    def test_others_are_sent_when_the_time_has_come(self, worker, soon, clock, edge):
        purge = {"provider": "purge", "urls": [worker.url]}
        edge(WORKER_URL="", TARGETS=[purge], SITE_URLS=["https://a.example"])
        edge_isr.revalidate_by_paths("/x/", at=soon, name="sale")
        assert deliver().delivered == 0
        clock(soon)
        assert deliver().delivered == 1
        assert [call.method for call in worker.calls] == ["PURGE"]

    def test_what_waits_elsewhere_is_kept_until_its_time(self, worker, soon, clock, edge):
        edge(RETENTION=1)
        edge_isr.revalidate_by_tags("x", at=soon, name="sale")
        deliver()
        clock(soon - timedelta(minutes=1))
        deliver()
        assert OutboxMessage.objects.count() == 1
        clock(soon + timedelta(minutes=1))
        deliver()
        assert OutboxMessage.objects.count() == 0

    def test_without_an_outbox(self, worker, soon, edge):
        edge(OUTBOX=False)
        for _ in range(2):
            edge_isr.revalidate_by_tags("x", at=soon, name="sale")
        edge_isr.cancel_scheduled("sale")
        assert in_memory.memory_queue(get_settings()).idle(10)
        assert said(worker.calls) == [("POST", text_of(soon))] * 2
        assert len({call.headers["webhook-id"] for call in worker.calls}) == 1


def test_its_name_is_kept_short():
    assert len(edge_isr.moments.short("x" * 500)) <= 200
