"""Delivery: what happens when the worker, the network or the database does not do its part."""

import threading
from datetime import timedelta

import pytest
from conftest import IS_POSTGRES, SECRET, the_row, wait_for
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from shop.models import Category

import edge_isr
from edge_isr import retry, signing
from edge_isr.conf import get_settings
from edge_isr.delivery import outbox, thread
from edge_isr.delivery.outbox import Deliverer
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)


def deliver(deliverer=None):
    return (deliverer or Deliverer()).round("default", get_settings())


def due_now():
    OutboxMessage.objects.update(due_at=timezone.now(), claimed_until=None)


class TestCall:
    def test_is_a_signed_webhook(self, worker):
        edge_isr.revalidate_by_tags(["post:1", "b c"], reason="why")
        assert deliver().delivered == 1
        (call,) = worker.calls
        assert (call.method, call.path) == ("POST", "/__isr/v1/revalidate")
        assert call.json == {
            "tags": ["b%20c", "post:*", "post:1"], "mode": "soft", "warm": True, "reason": "why",
        }  # fmt: skip
        message_id = signing.verify([SECRET], call.headers, call.body)
        row = the_row()
        assert row.status == "delivered" and row.epoch == 7 and row.job_id == "job"
        assert message_id.startswith("msg_")

    def test_paths_urls_prefixes_everything(self, worker, edge):
        edge(SITE_URLS=["https://a.example", "https://b.example/"])
        edge_isr.revalidate_by_paths(["/x/?page=2", "/b\u00fc/"], hard=True)
        edge_isr.revalidate_by_urls("https://a.example/y/?p=1", hard=True)
        edge_isr.revalidate_by_prefixes(["/blog/", "https://c.example/z/"], hard=True)
        edge_isr.revalidate_all(warm=False)
        deliver()
        soft, hard = sorted((call.json for call in worker.calls), key=lambda c: c["mode"] == "hard")
        assert soft == {"all": True, "mode": "soft", "warm": False}
        assert hard == {
            "tags": ["path:/b%C3%BC/", "path:/x/"],
            "urls": [
                "https://a.example/b%C3%BC/", "https://a.example/x/", "https://a.example/y/?p=1",
                "https://b.example/b%C3%BC/", "https://b.example/x/",
            ],
            "prefixes": ["https://a.example/blog/", "https://b.example/blog/",
                         "https://c.example/z/"],
            "mode": "hard", "warm": True,
        }  # fmt: skip

    def test_options_of_the_site(self, worker, edge):
        edge(MODE="hard", WARM=False, REINVALIDATE_AFTER_MS=500)
        Category.objects.create(pk=1, name="x", slug="x")
        deliver()
        call = worker.calls[0].json
        assert (call["mode"], call["warm"], call["reinvalidate_after_ms"]) == ("hard", False, 500)

    @pytest.mark.parametrize("wrong", ["blog/", "https://a.example/b", "/b*/", "/b/?q=1/"])
    def test_wrong_names_are_refused_at_once(self, wrong):
        with pytest.raises(ValueError):
            edge_isr.revalidate_by_prefixes(wrong)
        with pytest.raises(ValueError):
            edge_isr.revalidate_by_urls("/relative/")
        with pytest.raises(ValueError):
            edge_isr.revalidate_by_paths("relative/")

    def test_two_secrets_during_a_rotation(self, worker, edge):
        new = "whsec_" + "QUJD" * 10
        edge(WEBHOOK_SECRET=[SECRET, new])
        edge_isr.revalidate_by_tags("x")
        deliver()
        for secret in (SECRET, new):
            signing.verify([secret], worker.calls[0].headers, worker.calls[0].body)

    def test_rows_are_merged_into_one_call(self, worker):
        for n in range(40):
            edge_isr.revalidate_by_tags(f"post:{n}")
        assert deliver().delivered == 40
        assert len(worker.calls) == 1

    def test_many_names_go_in_parts(self, worker):
        edge_isr.revalidate_by_tags(f"post:{n}" for n in range(9000))
        deliver()
        assert [len(call.json["tags"]) for call in worker.calls] == [4001, 4001, 1001]
        assert len({call.headers["webhook-id"] for call in worker.calls}) == 3


