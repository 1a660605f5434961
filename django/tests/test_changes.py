"""Every way of changing data, and what it invalidates; old and new values; batches and silence."""

import re

import pytest
from conftest import PART
from django.core import serializers
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from shop.models import Banner, Category, Cheap, Label, Manual, Premium, Product, Review

import edge_isr
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db


FEZ = {"shop.product", "shop.product:11"}


class TestSignals:
    def test_create_and_save(self, new_tags, hats):
        assert new_tags() == {"shop.category", "shop.category:1"}
        hats.name = "Caps"
        hats.save()
        assert new_tags() == {"shop.category", "shop.category:1"}

    def test_save_of_some_fields(self, new_tags, fez):
        new_tags()
        fez.price = 7
        fez.save(update_fields=["price"])
        assert new_tags() == FEZ

    @pytest.mark.parametrize("model", [Category, Label])
    def test_a_key_in_another_form(self, new_tags, model, hats):
        """Pages carry it as the database gives it."""
        label = f"shop.{model.__name__.lower()}"
        new_tags()
        model(pk="007", name="Late").save()
        assert new_tags() == {label, f"{label}:7"}
        model(pk="007", name="Later").save(force_update=True)
        assert new_tags() == {label, f"{label}:7"}

    def test_delete(self, new_tags, fez):
        new_tags()
        fez.delete()
        assert new_tags() >= FEZ

    def test_cascade(self, new_tags, fez):
        Review.objects.create(pk=21, product=fez)
        new_tags()
        fez.category.delete()
        assert new_tags() >= {"shop.category:1", "shop.product:11", "shop.review:21", "shop.review"}

    def test_set_null(self, new_tags, hats):
        Banner.objects.create(pk=51, category=hats)
        new_tags()
        hats.delete()
        assert new_tags() == {"shop.category", "shop.category:1", "shop.banner", "shop.banner:51"}

    def test_proxy_and_child(self, new_tags, hats):
        new_tags()
        Cheap.objects.create(pk=15, name="x", slug="x", category=hats)
        assert new_tags() == {"shop.product", "shop.product:15"}
        Premium.objects.create(pk=14, name="Crown", slug="crown", category=hats)
        assert new_tags() == {"shop.premium", "shop.premium:14", "shop.product", "shop.product:14"}

    def test_a_child_by_its_parent(self, new_tags, hats):
        Premium.objects.create(pk=14, name="Crown", slug="crown", category=hats)
        new_tags()
        product = Product.objects.get(pk=14)
        product.name = "Tiara"
        product.save()
        assert new_tags() == {"shop.product", "shop.product:14"}

    def test_get_or_create_and_update_or_create(self, new_tags, hats):
        new_tags()
        Label.objects.get_or_create(pk=41, name="new")
        assert new_tags() == {"shop.label", "shop.label:41"}
        Label.objects.get_or_create(pk=41, name="new")
        assert new_tags() == set()
        Label.objects.update_or_create(pk=41, defaults={"name": "old"})
        assert new_tags() == {"shop.label", "shop.label:41"}

    def test_loaddata(self, new_tags, fez, tmp_path):
        file = tmp_path / "data.json"
        fez.name = "Tarboosh"
        file.write_text(serializers.serialize("json", [fez]))
        new_tags()
        call_command("loaddata", str(file), verbosity=0)
        assert new_tags() == FEZ

    def test_models_of_the_framework_are_left_alone(self, new_tags, client, django_user_model):
        user = django_user_model.objects.create_user("ada")
        assert new_tags() == {"auth.user", f"auth.user:{user.pk}"}
        client.force_login(user)
        client.logout()
        assert new_tags() == set(), "a session and the time of the log-in are on no page"


