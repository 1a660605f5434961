"""Every way of changing data, and what it tells; old and new values; batches and silence."""

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
    def test_create_and_save(self, told, hats):
        assert told() == {"shop.category", "shop.category:1"}
        hats.name = "Caps"
        hats.save()
        assert told() == {"shop.category", "shop.category:1"}

    def test_save_of_some_fields(self, told, fez):
        told()
        fez.price = 7
        fez.save(update_fields=["price"])
        assert told() == FEZ

    @pytest.mark.parametrize("model", [Category, Label])
    def test_a_key_in_another_form(self, told, model, hats):
        """Pages carry it as the database gives it."""
        label = f"shop.{model.__name__.lower()}"
        told()
        model(pk="007", name="Late").save()
        assert told() == {label, f"{label}:7"}
        model(pk="007", name="Later").save(force_update=True)
        assert told() == {label, f"{label}:7"}

    def test_delete(self, told, fez):
        told()
        fez.delete()
        assert told() >= FEZ

    def test_cascade(self, told, fez):
        Review.objects.create(pk=21, product=fez)
        told()
        fez.category.delete()
        assert told() >= {"shop.category:1", "shop.product:11", "shop.review:21", "shop.review"}

    def test_set_null(self, told, hats):
        Banner.objects.create(pk=51, category=hats)
        told()
        hats.delete()
        assert told() == {"shop.category", "shop.category:1", "shop.banner", "shop.banner:51"}

    def test_proxy_and_child(self, told, hats):
        told()
        Cheap.objects.create(pk=15, name="x", slug="x", category=hats)
        assert told() == {"shop.product", "shop.product:15"}
        Premium.objects.create(pk=14, name="Crown", slug="crown", category=hats)
        assert told() == {"shop.premium", "shop.premium:14", "shop.product", "shop.product:14"}

    def test_a_child_by_its_parent(self, told, hats):
        Premium.objects.create(pk=14, name="Crown", slug="crown", category=hats)
        told()
        product = Product.objects.get(pk=14)
        product.name = "Tiara"
        product.save()
        assert told() == {"shop.product", "shop.product:14"}

    def test_get_or_create_and_update_or_create(self, told, hats):
        told()
        Label.objects.get_or_create(pk=41, name="new")
        assert told() == {"shop.label", "shop.label:41"}
        Label.objects.get_or_create(pk=41, name="new")
        assert told() == set()
        Label.objects.update_or_create(pk=41, defaults={"name": "old"})
        assert told() == {"shop.label", "shop.label:41"}

    def test_loaddata(self, told, fez, tmp_path):
        file = tmp_path / "data.json"
        fez.name = "Tarboosh"
        file.write_text(serializers.serialize("json", [fez]))
        told()
        call_command("loaddata", str(file), verbosity=0)
        assert told() == FEZ

    def test_models_of_the_framework_are_left_alone(self, told, client, django_user_model):
        user = django_user_model.objects.create_user("ada")
        assert told() == {"auth.user", f"auth.user:{user.pk}"}
        client.force_login(user)
        client.logout()
        assert told() == set(), "a session and the time of the log-in are on no page"


class TestManyToMany:
    @pytest.fixture
    def told(self, told):
        """Without the keys of the rows in between."""
        return lambda: {name for name in told() if not re.match("shop.product_[a-z]+:", name)}

    def test_add_remove_set_clear(self, told, fez):
        new, old = Label.objects.create(pk=41, name="n"), Label.objects.create(pk=42, name="o")
        edge_isr.register(Product)
        edge_isr.register(Label)
        told()
        through = {"shop.product_labels", "shop.product", "shop.product:11", "shop.label"}
        fez.labels.add(new)
        assert told() == {*through, "shop.label:41"}
        fez.labels.set([old])
        assert told() == {*through, "shop.label:41", "shop.label:42"}
        fez.labels.remove(old)
        assert told() == {*through, "shop.label:42"}
        fez.labels.add(new, old)
        told()
        fez.labels.clear()
        assert told() == {*through, "shop.label:41", "shop.label:42"}

    def test_what_a_row_said_before_it_lost_a_relation(self, told, fez):
        edge_isr.register(Product, tags=lambda p: [f"label-{x.pk}" for x in p.labels.all()])
        new, old = Label.objects.create(pk=41), Label.objects.create(pk=42)
        fez.labels.set([new, old])
        told()
        fez.labels.remove(old)
        assert told() >= {*FEZ, "label-41", "label-42"}
        new.products.remove(fez)
        assert told() >= {*FEZ, "label-41"}

    def test_from_the_other_end(self, told, fez):
        label = Label.objects.create(pk=41, name="n")
        edge_isr.register(Product)
        edge_isr.register(Label)
        told()
        label.products.add(fez)
        wanted = {"shop.product_labels", "shop.product", "shop.product:11", "shop.label",
                  "shop.label:41"}  # fmt: skip
        assert told() == wanted
        label.products.clear()
        assert told() == wanted

    def test_with_itself(self, told, fez, cap):
        edge_isr.register(Product)
        told()
        fez.related.add(cap)
        wanted = {"shop.product_related", "shop.product", "shop.product:11", "shop.product:12"}
        assert told() == wanted
        fez.related.clear()
        assert told() == wanted

    def test_rows_that_nobody_has_registered_are_the_relations_own(self, told, fez):
        """Pages that show what a row is connected with have the relation's tag."""
        label = Label.objects.create(pk=41, name="n")
        told()
        fez.labels.add(label)
        assert told() == {"shop.product_labels"}
        fez.labels.clear()
        assert told() == {"shop.product_labels"}

    def test_nothing_changed(self, told, fez):
        label = Label.objects.create(pk=41, name="n")
        fez.labels.add(label)
        told()
        fez.labels.add(label)
        assert told() == set()