FAILURES = {
    "401": (401, {"detail": "No configured secret made the signature."}),
    "403": (403, {"detail": "out of scope"}),
    "404": (404, b"<html>not the worker</html>"),
    "302": (302, b"", {"Location": "http://127.0.0.1:9/"}),
    "429": (429, {"detail": "Too many"}, {"Retry-After": "7"}),
    "500": (500, b"oops"),
    "503": (503, {"detail": "Nothing was recorded."}),
}


class TestFailures:
    @pytest.mark.parametrize("name", FAILURES)
    def test_a_failure_is_tried_again_until_it_works(self, worker, name, caplog):
        worker.answer = FAILURES[name]
        edge_isr.revalidate_by_tags("post:1")
        deliverer = Deliverer()
        for attempt in (1, 2, 3):
            assert deliver(deliverer).failed == 1
            row = the_row()
            assert (row.status, row.attempts) == ("pending", attempt)
            assert row.last_error.startswith(name)
            assert row.due_at > timezone.now()
            assert deliver(deliverer).failed == 0, "it rests"
            deliverer._rest_until.clear()
            due_now()
        assert name in caplog.text and SECRET not in caplog.text
        worker.answer = (202, {"epoch": 8})
        assert deliver(deliverer).delivered == 1
        assert the_row().epoch == 8
        ids = {call.headers["webhook-id"] for call in worker.calls}
        assert len(ids) == 1, "a repeated delivery counts once"

    def test_retry_after_is_kept_to(self, worker):
        worker.answer = FAILURES["429"]
        edge_isr.revalidate_by_tags("x")
        deliver()
        assert the_row().due_at > timezone.now() + timedelta(seconds=6)

    def test_unreachable(self, worker):
        worker.stop()
        edge_isr.revalidate_by_tags("x")
        assert deliver().failed == 1
        assert "refused" in the_row().last_error

    def test_too_slow(self, worker, edge):
        edge(TIMEOUT=0.1)
        worker.hold.clear()
        edge_isr.revalidate_by_tags("x")
        assert deliver().failed == 1
        assert "timed out" in the_row().last_error
        worker.hold.set()

    def test_an_answer_that_breaks_off(self, worker):
        worker.answer = (202, b"{}", {"Content-Length": "100"})
        edge_isr.revalidate_by_tags("x")
        outcome = deliver()
        assert outcome.delivered + outcome.failed == 1

    def test_413_is_sent_in_halves(self, worker):
        def limited(call):
            return {"epoch": 1}

        worker.answers = [(413, {"detail": "too large"}), (202, limited), (202, limited)]
        edge_isr.revalidate_by_tags(["a", "b", "c"])
        assert deliver().delivered == 1
        assert [call.json["tags"] for call in worker.calls] == [
            ["a", "b", "c"], ["a", "b"], ["c"],
        ]  # fmt: skip

    def test_413_of_one_name_is_dead(self, worker):
        worker.answer = (413, {"detail": "too large"})
        edge_isr.revalidate_by_tags(["a"])
        assert deliver().dead == 1

    def test_one_that_is_refused_takes_no_other_with_it(self, worker, caplog):
        for name in ("good", "bad", "fine"):
            edge_isr.revalidate_by_tags(name)

        worker.answers = [(422, {"detail": "tags[0]: not a tag"})]
        worker.answer = (202, {"epoch": 3})
        # Together they are refused; then each comes by itself, and the second is at fault.
        worker.answers += [(202, {}), (422, {"detail": "tags[0]: not a tag"}), (202, {})]
        outcome = deliver()
        assert (outcome.delivered, outcome.dead) == (2, 1)
        dead = OutboxMessage.objects.get(status="dead")
        assert dead.payload["tags"] == ["bad"] and "not a tag" in dead.last_error
        assert "refused for good" in caplog.text

    def test_409_is_sent_under_another_id(self, worker):
        worker.answers = [(409, {"detail": "taken"})]
        edge_isr.revalidate_by_tags("x")
        assert deliver().delivered == 1
        first, second = (call.headers["webhook-id"] for call in worker.calls)
        assert first != second

    def test_an_hour_without_the_worker(self, worker, monkeypatch):
        """Nothing is lost, and the delay between tries stays below a minute."""
        worker.answer = (503, {})
        deliverer = Deliverer()
        waited, attempts = 0.0, 0
        while waited < 3600:
            if attempts % 10 == 0:
                edge_isr.revalidate_by_tags(f"post:{attempts}")
            deliverer._rest_until.clear()
            due_now()
            deliver(deliverer)
            waited += (max(r.due_at for r in OutboxMessage.objects.all()) - timezone.now()).seconds
            attempts += 1
        assert 55 <= attempts <= 90
        worker.answer = (202, {"epoch": 1})
        worker.calls.clear()
        deliverer._rest_until.clear()
        due_now()
        wanted = {f"post:{n}" for n in range(0, attempts, 10)}
        assert deliver(deliverer).delivered == len(wanted)
        assert wanted <= worker.tags

    def test_an_unexpected_error_is_a_failure(self, worker, monkeypatch, caplog):
        from edge_isr.targets.worker import WorkerTarget

        monkeypatch.setattr(WorkerTarget, "send", lambda *args: 1 / 0)
        edge_isr.revalidate_by_tags("x")
        assert deliver().failed == 1
        assert "ZeroDivisionError" in the_row().last_error

    def test_a_target_that_is_no_longer_set(self, worker):
        edge_isr.revalidate_by_tags("x")
        OutboxMessage.objects.update(target="gone")
        assert deliver().dead == 1
        assert "no target of this name" in the_row().last_error


