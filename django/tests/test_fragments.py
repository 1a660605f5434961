"""Fragments: in place, kept until their data changes, nested; and what must not be kept."""

import pytest
from conftest import is_public, tags_of
from django.core.cache import cache, caches
from django.db import transaction
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.template import TemplateSyntaxError, engines
from django.utils import translation
from shop.models import Category, Product

import edge_isr
from edge_isr import fragments, isr, isr_fragment
from edge_isr.fragments import GUARD, Fragment, aget_or_make
from edge_isr.tags import ANYTHING

pytestmark = pytest.mark.django_db(transaction=True)


class Counted:
    """A value that counts how often it is made."""

    def __init__(self, make=lambda: "value"):
        self.count = 0
        self._make = make

    def __call__(self, *args, **kwargs):
        self.count += 1
        return f"{self._make(*args, **kwargs)}#{self.count}"


def render(text, context=None, request=None):
    return engines["django"].from_string("{% load edge_isr %}" + text).render(context, request)


class TestValues:
    def test_is_made_once(self):
        make = Counted()
        for _ in range(3):
            assert Fragment("a").get_or_make(make) == "value#1"

    def test_by_name_and_vary(self):
        make = Counted()
        Fragment("ab", "c").get_or_make(make)
        Fragment("a", "bc").get_or_make(make)
        Fragment("a", "b", "c").get_or_make(make)
        assert make.count == 3

    def test_by_language(self, settings):
        make = Counted()
        for language in ("en", "de", "en"):
            with translation.override(language):
                Fragment("a").get_or_make(make)
        assert make.count == 2

    def test_many_rows_at_once_are_all_of_their_model(self, monkeypatch):
        """Each tag that is sent is a key in the cache."""
        rows = [Category(name=str(n), slug=str(n)) for n in range(fragments.MAX_INSTANCES + 1)]
        Category.objects.bulk_create(rows)
        rows = list(Category.objects.order_by("pk"))
        of_row = Counted(lambda: Category.objects.get(pk=rows[-1].pk).name)
        of_list = Counted(lambda: [row.name for row in Category.objects.all()])
        other = Counted(lambda: Product.objects.count())

        def ask():
            for make in (of_row, of_list, other):
                Fragment(str(id(make))).get_or_make(make)
            return of_row.count, of_list.count, other.count

        assert (ask(), ask()) == ((1, 1, 1), (1, 1, 1))
        written = []
        real = fragments.replace_versions
        monkeypatch.setattr(
            fragments,
            "replace_versions",
            lambda alias, tags: written.append(set(tags)) or real(alias, tags),
        )
        with transaction.atomic():
            for row in rows:
                row.name += "!"
                row.save()
        assert written == [{"shop.category", "shop.category:*", ANYTHING}]
        assert ask() == (2, 2, 1)

    def test_tags_invalidate(self):
        make = Counted()
        Fragment("a", tags=["posts"]).get_or_make(make)
        edge_isr.revalidate_by_tags("other")
        Fragment("a", tags=["posts"]).get_or_make(make)
        assert make.count == 1
        edge_isr.revalidate_by_tags("posts")
        Fragment("a", tags=["posts"]).get_or_make(make)
        assert make.count == 2

    def test_what_it_loads_invalidates(self, hats):
        make = Counted(lambda: Category.objects.get(pk=hats.pk).name)
        fragment = Fragment("a")
        assert fragment.get_or_make(make) == "Hats#1"
        hats.name = "Caps"
        hats.save()
        assert fragment.get_or_make(make) == "Caps#2"
        Category.objects.update(name="Fezzes")
        assert fragment.get_or_make(make) == "Fezzes#3"

    def test_only_after_the_commit(self, hats):
        fragment, make = Fragment("a", tags=["x"]), Counted()
        fragment.get_or_make(make)
        with transaction.atomic():
            edge_isr.revalidate_by_tags("x")
            assert fragment.get_or_make(make) == "value#1"
        assert fragment.get_or_make(make) == "value#2"
        with pytest.raises(RuntimeError), transaction.atomic():
            edge_isr.revalidate_by_tags("x")
            raise RuntimeError
        assert fragment.get_or_make(make) == "value#2"

    def test_everything(self):
        fragment, make = Fragment("a"), Counted()
        for revalidate in (
            edge_isr.revalidate_all,
            lambda: edge_isr.revalidate_by_urls("https://a.example/"),
        ):
            fragment.get_or_make(make)
            before = make.count
            revalidate()
            fragment.get_or_make(make)
            assert make.count == before + 1

    def test_a_change_while_it_is_made(self, hats):
        """It was made of old data, and the change came first: it must not be kept."""

        def make():
            name = Category.objects.get(pk=hats.pk).name
            Category.objects.filter(pk=hats.pk).update(name="New")
            return name

        assert Fragment("a").get_or_make(make) == "Hats"
        assert Fragment("a").get_or_make(lambda: Category.objects.get(pk=hats.pk).name) == "New"

    def test_a_change_between_reading_the_versions_and_keeping(self, monkeypatch):
        fragment = Fragment("a", tags=["x"])
        ensure = fragment._ensure

        def ensure_and_change(key):
            version = ensure(key)
            if key != GUARD:
                edge_isr.revalidate_by_tags("x")
            return version

        monkeypatch.setattr(fragment, "_ensure", ensure_and_change)
        fragment.get_or_make(lambda: "old")
        assert Fragment("a", tags=["x"]).get_or_make(lambda: "new") == "new"

    def test_a_version_that_the_cache_dropped_never_comes_back(self):
        make = Counted()
        Fragment("a", tags=["x"]).get_or_make(make)
        for key in list(cache._cache):
            if ":edge_isr:tag:" in key:
                cache.delete(key.split(":", 2)[2])
        assert Fragment("a", tags=["x"]).get_or_make(make) == "value#2"
        assert Fragment("a", tags=["x"]).get_or_make(make) == "value#2"

    def test_none_and_other_values(self):
        for value in (None, 0, "", {"a": [1]}, b"x"):
            fragment = Fragment("value", repr(value))
            assert fragment.get_or_make(lambda value=value: value) == value
            assert fragment.get_or_make(lambda: "made again") == value

    def test_an_error_is_not_kept(self):
        with pytest.raises(ZeroDivisionError):
            Fragment("a").get_or_make(lambda: 1 / 0)
        assert Fragment("a").get_or_make(lambda: 1) == 1

    def test_its_lifetime(self, monkeypatch):
        seen = {}
        monkeypatch.setattr(
            type(caches["default"]), "set",
            lambda self, key, value, timeout=None, **kw: seen.update({key.split(":")[1]: timeout}),
        )  # fmt: skip
        monkeypatch.setattr(
            type(caches["default"]), "get", lambda self, key, *a, **kw: "same" if "guard" in key
            else None if "fragment" in key else "version",
        )  # fmt: skip
        Fragment("a", ttl=7).get_or_make(lambda: 1)
        assert seen["fragment"] == 7

    def test_many_instances_are_known_by_their_model(self, hats):
        Product.objects.bulk_create(
            Product(name=str(n), slug=str(n), category=hats) for n in range(150)
        )
        recorder = edge_isr.context.Recorder()
        with edge_isr.context.recording(recorder):
            Fragment("a").get_or_make(lambda: len(list(Product.objects.all())))
        assert recorder.named() == ["shop.product"]

    def test_a_broken_cache_does_not_keep_the_edge_from_hearing(
        self, monkeypatch, caplog, new_tags
    ):
        monkeypatch.setattr(type(caches["default"]), "set", lambda *a, **k: 1 / 0)
        edge_isr.revalidate_by_tags("x")
        assert new_tags() == {"x"}
        assert "could not be invalidated" in caplog.text

    def test_a_cache_of_each_process_is_warned_of_once(self, caplog):
        fragments._warn_of_private_cache.cache_clear()
        Fragment("a")
        Fragment("b")
        assert caplog.text.count("each process's own memory") == 1

    def test_asynchronously(self):
        from asgiref.sync import async_to_sync

        assert async_to_sync(aget_or_make)(Fragment("a"), lambda: 5) == 5


