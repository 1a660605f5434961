"""Threads that a view starts, and answers that load after their view, are the page's."""

import _thread
import asyncio
import concurrent.futures
import multiprocessing.pool
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from conftest import aget, is_public, tags_of, ttl_of
from django.db import connection
from django.http import HttpResponse
from django.template import engines
from django.template.response import SimpleTemplateResponse
from shop.models import Category, Review

from edge_isr import isr
from edge_isr.context import Recorder, recording
from edge_isr.tags import ANYTHING

pytestmark = pytest.mark.django_db


@pytest.fixture
def data(hats, shoes, fez, cap):
    Review.objects.create(pk=21, product=fez, text="good")


def names():
    return [category.name for category in Category.objects.all()]


def in_thread():
    thread = threading.Thread(target=names)
    thread.start()
    thread.join()


def in_bare_thread():
    done = threading.Event()
    _thread.start_new_thread(lambda: (load(), done.set()), ())
    assert done.wait(10)


class Loader(threading.Thread):
    def run(self):
        names()
        connection.close()


def in_subclass():
    thread = Loader()
    thread.start()
    thread.join()


shared = ThreadPoolExecutor(1)


def in_pool(method, *args):
    with multiprocessing.pool.ThreadPool(1) as pool:
        result = getattr(pool, method)(*args)
        list(result.get() if hasattr(result, "get") else result)


def load(*args):
    names()
    connection.close()
    return [1]


async def by_run_in_executor():
    await asyncio.get_running_loop().run_in_executor(None, load)


async def by_gather():
    await asyncio.gather(asyncio.to_thread(load), sync_to_async(load)())


async def by_task():
    await asyncio.create_task(sync_to_async(load)())


THREADS = {
    "Thread": in_thread,
    "a subclass": in_subclass,
    "a bare thread": in_bare_thread,
    "an executor": lambda: ThreadPoolExecutor(1).submit(load).result(),
    "an executor's map": lambda: list(ThreadPoolExecutor(2).map(load, [1, 2])),
    "a shared executor": lambda: shared.submit(load).result(),
    "ThreadPool.apply": lambda: in_pool("apply_async", load),
    "ThreadPool.map": lambda: in_pool("map", load, [1, 2]),
    "ThreadPool.starmap": lambda: in_pool("starmap_async", load, [(1,)]),
    "ThreadPool.imap": lambda: in_pool("imap_unordered", load, [1]),
    "run_in_executor": async_to_sync(by_run_in_executor),
    "gather": async_to_sync(by_gather),
    "task": async_to_sync(by_task),
    "a thread of a thread": lambda: ThreadPoolExecutor(1).submit(in_thread).result(),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", THREADS)
def test_threads(site, name):
    def view(request):
        THREADS[name]()
        return HttpResponse("x")

    response = site(isr(view)).get("/page/")
    assert is_public(response) and "shop.category:@" in tags_of(response)
    # A thread that is used again belongs to no page.
    plain = site(isr(auto_tags=False)(view)).get("/page/")
    assert tags_of(plain) == set()


@pytest.mark.django_db(transaction=True)
def test_a_thread_that_outlives_its_page():
    go, done = threading.Event(), threading.Event()
    recorder = Recorder()

    def late():
        go.wait(10)
        load()
        done.set()

    with recording(recorder):
        thread = threading.Thread(target=late)
        thread.start()
    recorder.close()
    go.set()
    assert done.wait(10)
    thread.join()
    assert recorder.named() == []


# Python 3.14.
APART = [ProcessPoolExecutor, getattr(concurrent.futures, "InterpreterPoolExecutor", None)]


@pytest.mark.parametrize("executor", filter(None, APART))
def test_other_processes_and_interpreters_are_named(site, executor):
    @isr(s_maxage=3600)
    def view(request):
        with executor(1) as pool:
            pool.submit(len, "x").result()
        return HttpResponse("x")

    response = site(view).get("/page/")
    assert ANYTHING in tags_of(response) and ttl_of(response) == 60


class Serialized(SimpleTemplateResponse):
    """As of a framework that serializes what a view returns."""

    @property
    def rendered_content(self):
        return ",".join(str(item) for item in self.context_data)


def test_a_queryset_that_is_serialized_after_the_view(site, data):
    """django-ninja's way: the view is inside of what makes the response."""

    @isr
    def inner(request):
        return Category.objects.all()

    def outer(request):
        return HttpResponse(",".join(c.name for c in inner(request)))

    response = site(outer).get("/page/")
    assert {"shop.category:@", "shop.category:1"} <= tags_of(response)


def test_a_response_that_renders_late(site, data):
    view = isr(lambda request: Serialized(None, Category.objects.all()))
    assert "shop.category:@" in tags_of(site(view).get("/page/"))


def test_a_template_response_whose_relations_load_late(site, data):
    template = engines["django"].from_string("{% for p in c.products.all %}{{ p }}{% endfor %}")

    @isr
    def inner(request):
        return Category.objects.get(pk=1)

    def outer(request):
        response = SimpleTemplateResponse(template, {"c": inner(request)})
        response.add_post_render_callback(lambda r: r.headers.setdefault("X-N", len(names())))
        return response

    assert tags_of(site(outer).get("/page/")) >= {
        "shop.category:1",
        "shop.product:category=1@",
        "shop.category:@",
    }


def test_late_answers_of_asynchronous_views(async_site, data):
    @isr
    async def inner(request):
        return Category.objects.all()

    async def outer(request):
        return HttpResponse(",".join([c.name async for c in await inner(request)]))

    assert "shop.category:@" in tags_of(aget(async_site(outer), "/page/"))


def test_a_page_that_is_not_cached_records_nothing(site, data):
    pages = []

    def view(request):
        pages.append(request.edge_isr)
        return HttpResponse(str(names()))

    site(view).get("/page/")
    assert pages[0].tags == []