def test_delays_grow_to_a_minute():
    delays = [retry.delay(attempts) for attempts in range(1, 12)]
    assert delays[0] <= 1 and all(54 <= d <= 60 for d in delays[7:])
    assert retry.delay(1, 90) == 90 and retry.delay(1, 10_000) == 600


class TestClaims:
    def test_a_claimed_row_is_left_to_its_holder(self, worker):
        edge_isr.revalidate_by_tags("x")
        OutboxMessage.objects.update(claimed_until=timezone.now() + timedelta(seconds=60))
        assert deliver().delivered == 0

    def test_nobody_looks_again_before_another_holders_claim_ends(self, worker):
        edge_isr.revalidate_by_tags("t")
        assert Deliverer().next_due("default") == 0
        OutboxMessage.objects.update(claimed_until=timezone.now() + timedelta(seconds=60))
        assert 50 < Deliverer().next_due("default") <= 60
        edge_isr.revalidate_by_tags("free")
        assert Deliverer().next_due("default") == 0

    def test_the_claim_of_a_dead_holder_ends(self, worker):
        edge_isr.revalidate_by_tags("x")
        OutboxMessage.objects.update(
            claim="dead", claimed_until=timezone.now() - timedelta(seconds=1)
        )
        assert deliver().delivered == 1

    def test_two_deliverers_at_once_send_each_row_once(self, worker):
        for n in range(200):
            edge_isr.revalidate_by_tags(f"post:{n}")
        counts = []

        def run():
            try:
                counts.append(deliver().delivered)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=run) for _ in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        assert sum(counts) == 200
        named = [t for call in worker.calls for t in call.json["tags"] if t != "post:*"]
        assert len(named) == len(set(named)) == 200

    def test_a_locked_row_is_skipped(self, worker):
        if not connection.features.has_select_for_update_skip_locked:
            assert not IS_POSTGRES
            return
        edge_isr.revalidate_by_tags("locked")
        edge_isr.revalidate_by_tags("free")
        locked = threading.Event()
        done = threading.Event()

        def hold():
            with transaction.atomic():
                OutboxMessage.objects.select_for_update().get(payload__tags=["locked"])
                locked.set()
                done.wait(10)
            connections.close_all()

        holder = threading.Thread(target=hold)
        holder.start()
        locked.wait(10)
        try:
            assert deliver().delivered == 1
            assert worker.tags == {"free"}
        finally:
            done.set()
            holder.join()


