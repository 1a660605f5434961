"""Models that are not followed, those of migrations, and what the database changes by itself."""

import django
import pytest
from django.apps import apps
from django.apps.registry import Apps
from django.db import connection, models
from django.db.migrations.state import ProjectState
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from shop.models import Category, Product, Visit

import edge_isr
from edge_isr.conf import get_settings

pytestmark = pytest.mark.django_db

FEZ = {"shop.product", "shop.product:11"}


class TestBookkeeping:
    def test_a_session_of_the_projects_own_kind(self, new_tags):
        new_tags()
        Visit.objects.create(session_key="x", expire_date=timezone.now())
        Visit.objects.update(session_data="y")
        assert new_tags() == set()

    @pytest.mark.parametrize(
        "label",
        ["wagtailimages.rendition", "wagtailcore.revision", "wagtailcore.pagelogentry",
         "wagtailcore.taskstate", "wagtailsearch.indexentry", "wagtailsearchpromotions.query",
         "admin.logentry", "reversion.version", "silk.request", "axes.accessattempt"],
    )  # fmt: skip
    def test_what_packages_keep_for_themselves(self, label):
        assert get_settings().is_excluded(label)

    @pytest.mark.parametrize(
        "label",
        ["wagtailcore.page", "wagtailcore.site", "wagtailimages.image", "wagtaildocs.document",
         "wagtailredirects.redirect", "wagtailsearchpromotions.searchpromotion",
         "wagtailcore.pageviewrestriction", "auth.user", "auth.group", "taggit.taggeditem"],
    )  # fmt: skip
    def test_what_pages_show(self, label):
        assert not get_settings().is_excluded(label)

    def test_who_wants_it_registers_it(self, new_tags):
        edge_isr.register(Visit)
        Visit.objects.create(session_key="x", expire_date=timezone.now())
        assert "shop.visit" in new_tags()


class TestMigrations:
    """Data migrations have stand-ins of the models, of an earlier time."""

    @pytest.fixture
    def old(self):
        return ProjectState.from_apps(apps).apps

    def test_their_writes_are_sent(self, new_tags, old, fez, hats):
        label, product = old.get_model("shop", "Label"), old.get_model("shop", "Product")
        new_tags()
        row = label(pk=41, name="x")
        row.save()
        # What its fields meant then need not be what they mean today.
        every = {"shop.label", "shop.label:*"}
        assert new_tags() == every
        label.objects.update(name="y")
        assert new_tags() == every
        product.objects.get(pk=11).labels.add(row)
        assert "shop.product_labels" in new_tags()
        product.objects.get(pk=11).labels.clear()
        assert "shop.product_labels" in new_tags()
        label.objects.bulk_create([label(pk=42, name="z")])
        assert new_tags() == every
        label.objects.filter(pk=42).delete()
        assert new_tags() >= every
        row.delete()
        assert new_tags() >= every

    def test_what_is_registered_is_sent_as_a_whole(self, edge, new_tags, old, hats):
        """Its functions are for the models of today."""
        edge(AUTO_TAGS=False)
        edge_isr.register(Category, tags=lambda category: 1 / 0)
        new_tags()
        old.get_model("shop", "Category").objects.update(name="x")
        assert new_tags() == {"shop.category", "shop.category:*"}

    def test_a_model_that_is_gone(self, new_tags):
        class Gone(models.Model):
            name = models.CharField(max_length=40)

            class Meta:
                app_label = "shop"
                apps = Apps()
                db_table = "shop_label"

        Gone.objects.create(name="x")
        Gone.objects.all().delete()
        assert new_tags() == set()


if django.VERSION >= (6, 1):
    from shop.models import Mark, Note

    class TestDatabaseCascades:
        """What the database deletes and nulls by itself."""

        @pytest.fixture
        def notes(self, new_tags, fez):
            above = Note.objects.create(pk=61, product=fez)
            Note.objects.create(pk=62, product=fez, above=above)
            Mark.objects.create(pk=71, note_id=62)
            new_tags()

        @pytest.mark.parametrize(
            "delete",
            [lambda fez: fez.delete(), lambda fez: Product.objects.all().delete(),
             lambda fez: fez.category.delete(),
             lambda fez: Product.objects.filter(pk=11)._raw_delete("default")],
            ids=["instance", "queryset", "cascade", "raw"],
        )  # fmt: skip
        def test_reached(self, new_tags, notes, fez, delete):
            delete(fez)
            assert not Note.objects.exists() and Mark.objects.get().note_id is None
            assert new_tags() >= {
                *FEZ, "shop.note", "shop.note:61", "shop.note:62", "shop.mark", "shop.mark:71",
            }  # fmt: skip

        def test_from_within(self, new_tags, notes):
            Note.objects.get(pk=61).delete()
            found = new_tags()
            assert found >= {"shop.note:61", "shop.note:62", "shop.mark:71"}
            assert "shop.product" not in found

        def test_very_many(self, new_tags, notes, fez):
            Note.objects.bulk_create(Note(pk=n, product=fez) for n in range(100, 1200))
            new_tags()
            fez.delete()
            assert new_tags() >= {"shop.note", "shop.note:*", "shop.mark", "shop.mark:*"}


@pytest.fixture
def cascading_table(transactional_db):
    """As by a migration of the site's own."""
    from shop.models import Follower

    quoted = connection.ops.quote_name
    key, target = (m._meta.pk.rel_db_type(connection) for m in (Follower, Category))
    with connection.schema_editor() as editor:
        editor.delete_model(Follower)
        editor.execute(
            f"CREATE TABLE shop_follower ({quoted('id')} {key} NOT NULL PRIMARY KEY, "
            f"category_id {target} NOT NULL REFERENCES shop_category (id) ON DELETE CASCADE)"
        )
    yield Follower
    with connection.schema_editor() as editor:
        editor.execute("DROP TABLE shop_follower")
        editor.create_model(Follower)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "delete", [lambda: Category.objects.get().delete(), lambda: Category.objects.all().delete()]
)
def test_a_cascade_that_a_migration_made(cascading_table, new_tags, hats, delete):
    cascading_table.objects.create(pk=71, category=hats)
    new_tags()
    delete()
    assert not cascading_table.objects.exists()
    assert {"shop.category:1", "shop.follower", "shop.follower:71"} <= new_tags()


def test_an_update_asks_for_no_more_keys_than_it_names(hats):
    """Though the database cascades deletions: then all are needed."""
    with CaptureQueriesContext(connection) as queries:
        Category.objects.update(name="x")
        Category.objects.all()._raw_delete("default")
    sent = [query["sql"].replace("`", '"') for query in queries]
    asked = [sql for sql in sent if sql.startswith('SELECT "shop_category"."id"')]
    assert ["LIMIT 1001" in sql for sql in asked] == [True, False]
