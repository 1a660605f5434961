"""Without the outbox: the same retries from memory, and a bound on what a request waits."""

import threading
import time

import pytest
from django.http import HttpResponse
from shop.models import Category

import edge_isr
from edge_isr.conf import MAX_REQUEST_WAIT_SECONDS, get_settings
from edge_isr.delivery import in_memory

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _direct(edge, worker, monkeypatch):
    edge(OUTBOX=False, REQUEST_WAIT=1)
    monkeypatch.setattr(in_memory, "delay", lambda attempts, after: 0.05)


def idle():
    assert in_memory.memory_queue(get_settings()).idle(10)


def test_is_sent_before_the_save_returns(worker):
    category = Category.objects.create(name="x", slug="x")
    assert worker.tags == {"shop.category", f"shop.category:{category.pk}"}


def test_is_tried_again_until_it_works(worker, caplog):
    worker.answers = [(503, {}), (401, {}), (500, b"")]
    edge_isr.revalidate_by_tags("x")
    idle()
    assert len(worker.calls) == 4
    assert len({call.headers["webhook-id"] for call in worker.calls}) == 1
    assert "503" in caplog.text and "401" in caplog.text


def test_what_is_refused_for_good_is_sent_as_lost(worker, caplog):
    worker.answer = (422, {"detail": "tags[0]: not a tag"})
    edge_isr.revalidate_by_tags("x")
    idle()
    assert len(worker.calls) == 1
    assert "lost: x: 422 tags[0]" in caplog.text


def test_a_slow_worker_holds_up_a_save_no_longer_than_sent(worker, edge):
    edge(REQUEST_WAIT=0.2)
    worker.hold.clear()
    started = time.monotonic()
    Category.objects.create(name="x", slug="x")
    assert time.monotonic() - started > 0.15 and not worker.answered
    worker.hold.set()
    idle()
    assert worker.tags


def test_all_changes_of_one_request_together_wait_no_longer_than_two_seconds(site, worker):
    """Ten transactions, each of which would wait a second for the held worker."""
    worker.hold.clear()

    def view(request):
        for n in range(10):
            Category.objects.create(name=str(n), slug=str(n))
        return HttpResponse("saved")

    client = site(view)
    started = time.monotonic()
    assert client.post("/page/").content == b"saved"
    took = time.monotonic() - started
    assert MAX_REQUEST_WAIT_SECONDS - 0.5 < took < MAX_REQUEST_WAIT_SECONDS * 2
    assert not worker.answered
    worker.hold.set()
    idle()
    assert len(worker.calls) == 10


def test_after_a_failure_nobody_waits(worker):
    worker.answers = [(503, {})]
    edge_isr.revalidate_by_tags("x")
    assert worker.answered == 1
    worker.hold.clear()
    edge_isr.revalidate_by_tags("y")
    assert worker.answered == 1
    worker.hold.set()
    idle()


def test_an_unreachable_worker(worker, edge, caplog):
    edge(REQUEST_WAIT=MAX_REQUEST_WAIT_SECONDS)
    worker.stop()
    started = time.monotonic()
    Category.objects.create(name="x", slug="x")
    assert time.monotonic() - started < MAX_REQUEST_WAIT_SECONDS
    assert "not delivered, again in" in caplog.text


def test_the_queue_is_bounded(worker, monkeypatch, caplog):
    monkeypatch.setattr(in_memory, "MAX_QUEUE", 3)
    monkeypatch.setattr(in_memory, "delay", lambda attempts, after: 30)
    worker.answer = (503, {})
    for n in range(5):
        edge_isr.revalidate_by_tags(f"post:{n}")
    assert "the queue is full, lost: post:4" in caplog.text


def test_what_is_left_at_the_end_is_sent(worker, monkeypatch, caplog):
    monkeypatch.setattr(in_memory, "delay", lambda attempts, after: 30)
    worker.answer = (503, {})
    edge_isr.revalidate_by_tags("x")
    in_memory.stop(0.05)
    assert "not delivered before the process ended, lost: x" in caplog.text


def test_one_thread(worker):
    for n in range(20):
        edge_isr.revalidate_by_tags(f"post:{n}")
    assert [t.name for t in threading.enumerate()].count("edge-isr-memory") == 1
