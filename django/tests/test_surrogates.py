"""Tags for common cases."""

import pytest
from conftest import tags_of
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.test import RequestFactory
from shop.models import Category

import edge_isr
from edge_isr import (
    isr,
    surrogate_from_model,
    surrogate_from_path,
    surrogate_from_query_params,
    surrogate_from_user,
    surrogate_from_view,
    versioned,
)

pytestmark = pytest.mark.django_db


def test_path():
    request = RequestFactory().get("/products/b\u00fc/?page=2")
    assert surrogate_from_path(request) == surrogate_from_path("/products/b%C3%BC/")
    assert surrogate_from_path(request) == "path:/products/b%C3%BC/"


def test_model():
    category = Category.objects.create(pk=3, name="x", slug="x")
    assert surrogate_from_model(Category) == surrogate_from_model("shop.Category")
    assert surrogate_from_model("Category") == "shop.category"
    assert (
        surrogate_from_model("Category", 3) == surrogate_from_model(category) == ("shop.category:3")
    )
    with pytest.raises(LookupError, match="0 models are called Nothing"):
        surrogate_from_model("Nothing")


def test_view(site):
    assert surrogate_from_view("product-detail") == "view:product-detail"
    view = isr(tags=surrogate_from_view)(lambda request: HttpResponse("x"))
    (tag,) = tags_of(site(view).get("/page/"))
    assert tag.startswith("view:")


def test_user_shows_no_id():
    request = RequestFactory().get("/")
    assert surrogate_from_user(request) is None
    request.user = AnonymousUser()
    assert surrogate_from_user(request) is None
    request.user = get_user_model()(pk=123456)
    tag = surrogate_from_user(request)
    assert tag.startswith("user:") and "123456" not in tag
    assert tag == surrogate_from_user(request)


def test_query_parameters():
    request = RequestFactory().get("/?category=shoes&brand=a b&empty=&category=hats")
    assert surrogate_from_query_params(request) == [
        "param:category:shoes", "param:category:hats", "param:brand:a%20b",
    ]  # fmt: skip
    assert surrogate_from_query_params(request, ["brand"]) == ["param:brand:a%20b"]


def test_in_a_view(site):
    view = isr(tags=[surrogate_from_user, surrogate_from_query_params, "x"])(
        lambda request: HttpResponse("x")
    )
    assert tags_of(site(view).get("/page/?a=1")) == {"x", "param:a:1"}


def test_versioned_tags_and_their_invalidation(new_tags):
    assert versioned("products", timeout=5) == "products"
    assert edge_isr.invalidate_tag("products") == ["products"]
    assert edge_isr.invalidate_tags(["a", "b"]) == ["a", "b"]
    assert new_tags() == {"products", "a", "b"}
