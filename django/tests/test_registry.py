"""What registered models say of their changes, as they are and as they were."""

import pytest
from shop.models import Category, Cheap, Premium, Product, Quiet

import edge_isr

pytestmark = pytest.mark.django_db

FEZ = {"shop.product", "shop.product:11"}


def test_tags_and_paths(new_tags, written, hats):
    edge_isr.register(
        Category, tags=lambda c: [f"category:{c.slug}", None],
        dependent_paths=lambda c: ["/", f"/c/{c.slug}/"],
    )  # fmt: skip
    new_tags()
    hats.save()
    row = written()[-1]
    assert "category:hats" in row.payload["tags"]
    assert row.payload["paths"] == ["/", "/c/hats/"]


def test_constant_tags(new_tags, hats):
    edge_isr.register(Category, tags=["nav", "footer"])
    new_tags()
    hats.name = "Caps"
    hats.save()
    assert new_tags() == {"nav", "footer", "shop.category", "shop.category:1"}


def test_old_and_new_values(new_tags, fez, shoes):
    edge_isr.register(
        Product, fields=["slug", "category"],
        tags=lambda p: [f"p:{p.slug}", f"c:{p.category_id}"],
    )  # fmt: skip
    new_tags()
    fez.slug, fez.category = "tarboosh", shoes
    fez.save()
    assert new_tags() == {*FEZ, "p:fez", "p:tarboosh", "c:1", "c:2"}


def test_other_fields_do_not_bring_up_the_old_row(new_tags, fez, django_assert_num_queries):
    edge_isr.register(Product, fields=["slug"], tags=lambda p: [f"p:{p.slug}:{p.price}"])
    new_tags()
    fez.price = 7
    fez.save()
    assert new_tags() == {*FEZ, "p:fez:7"}
    fez.price = 8
    new_tags()
    # The row as it was, and as it is; the message is written before the commit.
    with django_assert_num_queries(2):
        fez.save(update_fields=["price"])


def test_old_values_of_an_update(new_tags, fez, shoes):
    edge_isr.register(Product, tags=lambda p: f"c:{p.category_id}")
    new_tags()
    Product.objects.update(category=shoes)
    assert new_tags() == {*FEZ, "c:1", "c:2"}


def test_old_values_of_a_bulk_update(new_tags, fez):
    edge_isr.register(Product, tags=lambda p: f"p:{p.slug}")
    fez.slug = "new"
    new_tags()
    Product.objects.bulk_update([fez], ["slug"])
    assert new_tags() == {*FEZ, "p:fez", "p:new"}


def test_the_method_of_dumper(new_tags):
    class WithPaths(Category):
        class Meta:
            proxy = True
            app_label = "shop"

        def dependent_paths(self):
            yield f"/{self.slug}"
            yield "/b\u00fccher/?page=2"

    edge_isr.register(WithPaths)
    WithPaths.objects.create(name="Ice", slug="ice")
    assert new_tags("paths") == {"/ice", "/b%C3%BCcher/"}
    edge_isr.unregister(WithPaths)


def test_paths_as_one_text_are_an_error(settings, hats):
    settings.DEBUG = True
    edge_isr.register(Category, dependent_paths=lambda c: "/")
    with pytest.raises(TypeError, match="returns a list of paths, not a text"):
        hats.save()


def test_a_failing_function_does_not_break_the_save(new_tags, hats, caplog):
    edge_isr.register(Category, tags=lambda c: 1 / 0)
    new_tags()
    hats.save()
    assert new_tags() == {"shop.category", "shop.category:1"}
    assert "could not be determined" in caplog.text


def test_only_if(new_tags, hats):
    edge_isr.register(Product, only_if=lambda p: p.active)
    new_tags()
    draft = Product.objects.create(name="d", slug="d", category=hats, active=False)
    draft.save()
    assert new_tags() == set()
    draft.active = True
    draft.save()
    assert f"shop.product:{draft.pk}" in new_tags()
    draft.active = False
    draft.save()
    assert f"shop.product:{draft.pk}" in new_tags()
    Product.objects.update(price=2)
    assert new_tags() == set()


def test_as_a_decorator_and_undone(new_tags, hats):
    assert edge_isr.register(tags="x")(Category) is Category
    new_tags()
    hats.name = "Caps"
    hats.save()
    assert "x" in new_tags()
    edge_isr.unregister(Category)
    hats.name = "Hats"
    hats.save()
    assert new_tags() == {"shop.category", "shop.category:1"}
    with pytest.raises(LookupError, match="Category is not registered"):
        edge_isr.unregister(Category)


def test_without_automatic_tags_only_registered_models_are_followed(new_tags, edge, hats):
    edge(AUTO_TAGS=False)
    new_tags()
    hats.save()
    Category.objects.update(name="x")
    assert new_tags() == set()
    edge_isr.register(Category)
    hats.save()
    assert new_tags() == {"shop.category", "shop.category:1"}


def test_without_automatic_tags_proxies_and_children_of_what_is_registered_are_followed(
    new_tags, edge, hats
):
    edge(AUTO_TAGS=False)
    edge_isr.register(Product)
    new_tags()
    Cheap.objects.create(pk=15, name="x", slug="x", category=hats)
    assert new_tags() == {"shop.product", "shop.product:15"}
    Cheap.objects.update(price=1)
    assert new_tags() == {"shop.product", "shop.product:15"}
    Premium.objects.create(pk=14, name="Crown", slug="crown", category=hats)
    assert new_tags() >= {"shop.product", "shop.product:14"}


def test_a_row_that_is_written_over_by_its_key(new_tags, fez, shoes):
    edge_isr.register(Product, tags=lambda p: f"c:{p.category_id}")
    new_tags()
    Product(pk=11, name="Fez", slug="fez", category=shoes).save()
    assert new_tags() == {*FEZ, "c:1", "c:2"}


def test_left_out_of_automatic_tags(new_tags, edge):
    edge(AUTO_TAGS_EXCLUDE=["shop.quiet"])
    Quiet.objects.create()
    assert new_tags() == set()


def test_a_field_that_does_not_exist():
    from django.core.exceptions import FieldDoesNotExist

    with pytest.raises(FieldDoesNotExist):
        edge_isr.register(Category, fields=["slag"])