class TestQuerysets:
    def test_update(self, told, fez, cap):
        told()
        assert Product.objects.filter(name="Fez").update(price=9) == 1
        assert told() == FEZ

    def test_update_that_leaves_its_own_filter(self, told, fez):
        told()
        Product.objects.filter(active=True).update(active=False)
        assert told() == FEZ

    def test_update_of_nothing(self, told, fez):
        told()
        assert Product.objects.filter(name="x").update(price=9) == 0
        assert told() == set()

    def test_update_by_a_manager_of_relations(self, told, fez, hats):
        told()
        hats.products.update(price=3)
        assert told() == FEZ

    def test_update_of_a_parents_field(self, told, hats):
        Premium.objects.create(pk=14, name="Crown", slug="crown", category=hats)
        told()
        Premium.objects.update(price=3)
        assert told() == {"shop.premium", "shop.premium:14", "shop.product", "shop.product:14"}

    def test_an_ordered_and_annotated_update(self, told, fez):
        told()
        assert Product.objects.order_by("-category__name").update(price=1) == 1
        assert told() == FEZ

    def test_delete(self, told, fez, cap):
        told()
        Product.objects.filter(pk=11).delete()
        assert told() >= FEZ

    def test_raw_delete(self, told, fez):
        told()
        Product.objects.filter(pk=11)._raw_delete("default")
        assert told() == FEZ

    def test_bulk_create(self, told, hats):
        told()
        Product.objects.bulk_create(
            [Product(pk=15, name="a", slug="a", category=hats),
             Product(name="b", slug="b", category=hats)]
        )  # fmt: skip
        created = Product.objects.get(slug="b").pk
        assert told() == {"shop.product", "shop.product:15", f"shop.product:{created}"}
        Product.objects.bulk_create([])
        assert told() == set()

    def test_bulk_create_that_updates(self, told, hats, fez):
        told()
        edge_isr.register(Product, tags=lambda p: f"price:{p.price}")
        # MariaDB takes whichever unique fields there are.
        named = connection.features.supports_update_conflicts_with_target
        unique = {"unique_fields": ["slug"]} if named else {}
        Product.objects.bulk_create(
            [Product(name="Fez", slug="fez", price=5, category=hats)],
            update_conflicts=True, update_fields=["price"], **unique,
        )  # fmt: skip
        assert told() >= {*FEZ, "price:0", "price:5"}

    def test_bulk_update(self, told, fez, cap):
        fez.price, cap.price = 1, 2
        told()
        Product.objects.bulk_update([fez, cap], ["price"])
        assert told() == {*FEZ, "shop.product:12"}

    def test_very_many_rows_are_not_named_each(self, told, hats):
        told()
        Product.objects.bulk_create(
            Product(name=str(n), slug=str(n), category=hats) for n in range(1001)
        )
        every = {"shop.product", "shop.product:*"}
        assert told() == every
        Product.objects.update(price=1)
        assert told() == every
        Product.objects.all()._raw_delete("default")
        assert told() == every

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
    def test_nor_those_of_many_statements(self, told, hats, write):
        Product.objects.bulk_create(
            Product(name=str(n), slug=str(n), category=hats) for n in range(1001)
        )
        told()
        write()
        found = told()
        assert found >= {"shop.product", "shop.product:*"} and len(found) < 20

    def test_as_many_as_are_named(self, told, hats):
        Product.objects.bulk_create(
            Product(name=str(n), slug=str(n), category=hats) for n in range(1000)
        )
        told()
        Product.objects.update(price=1)
        assert len(told()) == 1001

    def test_aupdate(self, told, fez):
        from asgiref.sync import async_to_sync

        told()
        async_to_sync(Product.objects.filter(pk=11).aupdate)(price=1)
        assert told() == FEZ


class TestBatchAndSilence:
    def test_a_batch_is_one_message(self, told, written, hats):
        told()
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

    def test_a_batch_that_fails_tells_nothing(self, told, hats):
        told()
        with pytest.raises(RuntimeError), edge_isr.batch():
            hats.name = "Caps"
            hats.save()
            raise RuntimeError
        assert told() == set()
        hats.save()
        assert told() == {"shop.category", "shop.category:1"}

    def test_silence(self, told, hats, fez):
        told()
        with edge_isr.silence():
            hats.save()
            Product.objects.update(price=3)
            Product.objects.bulk_create([Product(name="x", slug="x", category=hats)])
            fez.labels.add(Label.objects.create(name="n"))
            hats.delete()
            edge_isr.revalidate_by_tags("x")
        assert told() == set()

    def test_the_same_tag_is_written_once_per_transaction(self, told, written, hats):
        told()
        OutboxMessage.objects.all().delete()
        with transaction.atomic():
            for n in range(5):
                hats.name = f"Hats {n}"
                hats.save()
        assert len(written()) == 1


def test_an_exception_in_a_save_leaves_the_outbox_alone(told, hats):
    told()
    with pytest.raises(IntegrityError), transaction.atomic():
        Category.objects.create(name="x", slug="hats")
    assert told() == set()


def test_a_one_to_one_key(told, fez):
    told()
    manual = Manual.objects.create(product=fez)
    assert told() == {"shop.manual", f"shop.manual:{manual.pk}"}