def test_delivered_rows_are_kept_for_a_while(worker, edge):
    edge(RETENTION=3600)
    edge_isr.revalidate_by_tags("x")
    deliver()
    assert OutboxMessage.objects.count() == 1
    OutboxMessage.objects.update(delivered_at=timezone.now() - timedelta(hours=2))
    deliver()
    assert OutboxMessage.objects.count() == 0


def test_without_a_worker_nothing_is_written(edge):
    edge(WORKER_URL="")
    edge_isr.revalidate_by_tags("x")
    Category.objects.create(name="x", slug="x")
    assert not OutboxMessage.objects.exists()


def test_the_wrong_secret_is_sent_at_once(edge):
    from django.core.exceptions import ImproperlyConfigured

    edge(WEBHOOK_SECRET="whsec_short")
    with pytest.raises(ImproperlyConfigured, match="WEBHOOK_SECRET"):
        edge_isr.revalidate_by_tags("x")


def test_delivery_by_a_function_of_ones_own(edge, worker):
    edge(DELIVERY="test_outbox.my_delivery")
    CALLED.clear()
    edge_isr.revalidate_by_tags("x")
    assert CALLED == ["default"]


CALLED = []


def my_delivery(using):
    CALLED.append(using)


def test_a_queue_that_fails_keeps_the_rows(edge, worker, caplog):
    edge(DELIVERY="test_outbox.broken_delivery")
    edge_isr.revalidate_by_tags("x")
    assert the_row().status == "pending"
    assert "could not be notified" in caplog.text
    assert deliver().delivered == 1


def broken_delivery(using):
    raise ConnectionError("no broker")


class TestShortClaims:
    """Short ones: a deliverer that was killed holds its rows up for less than half a minute."""

    def test_what_a_killed_deliverer_held_is_soon_free(self):
        assert outbox.CLAIM_SECONDS + thread.POLL_SECONDS <= 30
        assert outbox.RENEW_SECONDS * 2 < outbox.CLAIM_SECONDS

    def test_a_claim_is_renewed_while_a_call_lasts(self, worker, monkeypatch):
        monkeypatch.setattr(outbox, "CLAIM_SECONDS", 1)
        monkeypatch.setattr(outbox, "RENEW_SECONDS", 0.05)
        worker.hold.clear()
        edge_isr.revalidate_by_tags("x")
        other = threading.Thread(target=in_a_thread, args=(deliver,))
        other.start()
        wait_for(lambda: worker.calls)
        first = the_row().claimed_until
        wait_for(lambda: the_row().claimed_until > first + timedelta(seconds=0.5))
        assert deliver().delivered == 0, "somebody is at it"
        worker.hold.set()
        other.join()
        assert the_row().status == "delivered" and the_row().claimed_until is None

    def test_a_round_writes_twice(self, worker, django_assert_num_queries):
        """The claim, and what became of it; the rest only reads."""
        for n in range(5):
            edge_isr.revalidate_by_tags(f"x{n}")
        with CaptureQueriesContext(connection) as queries:
            deliver()
        written = [q["sql"] for q in queries if q["sql"].startswith(("UPDATE", "DELETE", "INSERT"))]
        assert len(written) == 2


def in_a_thread(do):
    try:
        do()
    finally:
        connections.close_all()
