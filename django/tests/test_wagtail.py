"""The backend for Wagtail's frontend cache module, called by Wagtail itself."""

import logging

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from wagtail.contrib.frontend_cache.utils import PurgeBatch, get_backends, purge_url_from_cache

from edge_isr.conf import get_settings
from edge_isr.delivery.outbox import Deliverer
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = {"https://a.example/x/", "https://a.example/y/?p=1", "https://b.example/z/"}


@pytest.fixture
def backend(settings):
    """Sets the backend for one test, with options."""

    def change(**options):
        named = {"BACKEND": "edge_isr.contrib.wagtail.EdgeISRBackend", **options}
        settings.WAGTAILFRONTENDCACHE = {"edge": named}

    return change


def sent(worker):
    Deliverer().round("default", get_settings())
    return [call.json for call in worker.calls]


def test_a_batch_is_one_call(worker, backend):
    backend()
    PurgeBatch(PAGES).purge()
    # Wagtail gives a backend the URLs of one host at a time.
    assert OutboxMessage.objects.count() == 2
    assert sent(worker) == [
        {"urls": sorted(PAGES), "mode": "soft", "warm": True, "reason": "wagtail"}
    ]


def test_a_page_alone_by_the_backends_options(worker, backend):
    backend(HARD=True, WARM=False)
    purge_url_from_cache("https://a.example/x/")
    (call,) = sent(worker)
    assert call["urls"] == ["https://a.example/x/"]
    assert (call["mode"], call["warm"]) == ("hard", False)


def test_only_its_hosts(worker, backend):
    backend(HOSTNAMES=["b.example"])
    PurgeBatch(PAGES).purge()
    (call,) = sent(worker)
    assert call["urls"] == ["https://b.example/z/"]


def test_a_rollback_sends_nobody(worker, backend):
    backend()
    with transaction.atomic():
        PurgeBatch(PAGES).purge()
        transaction.set_rollback(True)
    assert sent(worker) == []


def test_a_worker_that_is_down_is_sent_later(worker, backend):
    backend()
    worker.answer = (503, {})
    purge_url_from_cache("https://a.example/x/")
    assert len(sent(worker)) == 1
    assert OutboxMessage.objects.get().status == "pending"
    worker.answer = (202, {"id": "job", "epoch": 7})
    OutboxMessage.objects.update(due_at=OutboxMessage.objects.get().created_at, claimed_until=None)
    assert len(sent(worker)) == 2
    assert OutboxMessage.objects.get().status == "delivered"


def test_what_is_no_url_is_sent_and_holds_up_no_other(worker, backend, caplog):
    backend()
    with caplog.at_level(logging.ERROR, "wagtail.frontendcache"):
        (made,) = get_backends().values()
        made.purge_batch(["/x/", "https://a.example/x/"])
        made.purge("/y/")
    assert "Couldn't purge '/x/' from the edge" in caplog.text
    (call,) = sent(worker)
    assert call["urls"] == ["https://a.example/x/"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"LOCATION": "http://localhost"}, "unknown option LOCATION"),
        ({"HARD": "yes"}, "HARD is True or False, not 'yes'"),
    ],
)
def test_wrong_options_are_sent(backend, options, words):
    backend(**options)
    with pytest.raises(ImproperlyConfigured, match=words):
        get_backends()


def test_nobody_to_send_is_sent(backend, edge):
    backend()
    edge(WORKER_URL="")
    with pytest.raises(ImproperlyConfigured, match="set WORKER_URL or TARGETS"):
        get_backends()
