"""Views whose data comes late, from elsewhere, or out of a cache."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import django
from asgiref.sync import sync_to_async
from django.core.cache import cache
from django.db import connection
from django.db.models import prefetch_related_objects
from django.http import HttpResponse, JsonResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.utils.functional import SimpleLazyObject, cached_property
from django.views.generic import DetailView, ListView

from .registry import view
from .store.models import Author, Category, Label, Product, Shelf


def labels():
    return [label.name for label in Label.objects.order_by("pk")]


def shelves():
    return [shelf.name for shelf in Shelf.objects.order_by("pk")]


def one_product():
    return Product.objects.get(slug="boot").name


def cached(name, load, put_in=None):
    """A view whose data comes out of the cache when the page is rendered again."""

    key = "oracle:" + name.replace(" ", "-")

    find = put_in or (lambda: cache.get_or_set(key, load))
    view(f"cache: {name}", find, truth=load, twice=True)


def add_caches():
    cached("get_or_set of a list", lambda: list(Product.objects.order_by("pk")))
    cached("get_or_set of a queryset", lambda: Label.objects.order_by("pk"))
    cached("get_or_set of an instance", lambda: Author.objects.get(pk=1))
    cached("get_or_set of a count", lambda: Shelf.objects.count())
    cached("get_or_set of a text", lambda: ", ".join(labels()))
    cached("set and get", labels, lambda: _set_and_get())
    cached("set_many and get_many", labels, lambda: _set_many())
    cached("two values, one set", lambda: [labels(), shelves()], lambda: _two())
    cached("a template's fragment", lambda: str(labels()), lambda: _fragment())
    view("cache: aget", _aget, truth=labels, is_async=True, twice=True)
    view("cache: site", _site, truth=lambda: _site(clear=True), twice=True)


def _set_and_get():
    found = cache.get("oracle:sg")
    if found is None:
        found = labels()
        cache.set("oracle:sg", found, 300)
    return found


def _set_many():
    found = cache.get_many(["oracle:m1"])
    if not found:
        found = {"oracle:m1": labels()}
        cache.set_many(found)
    return found["oracle:m1"]


def _two():
    found = cache.get("oracle:two")
    if found is None:
        found = [labels(), shelves()]
        cache.set("oracle:two", found)
    return found


FRAGMENT = (
    "{% load cache %}{% cache 300 oracle %}"
    "{% for l in labels %}{{ l.name }}{% endfor %}{% endcache %}"
)


def _fragment():
    return engines["django"].from_string(FRAGMENT).render({"labels": Label.objects.order_by("pk")})


async def _aget():
    found = await cache.aget("oracle:a")
    if found is None:
        found = await sync_to_async(labels)()
        await cache.aset("oracle:a", found)
    return found


def _site(clear=False):
    from django.contrib.sites.models import Site

    if clear:
        Site.objects.clear_cache()
    else:
        Site.objects.get_current()
    return Site.objects.get_current().name


def _thread(target):
    found = []

    def run():
        try:
            found.append(target())
        finally:
            connection.close()

    return Thread(target=run), found


def _in_thread(load):
    thread, found = _thread(load)
    thread.start()
    thread.join()
    return found[0]


def _closing(load):
    def run():
        try:
            return load()
        finally:
            connection.close()

    return run


def _in_executor():
    with ThreadPoolExecutor(1) as pool:
        return [pool.submit(_closing(labels)).result(), *pool.map(
            lambda f: f(), [_closing(shelves)])]  # fmt: skip


async def _gathered():
    return await asyncio.gather(sync_to_async(labels)(), sync_to_async(shelves)())


async def _task():
    async def load():
        return [label.name async for label in Label.objects.order_by("pk")]

    return await asyncio.create_task(load())


async def _run_in_executor():
    return await asyncio.get_running_loop().run_in_executor(None, _closing(labels))


async def _to_thread():
    return await asyncio.to_thread(_closing(labels))


async def _not_thread_sensitive():
    return await sync_to_async(_closing(labels), thread_sensitive=False)()


async def _aprefetch():
    from django.db.models import aprefetch_related_objects

    rows = [row async for row in Product.objects.order_by("pk")]
    await aprefetch_related_objects(rows, "labels")
    return [sorted(label.name for label in row.labels.all()) for row in rows]


def _prefetch_now():
    rows = list(Product.objects.order_by("pk"))
    prefetch_related_objects(rows, "labels")
    return [sorted(label.name for label in row.labels.all()) for row in rows]


async def _arefresh():
    author = Author(pk=1)
    await author.arefresh_from_db()
    return author.name


def add_threads():
    two = lambda: [labels(), shelves()]  # noqa: E731
    view("thread", lambda: _in_thread(labels), truth=labels)
    view("thread pool", _in_executor, truth=two)
    view("gather", _gathered, truth=two, is_async=True)
    view("task", _task, truth=labels, is_async=True)
    view("run_in_executor", _run_in_executor, truth=labels, is_async=True)
    view("to_thread", _to_thread, truth=labels, is_async=True)
    view("not thread-sensitive", _not_thread_sensitive, truth=labels, is_async=True)
    if django.VERSION >= (5, 0):
        view("aprefetch_related_objects", _aprefetch, truth=_prefetch_now, is_async=True)
    view("arefresh_from_db", _arefresh, truth=lambda: Author.objects.get(pk=1).name,
         is_async=True)  # fmt: skip


class Labels(ListView):
    queryset = Label.objects.order_by("pk")
    template_name = "oracle"

    def render_to_response(self, context, **kwargs):
        return HttpResponse(str([o.name for o in context["object_list"]]))


class LazyList(ListView):
    model = Label
    ordering = "pk"


class OneProduct(DetailView):
    model = Product
    slug_field = "slug"

    def get_object(self, queryset=None):
        self.kwargs = {"slug": "boot"}
        return super().get_object(queryset)

    def render_to_response(self, context, **kwargs):
        return HttpResponse(context["object"].name)


class Shop:
    @cached_property
    def names(self):
        return labels()


def _template_response(request):
    return TemplateResponse(
        request, engines["django"].from_string("{% for l in labels %}{{ l.name }}{% endfor %}"),
        {"labels": Label.objects.order_by("pk")},
    )  # fmt: skip


def _nested_lazy(request):
    response = HttpResponse()
    response._container = [b""]
    return TemplateResponse(
        request, engines["django"].from_string("{{ names }}"), {"names": SimpleLazyObject(labels)}
    )


def _iterator_body(request):
    return HttpResponse(f"{label.name} " for label in Label.objects.order_by("pk").iterator())


def _json(request):
    return JsonResponse({"labels": list(Label.objects.order_by("pk").values())})


def add_late():
    def late(name, respond, truth=labels):
        view(f"answer: {name}", truth, respond=respond)

    late("ListView", Labels.as_view())
    late("DetailView", OneProduct.as_view(), one_product)
    late("template response", _template_response)
    late("lazy object in a template", _nested_lazy)
    late("body from an iterator", _iterator_body)
    late("JSON", _json)
    view("cached property", lambda: Shop().names)
    view("lazy object", lambda: str(SimpleLazyObject(labels)))
    view("generator", lambda: [*(c.name for c in Category.objects.iterator())])