class TestManyToMany:
    @pytest.fixture
    def new_tags(self, new_tags):
        """Without the keys of the rows in between."""
        return lambda: {name for name in new_tags() if not re.match("shop.product_[a-z]+:", name)}

    def test_add_remove_set_clear(self, new_tags, fez):
        new, old = Label.objects.create(pk=41, name="n"), Label.objects.create(pk=42, name="o")
        edge_isr.register(Product)
        edge_isr.register(Label)
        new_tags()
        through = {"shop.product_labels", "shop.product", "shop.product:11", "shop.label"}
        fez.labels.add(new)
        assert new_tags() == {*through, "shop.label:41"}
        fez.labels.set([old])
        assert new_tags() == {*through, "shop.label:41", "shop.label:42"}
        fez.labels.remove(old)
        assert new_tags() == {*through, "shop.label:42"}
        fez.labels.add(new, old)
        new_tags()
        fez.labels.clear()
        assert new_tags() == {*through, "shop.label:41", "shop.label:42"}

    def test_what_a_row_said_before_it_lost_a_relation(self, new_tags, fez):
        edge_isr.register(Product, tags=lambda p: [f"label-{x.pk}" for x in p.labels.all()])
        new, old = Label.objects.create(pk=41), Label.objects.create(pk=42)
        fez.labels.set([new, old])
        new_tags()
        fez.labels.remove(old)
        assert new_tags() >= {*FEZ, "label-41", "label-42"}
        new.products.remove(fez)
        assert new_tags() >= {*FEZ, "label-41"}

    def test_from_the_other_end(self, new_tags, fez):
        label = Label.objects.create(pk=41, name="n")
        edge_isr.register(Product)
        edge_isr.register(Label)
        new_tags()
        label.products.add(fez)
        wanted = {"shop.product_labels", "shop.product", "shop.product:11", "shop.label",
                  "shop.label:41"}  # fmt: skip
        assert new_tags() == wanted
        label.products.clear()
        assert new_tags() == wanted

    def test_with_itself(self, new_tags, fez, cap):
        edge_isr.register(Product)
        new_tags()
        fez.related.add(cap)
        wanted = {"shop.product_related", "shop.product", "shop.product:11", "shop.product:12"}
        assert new_tags() == wanted
        fez.related.clear()
        assert new_tags() == wanted

    def test_rows_that_nobody_has_registered_are_the_relations_own(self, new_tags, fez):
        """Pages that show what a row is connected with have the relation's tag."""
        label = Label.objects.create(pk=41, name="n")
        new_tags()
        fez.labels.add(label)
        assert new_tags() == {"shop.product_labels"}
        fez.labels.clear()
        assert new_tags() == {"shop.product_labels"}

    def test_nothing_changed(self, new_tags, fez):
        label = Label.objects.create(pk=41, name="n")
        fez.labels.add(label)
        new_tags()
        fez.labels.add(label)
        assert new_tags() == set()


