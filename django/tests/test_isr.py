"""`@isr` on every kind of view, its tags, and their limits."""

import logging

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction
from conftest import aget, is_public, tags_of
from django.http import HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.utils.decorators import method_decorator
from django.views.generic import ListView, TemplateView, View
from shop.models import Category, Product

from edge_isr import TagError, add_tags, isr, tag
from edge_isr.tags import ANYTHING, clean, coarse, path_tag, with_coarse, within_limits

pytestmark = pytest.mark.django_db


def test_the_drop_in_example(site):
    @isr(tags=lambda req, pk: [tag("post", pk)], s_maxage=120, swr=600)
    def post_detail(request, pk):
        request.edge_isr.add_tags([tag("category", 7)])
        return HttpResponse("post")

    response = site(post_detail).get("/page/42/")
    assert tags_of(response) == {"post:42", "category:7"}
    assert response["CDN-Cache-Control"] == (
        "max-age=120, stale-while-revalidate=600, stale-if-error=86400"
    )


def test_defaults_by_the_names_of_django_edge_isr(site, edge):
    edge(DEFAULTS={"s_maxage": 30, "stale_while_revalidate": 60})
    response = site(isr(lambda request: HttpResponse("page"))).get("/page/")
    assert response["CDN-Cache-Control"].startswith("max-age=30, stale-while-revalidate=60")


def test_an_asynchronous_view(async_site):
    @isr(tags="t")
    async def view(request):
        request.edge_isr.add_tags("more")
        return HttpResponse("page")

    assert iscoroutinefunction(view)
    response = aget(async_site(view), "/page/")
    assert is_public(response) and tags_of(response) == {"t", "more"}


def test_an_asynchronous_stream(async_site):
    async def chunks():
        yield b"a"
        yield b"b"

    async def ask():
        view = isr(tags="t")(lambda request: StreamingHttpResponse(chunks()))
        response = await async_site(view).get("/page/")
        return response, b"".join([chunk async for chunk in response])

    response, body = async_to_sync(ask)()
    assert is_public(response) and body == b"ab"


@isr(tags="cls")
class Decorated(View):
    def get(self, request):
        return HttpResponse("page")


@method_decorator(isr(tags="dispatch"), name="dispatch")
class ByMethod(View):
    def get(self, request):
        return HttpResponse("page")


@isr(tags="async-cls")
class Async(View):
    async def get(self, request):
        return HttpResponse("page")


@method_decorator(isr(tags="async-dispatch"), name="dispatch")
class AsyncByMethod(View):
    async def get(self, request):
        return HttpResponse("page")


class Child(Decorated):
    pass


@pytest.mark.parametrize(
    ("view", "wanted"),
    [
        (Decorated.as_view(), "cls"),
        (Child.as_view(), "cls"),
        (ByMethod.as_view(), "dispatch"),
        (Async.as_view(), "async-cls"),
        (AsyncByMethod.as_view(), "async-dispatch"),
        (isr(tags="on-function")(TemplateView.as_view(template_name="shop/list.html")), None),
    ],
)
def test_class_based_views(site, view, wanted):
    response = site(view).get("/page/")
    assert is_public(response)
    assert tags_of(response) == {wanted or "on-function"}


def test_a_lazily_rendered_template_is_recorded(site):
    category = Category.objects.create(name="Hats", slug="hats")
    template = engines["django"].from_string("{% for c in categories %}{{ c }}{% endfor %}")

    @isr
    def view(request):
        return TemplateResponse(request, template, {"categories": Category.objects.all()})

    response = site(view).get("/page/")
    assert response.content == b"Hats"
    assert tags_of(response) == {"shop.category:@", f"shop.category:{category.pk}"}
    assert "render" not in vars(response)


def test_a_list_view(site):
    category = Category.objects.create(name="Hats", slug="hats")
    view = isr(
        ListView.as_view(
            model=Category,
            template_name="shop/list.html",
            queryset=Category.objects.filter(name__gt=""),
        )
    )
    response = site(view).get("/page/")
    assert tags_of(response) <= {
        "shop.category:@",
        "shop.category:@name",
        f"shop.category:{category.pk}",
    }
    assert is_public(response)


@pytest.mark.parametrize(
    "tags",
    [
        "a",
        ["a"],
        lambda request: "a",
        lambda request, **kwargs: ["a"],
        [lambda request: "a"],
        [lambda request: ["a", None], None],
        lambda request: (name for name in ["a"]),
        [lambda request: {"a"}],
    ],
)
def test_tags_in_every_form(site, tags):
    assert tags_of(site(isr(tags=tags)(lambda r: HttpResponse("x"))).get("/page/")) == {"a"}


def test_tags_of_no_argument_are_sent_by_functions_of_the_request_alone(site):
    view = isr(tags=[lambda request: f"method:{request.method}"])(lambda r, pk: HttpResponse("x"))
    assert tags_of(site(view).get("/page/3/")) == {"method:GET"}


def test_failing_tags_are_not_cached(site, caplog):
    view = isr(tags=lambda request: 1 / 0)(lambda r: HttpResponse("x"))
    response = site(view).get("/page/")
    assert response.status_code == 200 and not is_public(response)
    assert "could not be determined" in caplog.text


def test_a_lifetime_by_the_response(site):
    view = isr(s_maxage=lambda response: len(response.content))(lambda r: HttpResponse("12345"))
    assert site(view).get("/page/")["CDN-Cache-Control"].startswith("max-age=5,")