class TestFunctions:
    def test_by_arguments(self, hats):
        make = Counted(lambda category, size=1: category.name)
        card = isr_fragment("card", tags=lambda category, size=1: f"size:{size}", ttl=60)(make)
        assert card(hats) == card(hats) == "Hats#1"
        assert card(hats, size=2) == "Hats#2"
        edge_isr.revalidate_by_tags("size:2")
        assert card(hats) == "Hats#1" and card(hats, size=2) == "Hats#3"

    def test_an_instance_is_one_of_the_arguments(self, hats):
        @isr_fragment(s_maxage=60, swr=5)
        def card(category):
            return Category.objects.get(pk=category.pk).name

        assert card(hats) == "Hats"
        Category.objects.update(name="Caps")
        assert card(hats) == "Caps"

    def test_vary(self):
        make = Counted(lambda a, b: a)
        function = isr_fragment("f", vary=lambda a, b: [a])(make)
        assert function(1, 2) == function(1, 3) == "1#1"

    def test_wrong_arguments(self):
        with pytest.raises(TypeError, match="takes no timeout"):
            isr_fragment("a", timeout=3)

        async def coroutine():
            pass

        with pytest.raises(TypeError, match="not coroutines"):
            isr_fragment("a")(coroutine)


class TestTemplates:
    def test_in_place(self, hats):
        make = Counted()
        text = "a{% edge_fragment 'box' 'promo' ttl=60 %}[{{ make }}]{% endedge_fragment %}b"
        assert render(text, {"make": make}) == render(text, {"make": make}) == "a[value#1]b"
        edge_isr.revalidate_by_tags("promo")
        assert render(text, {"make": make}) == "a[value#2]b"

    def test_tags_of_every_form_and_vary(self, hats):
        make = Counted()
        text = (
            "{% edge_fragment name category more 'a b' vary=key %}{{ make }}{% endedge_fragment %}"
        )
        context = {"make": make, "name": "n", "category": hats, "more": ["c", hats], "key": [1, 2]}
        render(text, context)
        for tag in ("a", "b", "c", f"shop.category:{hats.pk}"):
            before = make.count
            render(text, context)
            assert make.count == before
            edge_isr.revalidate_by_tags(tag)
            render(text, context)
            assert make.count == before + 1, tag
        render(text, {**context, "key": [1, 3]})
        assert make.count == before + 2

    def test_safe_text_is_not_escaped_twice(self):
        text = "{% edge_fragment 'x' %}<b>{{ a }}</b>{% endedge_fragment %}"
        assert render(text, {"a": "<"}) == render(text, {"a": "<"}) == "<b>&lt;</b>"

    def test_nested_fragments_tag_what_is_around_them(self, hats):
        outer, inner = Counted(), Counted()
        text = (
            "{% edge_fragment 'outer' 'o' %}{{ outer }}{% edge_fragment 'inner' 'i' %}{{ inner }}"
            "{% for c in categories %}{{ c }}{% endfor %}{% endedge_fragment %}"
            "{% endedge_fragment %}"
        )
        context = {"outer": outer, "inner": inner, "categories": Category.objects.all()}
        assert render(text, context) == "value#1value#1Hats"
        edge_isr.revalidate_by_tags("o")
        assert render(text, context) == "value#2value#1Hats"
        edge_isr.revalidate_by_tags("i")
        assert render(text, context) == "value#3value#2Hats"
        hats.name = "Caps"
        hats.save()
        context["categories"] = Category.objects.all()
        assert render(text, context) == "value#4value#3Caps"

    @pytest.mark.parametrize(
        "wrong",
        [
            "{% edge_fragment %}{% endedge_fragment %}",
            "{% edge_fragment 'a' timeout=3 %}{% endedge_fragment %}",
            "{% edge_fragment ttl=3 %}{% endedge_fragment %}",
            "{% edge_fragment 'a' ttl='soon' %}{% endedge_fragment %}",
            "{% edge_fragment 'a' %}",
        ],
    )
    def test_wrong_tags(self, wrong):
        with pytest.raises(TemplateSyntaxError):
            render(wrong)