class TestQuerysets:
    def test_update(self, new_tags, fez, cap):
        new_tags()
        assert Product.objects.filter(name="Fez").update(price=9) == 1
        assert new_tags() == FEZ

    def test_update_that_leaves_its_own_filter(self, new_tags, fez):
        new_tags()
        Product.objects.filter(active=True).update(active=False)
        assert new_tags() == FEZ

    def test_update_of_nothing(self, new_tags, fez):
        new_tags()
        assert Product.objects.filter(name="x").update(price=9) == 0
        assert new_tags() == set()

    def test_update_by_a_manager_of_relations(self, new_tags, fez, hats):
        new_tags()
        hats.products.update(price=3)
        assert new_tags() == FEZ

    def test_update_of_a_parents_field(self, new_tags, hats):
        Premium.objects.create(pk=14, name="Crown", slug="crown", category=hats)
        new_tags()
        Premium.objects.update(price=3)
        assert new_tags() == {"shop.premium", "shop.premium:14", "shop.product", "shop.product:14"}

    def test_an_ordered_and_annotated_update(self, new_tags, fez):
        new_tags()
        assert Product.objects.order_by("-category__name").update(price=1) == 1
        assert new_tags() == FEZ

    def test_delete(self, new_tags, fez, cap):
        new_tags()
        Product.objects.filter(pk=11).delete()
        assert new_tags() >= FEZ

    def test_raw_delete(self, new_tags, fez):
        new_tags()
        Product.objects.filter(pk=11)._raw_delete("default")
        assert new_tags() == FEZ

    def test_bulk_create(self, new_tags, hats):
        new_tags()
        Product.objects.bulk_create(
            [Product(pk=15, name="a", slug="a", category=hats),
             Product(name="b", slug="b", category=hats)]
        )  # fmt: skip
        created = Product.objects.get(slug="b").pk
        assert new_tags() == {"shop.product", "shop.product:15", f"shop.product:{created}"}
        Product.objects.bulk_create([])
        assert new_tags() == set()

    def test_bulk_create_that_updates(self, new_tags, hats, fez):
        new_tags()
        edge_isr.register(Product, tags=lambda p: f"price:{p.price}")
        # MariaDB takes whichever unique fields there are.
        named = connection.features.supports_update_conflicts_with_target
        unique = {"unique_fields": ["slug"]} if named else {}
        Product.objects.bulk_create(
            [Product(name="Fez", slug="fez", price=5, category=hats)],
            update_conflicts=True, update_fields=["price"], **unique,
        )  # fmt: skip
        assert new_tags() >= {*FEZ, "price:0", "price:5"}

    def test_bulk_update(self, new_tags, fez, cap):
        fez.price, cap.price = 1, 2
        new_tags()
        Product.objects.bulk_update([fez, cap], ["price"])
        assert new_tags() == {*FEZ, "shop.product:12"}

    def test_very_many_rows_are_not_named_each(self, new_tags, hats):
        new_tags()
        Product.objects.bulk_create(
            Product(name=str(n), slug=str(n), category=hats) for n in range(1001)
        )
        every = {"shop.product", "shop.product:*"}
        assert new_tags() == every
        Product.objects.update(price=1)
        assert new_tags() == every
        Product.objects.all()._raw_delete("default")
        assert new_tags() == every

    @pytest.mark.parametrize(
        "write",
        [
            lambda: [
                Product(pk=pk, price=7).save(update_fields=["price"])
                for pk in Product.objects.values_list("pk", flat=True)
            ],
            lambda: Product.objects.bulk_update(Product.objects.all(), ["price"], batch_size=100),
            lambda: [
                Product.objects.filter(pk=pk).update(price=1)
                for pk in Product.objects.values_list("pk", flat=True)
            ],
            lambda: [p.delete() for p in Product.objects.all()],
            lambda: Category.objects.get().delete(),
        ],
        ids=["saves", "bulk_update", "updates", "deletes", "cascade"],
    )
    def test_nor_those_of_many_statements(self, new_tags, hats, write):
        Product.objects.bulk_create(
            Product(name=str(n), slug=str(n), category=hats) for n in range(1001)
        )
        new_tags()
        write()
        found = new_tags()
        assert found >= {"shop.product", "shop.product:*"} and len(found) < 20

    def test_as_many_as_are_named(self, new_tags, hats):
        Product.objects.bulk_create(
            Product(name=str(n), slug=str(n), category=hats) for n in range(1000)
        )
        new_tags()
        Product.objects.update(price=1)
        assert len(new_tags()) == 1001

    def test_aupdate(self, new_tags, fez):
        from asgiref.sync import async_to_sync

        new_tags()
        async_to_sync(Product.objects.filter(pk=11).aupdate)(price=1)
        assert new_tags() == FEZ


class TestBatchAndSilence:
    def test_a_batch_is_one_message(self, new_tags, written, hats):
        new_tags()
        OutboxMessage.objects.all().delete()
        with edge_isr.batch():
            for n in range(20):
                Product.objects.create(name=str(n), slug=str(n), category=hats)
            with edge_isr.batch():
                hats.name = "Caps"
                hats.save()
        (row,) = written()
        named = {tag for tag in row.payload["tags"] if not PART.fullmatch(tag)}
        assert len(named) == 23

    def test_a_batch_that_fails_sends_nothing(self, new_tags, hats):
        new_tags()
        with pytest.raises(RuntimeError), edge_isr.batch():
            hats.name = "Caps"
            hats.save()
            raise RuntimeError
        assert new_tags() == set()
        hats.save()
        assert new_tags() == {"shop.category", "shop.category:1"}

    def test_silence(self, new_tags, hats, fez):
        new_tags()
        with edge_isr.silence():
            hats.save()
            Product.objects.update(price=3)
            Product.objects.bulk_create([Product(name="x", slug="x", category=hats)])
            fez.labels.add(Label.objects.create(name="n"))
            hats.delete()
            edge_isr.revalidate_by_tags("x")
        assert new_tags() == set()

    def test_the_same_tag_is_written_once_per_transaction(self, new_tags, written, hats):
        new_tags()
        OutboxMessage.objects.all().delete()
        with transaction.atomic():
            for n in range(5):
                hats.name = f"Hats {n}"
                hats.save()
        assert len(written()) == 1


def test_an_exception_in_a_save_leaves_the_outbox_alone(new_tags, hats):
    new_tags()
    with pytest.raises(IntegrityError), transaction.atomic():
        Category.objects.create(name="x", slug="hats")
    assert new_tags() == set()


def test_a_one_to_one_key(new_tags, fez):
    new_tags()
    manual = Manual.objects.create(product=fez)
    assert new_tags() == {"shop.manual", f"shop.manual:{manual.pk}"}