def test_an_unknown_argument_is_named():
    with pytest.raises(TypeError, match=r"isr\(swrr: unknown; known are s_maxage, swr"):
        isr(swrr=3)
    with pytest.raises(TypeError, match="swr: expected a whole number of seconds"):
        isr(swr="3")


def test_parameters_that_do_not_count_do_not_reach_the_view(site):
    seen = []
    view = isr(query=["page"])(lambda r: seen.append(r.GET.urlencode()) or HttpResponse("x"))
    client = site(view)
    client.get("/page/?utm_source=x&page=2&page=3&q=1")
    client.get("/page/?page=2")
    assert seen == ["page=2&page=3", "page=2"]


def test_every_page_has_its_paths_tag(site, edge):
    client = site(isr(lambda r: HttpResponse("x")))
    assert client.get("/page/?a=1")["X-Edge-ISR-Tags"] == "path:/page/"
    edge(PATH_TAGS=False)
    assert "X-Edge-ISR-Tags" not in client.get("/page/")


def test_add_tags_from_anywhere(site):
    def view(request):
        add_tags("deep")
        return HttpResponse("x")

    assert tags_of(site(isr(view)).get("/page/")) == {"deep"}
    assert tags_of(site(isr(auto_tags=False)(view)).get("/page/")) == {"deep"}
    add_tags("outside of a page")


class TestTags:
    def test_of_what(self):
        category = Category.objects.create(name="Hats", slug="hats")
        assert tag("post", 42) == "post:42"
        assert tag("posts") == "posts"
        assert tag(category) == f"shop.category:{category.pk}"
        assert tag(Category) == "shop.category"

    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("plain:1", "plain:1"),
            ("category:Bücher & mehr", "category:B%C3%BCcher%20&%20mehr"),
            ("a,b", "a%2Cb"),
            ("tab\tline\n", "tab%09line"),
            ("100%", "100%"),
            (clean("a b"), "a%20b"),
        ],
    )
    def test_every_text_has_one_form(self, text, wanted):
        assert clean(text) == wanted

    def test_an_empty_tag_is_an_error(self):
        with pytest.raises(TagError, match="empty"):
            clean("  ")

    def test_too_long_is_an_error_with_debug(self, settings):
        settings.DEBUG = True
        with pytest.raises(TagError, match="1026 bytes; the limit is 1024"):
            clean("a" * 1026)

    def test_too_long_is_merged_in_production(self, caplog):
        assert clean("post:" + "a" * 2000) == "post:*"
        assert clean("a" * 2000) == clean("a" * 2000) != clean("a" * 2001)
        assert "too long and was merged into post:*" in caplog.text

    def test_coarser_tags(self):
        assert coarse("post:42") == "post:*"
        assert coarse("shop.product:42") == "shop.product"
        assert coarse("posts") is None and coarse("post:*") is None
        assert with_coarse({"post:1", "post:2", "path:/x/"}) == {
            "post:1", "post:2", "post:*", "path:/x/",
        }  # fmt: skip
        assert with_coarse({"shop.product:1"}) == {"shop.product:1", "shop.product", ANYTHING}

    def test_the_path_of_a_page_in_any_spelling(self):
        assert path_tag("/b%C3%BCcher/?a=1#x") == path_tag("/bücher/") == "path:/b%C3%BCcher/"
        assert path_tag("https://example.net/a,b") == "path:/a%2Cb"
        assert len(path_tag("/" + "x" * 5000)) < 100


class TestLimits:
    def test_too_many_tags_merge_the_largest_group(self, caplog):
        tags = [f"post:{n}" for n in range(50)] + ["author:1", "posts"]
        assert within_limits(tags, 10, 16_000) == ["post:*", "author:1", "posts"]
        assert "50 of them were merged into post:*" in caplog.text

    def test_too_many_bytes_are_merged_too(self):
        assert within_limits([f"post:{n:0100}" for n in range(50)] + ["a:1"], 1000, 300) == [
            "post:*",
            "a:1",
        ]

    def test_what_can_not_be_merged_enough_is_not_cached(self, site, edge, caplog):
        edge(MAX_TAGS=3)
        view = isr(tags=["a", "b", "c", "d"])(lambda r: HttpResponse("x"))
        assert not is_public(site(view).get("/page/"))
        assert "exceed the limits" in caplog.text

    def test_a_page_of_very_many_instances_carries_the_model(self, site, edge, caplog):
        edge(MAX_TAGS=20)
        category = Category.objects.create(name="Hats", slug="hats")
        Product.objects.bulk_create(
            Product(name=str(n), slug=str(n), category=category) for n in range(50)
        )
        view = isr(lambda r: HttpResponse(", ".join(p.name for p in Product.objects.all())))
        with caplog.at_level(logging.WARNING):
            response = site(view).get("/page/")
        assert is_public(response) and tags_of(response) == {"shop.product"}

    def test_too_many_are_an_error_with_debug(self, site, edge, settings):
        settings.DEBUG = True
        edge(MAX_TAGS=3)
        view = isr(tags=["a:1", "a:2", "a:3", "a:4"])(lambda r: HttpResponse("x"))
        response = site(view).get("/page/")
        assert response.status_code == 500 and b"the limits are 3 tags" in response.content