class TestPages:
    def page(self, text, **more):
        def view(request):
            return HttpResponse(render(text, more, request))

        return isr(view)

    def test_a_fragment_tags_its_page_made_or_not(self, site, hats):
        text = (
            "{% edge_fragment 'box' 'promo' %}{% for c in categories %}{{ c }}{% endfor %}"
            "{% endedge_fragment %}"
        )
        client = site(self.page(text, categories=Category.objects.all()))
        wanted = {"promo", "shop.category:@", f"shop.category:{hats.pk}"}
        assert tags_of(client.get("/page/")) == wanted
        client = site(self.page(text, categories=None))
        response = client.get("/page/")
        assert b"Hats" in response.content and tags_of(response) == wanted

    def test_without_automatic_tags_named_ones_count(self, site, edge):
        edge(AUTO_TAGS=False)
        text = (
            "{% edge_fragment 'box' 'promo' %}{% edge_tags 'inside' %}x{% endedge_fragment %}"
            "{% edge_tags 'outside' %}"
        )
        for _ in range(2):
            response = site(self.page(text)).get("/page/")
            assert tags_of(response) == {"promo", "inside", "outside"}

    def test_on_a_page_that_is_not_cached(self, site):
        make = Counted()
        text = "{% edge_fragment 'box' %}{{ make }}{% endedge_fragment %}"

        def view(request):
            return HttpResponse(render(text, {"make": make}, request))

        client = site(view)
        assert client.get("/page/").content == client.get("/page/").content
        client.post("/page/")
        assert make.count == 2

    def test_a_csrf_token_is_for_one_visitor(self, site):
        text = (
            "{% edge_fragment 'form' %}{{ request.method }}{% csrf_token %}{% endedge_fragment %}"
        )

        def view(request):
            if "before" in request.GET:
                get_token(request)
            return HttpResponse(render(text, {}, request))

        client = site(isr(view))
        for url in ("/page/", "/page/?before=1"):
            first, second = client.get(url), client.get(url)
            assert first.content != second.content, "each has a mask of its own"
            assert not is_public(first)
