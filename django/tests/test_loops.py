"""Pages that change data while they are rendered: nobody renders them again for that, for ever."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from django.db import connections
from django.db.models import F
from django.http import HttpResponse
from django.utils import timezone
from shop.models import Banner, Product

import edge_isr
from edge_isr import isr, loops
from edge_isr.conf import get_settings
from edge_isr.delivery.outbox import Deliverer
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)


def count(request, pk=11):
    Product.objects.filter(pk=pk).update(price=F("price") + 1)
    return HttpResponse(str(Product.objects.get(pk=pk).price))


def save(request):
    product = Product.objects.get(pk=11)
    product.price += 1
    product.save()
    return HttpResponse("x")


def by_cursor(request):
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("UPDATE shop_product SET price = price + 1")
    return HttpResponse("x")


def by_hand(request):
    edge_isr.revalidate_by_tags("shop.product:11")
    return HttpResponse("x")


def in_a_fragment(request):
    edge_isr.isr_fragment("counter", ttl=0)(lambda: save(request) and "x")()
    return HttpResponse("x")


async def asynchronous(request):
    await Product.objects.filter(pk=11).aupdate(price=F("price") + 1)
    return HttpResponse("x")


@pytest.fixture
def messages(fez):
    def ask():
        rows = list(OutboxMessage.objects.order_by("pk"))
        OutboxMessage.objects.all().delete()
        return rows

    ask()
    return ask


WAYS = [count, save, by_cursor, by_hand, in_a_fragment, asynchronous]


def by_a_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    return thread.join


def by_an_executor(work):
    executor = ThreadPoolExecutor(1)
    executor.submit(work)
    return executor.shutdown


@pytest.mark.parametrize("start", [by_a_thread, by_an_executor])
@pytest.mark.parametrize("seconds", [0, 61])
def test_what_a_page_leaves_to_a_thread(start, seconds, site, messages, monkeypatch):
    """It counts when the page is there already; but not for ever."""
    finished, ends = threading.Event(), []

    def late():
        finished.wait(10)
        Product.objects.filter(pk=11).update(price=F("price") + 1)
        connections.close_all()

    def view(request):
        ends.append(start(late))
        return HttpResponse("x")

    site(isr(view)).get("/page/")
    later = time.monotonic() + seconds
    clock = SimpleNamespace(monotonic=lambda: later, time=time.time)
    monkeypatch.setattr(loops, "time", clock)
    finished.set()
    ends.pop()()
    assert [row.payload["warm"] for row in messages()] == [seconds > 60]


@pytest.mark.parametrize("view", WAYS, ids=lambda view: view.__name__)
def test_what_a_page_changes_is_sent_and_not_refetched_for(view, site, messages):
    site(isr()(view)).get("/page/")
    (row,) = messages()
    assert "shop.product:11" in row.payload["tags"] or "shop.product:*" in row.payload["tags"]
    assert row.payload["warm"] is False


def test_what_a_rule_caches(edge, site, messages):
    edge(RULES=[{"path": "^/page/"}])
    site(count).get("/page/")
    assert messages()[0].payload["warm"] is False


@pytest.mark.parametrize("policy", [isr(), lambda view: view], ids=["cached", "not cached"])
def test_other_changes_are_refetched_for(policy, site, messages):
    client = site(policy(count))
    client.post("/page/")
    assert messages()[0].payload["warm"] is True
    site(count).get("/page/")
    assert messages()[0].payload["warm"] is True


def test_who_asks_for_a_refetch_gets_it(site, messages):
    def view(request):
        edge_isr.revalidate_by_tags("x", warm=True)
        return HttpResponse("x")

    site(isr()(view)).get("/page/")
    assert messages()[0].payload["warm"] is True


@pytest.mark.parametrize("outbox", [True, False])
def test_a_view_that_goes_on_is_named_and_sent_once_a_minute(
    outbox, edge, site, fez, worker, caplog, monkeypatch
):
    edge(OUTBOX=outbox, REQUEST_WAIT=2)
    # A minute that does not end while the test runs.
    minute = (int(time.time()) // 60 + 1) * 60
    clock = SimpleNamespace(time=lambda: minute, monotonic=time.monotonic)
    monkeypatch.setattr(loops, "time", clock)
    client = site(isr()(count))
    Deliverer().round("default", get_settings())
    worker.calls.clear()
    for _ in range(5):
        client.get("/page/")
        if outbox:
            Deliverer().round("default", get_settings())
    assert len(worker.calls) == 5 and "the view" not in caplog.text
    for _ in range(20):
        client.get("/page/")
        if outbox:
            Deliverer().round("default", get_settings())
    assert len(worker.calls) == 5
    (line,) = [r.getMessage() for r in caplog.records if "the view" in r.getMessage()]
    assert "test_loops.count" in line and "shop.product:11" in line and "ignore_fields" in line
    if outbox:
        waiting = OutboxMessage.objects.filter(status="pending")
        assert waiting.count() == 20
        due = waiting.latest("due_at").due_at
        assert due.timestamp() == minute + 60
        waiting.update(due_at=timezone.now())
        Deliverer().round("default", get_settings())
        assert len(worker.calls) == 6


def test_another_view_is_sent_at_once(site, messages):
    client = site(isr()(count))
    for _ in range(10):
        client.get("/page/")
    messages()
    site(isr()(save)).get("/page/")
    (row,) = messages()
    assert row.due_at <= timezone.now()


def test_fields_that_no_page_shows(site, messages, hats):
    edge_isr.register(Product, ignore_fields=["price"])
    site(isr()(count)).get("/page/")
    product = Product.objects.get(pk=11)
    product.save(update_fields=["price"])
    Product.objects.bulk_update([product], ["price"])
    product.price = 77
    product.save()
    assert messages() == []
    Product.objects.update(price=1, name="x")
    product.save(update_fields=["price", "name"])
    product.name = "y"
    product.save()
    assert len(messages()) == 3
    with pytest.raises(Exception, match="prize"):
        edge_isr.register(Product, ignore_fields=["prize"])


def test_the_time_of_a_log_in(messages, django_user_model):
    user = django_user_model.objects.create_user("ada")
    messages()
    django_user_model.objects.filter(pk=user.pk).update(last_login=timezone.now())
    assert messages() == []


def test_silence(site, messages):
    def view(request):
        with edge_isr.silence():
            Banner.objects.create(text="searched for")
        return HttpResponse("x")

    site(isr()(view)).get("/page/")
    assert messages() == []
