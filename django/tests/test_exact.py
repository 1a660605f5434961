"""Tags below a model's own, on pages and of writes: values and columns."""

import threading
import time

import pytest
from conftest import IS_POSTGRES, PART
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.db.models import Case, F, Q, Value, When
from django.db.models.functions import Lower
from django.http import HttpResponse
from shop.models import Banner, Category, Label, Premium, Product, Review

import edge_isr
from edge_isr import isr
from edge_isr.conditions import Namer, UnnamedValueError, named_fields, of_value
from edge_isr.context import Recorder, recording
from edge_isr.explanation import writes_that_invalidate
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db
BYTEWISE = connection.vendor in ("postgresql", "sqlite")


def seen(load):
    """What loading something tags a page with."""
    recorder = Recorder()
    with recording(recorder):
        load()
    return set(recorder.named())


@pytest.fixture
def parts(new_tags):
    """The tags of values and columns that were sent since the last call."""
    new_tags()
    return lambda: {tag for tag in new_tags(parts=True) if PART.fullmatch(tag)}


def of_product(slug="fez", category=1, active=True):
    texts = {f"shop.product:slug={slug}"} if BYTEWISE else set()
    return {f"shop.product:category={category}", f"shop.product:active={active}", *texts}


def moved(*args, **kwargs):
    """The same of a change that may change which rows have these values."""
    named = of_product(*args, **kwargs)
    # One row has a slug.
    behind = "@" if kwargs.get("active", True) else "@-"
    return named | {f"{tag}{behind}" for tag in named if "slug=" not in tag}


class TestReading:
    @pytest.mark.parametrize(
        ("load", "wanted"),
        [
            (lambda: list(Product.objects.filter(category=1)), {"category=1@", "category=1@-"}),
            (lambda: list(Product.objects.filter(category__pk="1", active=False)),
             {"category=1@-"}),
            (lambda: list(Product.objects.filter(category_id__in=[1, 2])),
             {"category=1@", "category=2@", "category=1@-", "category=2@-"}),
            (lambda: list(Product.objects.filter(category=1, active=True)), {"category=1@"}),
            (lambda: list(Product.objects.filter(active=1)), {"active=True@"}),
            (lambda: list(Product.objects.filter(Q(active=True) & Q(Q(category=1)))),
             {"category=1@"}),
            (lambda: list(Product.objects.filter(category=1, price=3, active=True)),
             {"category=1@"}),
            (lambda: Product.objects.filter(category=1, active=True).count(), {"category=1@"}),
            (lambda: Product.objects.filter(category=1).first(), {"category=1@", "category=1@-"}),
        ],
    )  # fmt: skip
    def test_conditions(self, load, wanted):
        assert seen(load) == {f"shop.product:{part}" for part in wanted}

    @pytest.mark.parametrize(
        "load",
        [
            lambda: list(Product.objects.filter(Q(category=1) | Q(price=3))),
            lambda: list(Product.objects.exclude(category=1)),
            lambda: list(Product.objects.filter(~Q(category=1))),
            lambda: list(Product.objects.filter(category__gt=1)),
            lambda: list(Product.objects.filter(category=F("price"))),
            lambda: list(Product.objects.filter(price=3)),
            lambda: list(Product.objects.filter(slug__iexact="fez")),
            lambda: list(Product.objects.alias(low=Lower("slug")).filter(low="fez")),
            lambda: list(Product.objects.filter(category__in=range(51))),
            lambda: list(Product.objects.filter(category__in=Category.objects.values("pk"))),
            lambda: list(Product.objects.filter(Q(category=1) ^ Q(price=3))),
        ],
    )
    def test_what_is_no_condition(self, load):
        found = seen(load)
        assert "shop.product:@" in found
        assert not any("=" in tag for tag in found)

    def test_null(self):
        assert seen(lambda: list(Banner.objects.filter(category=None))) == {
            "shop.banner:category=null@"
        }
        # A row that the outer join does not find has no category either.
        load = lambda: list(Category.objects.filter(banner__category__isnull=True))  # noqa: E731
        assert {"shop.banner", "shop.banner:@"} & seen(load)

    def test_texts(self):
        load = lambda: Product.objects.filter(slug="a, b/ü%").exists()  # noqa: E731
        if not BYTEWISE:
            # Where case does not count, equality is not what it is in Python.
            assert seen(load) == {"shop.product:@", "shop.product:@slug"}
            return
        assert seen(load) == {"shop.product:slug=a%2C%20b%2F%C3%BC%25"}
        long = seen(lambda: Product.objects.filter(slug="x" * 500).exists()).pop()
        assert len(long) < 80 and long.startswith("shop.product:slug=~")

    def test_columns(self):
        assert seen(lambda: list(Label.objects.values("pk"))) == {"shop.label:@"}
        assert seen(lambda: list(Product.objects.order_by("price").values("name"))) == {
            "shop.product:@", "shop.product:@name", "shop.product:@price",
        }  # fmt: skip
        every = [field.name for field in Product._meta.concrete_fields]
        assert seen(lambda: list(Product.objects.values(*every))) == {"shop.product"}

    def test_what_is_connected(self, fez):
        fez.labels.add(Label.objects.create(pk=41, name="n"))
        keys = {"shop.label:41", "shop.product_labels:product=11"}
        assert seen(lambda: list(fez.labels.all())) == keys
        # Another label may come to be the first by a change of its own.
        assert seen(lambda: fez.labels.order_by("name").first()) == keys
        assert seen(lambda: list(fez.labels.filter(name="other"))) == keys


class TestWriting:
    def test_come_and_go(self, parts, hats):
        parts()
        fez = Product.objects.create(pk=11, name="Fez", slug="fez", category=hats)
        assert parts() == {"shop.product:@", *moved()}
        fez.delete()
        assert parts() >= {"shop.product:@", *moved()}

    def test_a_save_sends_what_differs(self, parts, fez, shoes):
        parts()
        fez.price = 7
        fez.save()
        assert parts() == {"shop.product:@price", *moved()}
        fez.category = shoes
        fez.save()
        assert parts() == {
            "shop.product:@category_id", *moved(), *moved(category=2),
        }  # fmt: skip

    def test_what_does_not_decide_is_not_sent_to_who_counts(self, parts, fez):
        parts()
        fez.name = "Later"
        fez.save()
        assert parts() == {"shop.product:@name", *of_product()}
        Product.objects.filter(pk=11).update(name="Then")
        assert parts() == {"shop.product:@name", *of_product()}
        with transaction.atomic():
            fez.name = "Last"
            fez.save()
        assert parts() == {"shop.product:@name", *of_product()}
        with transaction.atomic():
            fez.active = False
            fez.save()
        assert parts() == {"shop.product:@active", *moved(), *moved(active=False)}

    def test_a_save_that_makes_no_difference_sends_nothing(self, new_tags, fez):
        new_tags()
        fez.save()
        Product.objects.get(pk=11).save()
        fez.price = "0"
        fez.save(update_fields=["name"])
        assert new_tags(parts=True) == set()

    def test_an_instance_need_not_hold_what_its_row_holds(self, parts, fez, shoes):
        parts()
        stale = Product.objects.get(pk=11)
        Product.objects.update(category=shoes)
        parts()
        stale.name = "Later"
        stale.save(update_fields=["name"])
        assert parts() == {"shop.product:@name", *of_product(category=2)}
        stale.delete()
        assert parts() >= of_product(category=2)

    def test_what_is_held_and_not_saved(self, parts, fez, shoes):
        parts()
        fez.name, fez.category = "Later", shoes
        fez.save(update_fields=["name"])
        assert parts() == {"shop.product:@name", *of_product()}

    def test_expressions_are_asked_back(self, parts, fez, shoes):
        parts()
        fez.category_id = F("category_id") + 1
        fez.save()
        assert parts() >= {*moved(), *moved(category=2)}
        Product.objects.update(category=Case(When(active=True, then=Value(1))))
        assert parts() == {
            "shop.product:@category_id", *moved(), *moved(category=2),
        }  # fmt: skip

    def test_update(self, parts, fez, cap, shoes):
        parts()
        Product.objects.filter(pk=11).update(category=shoes, price=3)
        assert parts() == {
            "shop.product:@category_id", "shop.product:@price",
            *moved(), *moved(category=2),
        }  # fmt: skip

    def test_a_child_sends_the_tables_that_differ(self, parts, hats):
        parts()
        crown = Premium.objects.create(pk=14, name="Crown", slug="crown", category=hats)
        assert parts() == {"shop.premium:@", "shop.product:@", *moved("crown")}
        crown.bonus = "x"
        crown.save()
        assert parts() == {"shop.premium:@bonus"}
        crown.price = 9
        crown.save()
        assert parts() == {"shop.product:@price", *moved("crown")}

    def test_relations(self, parts, fez):
        label = Label.objects.create(pk=41, name="n")
        ends = {"shop.product_labels:product=11", "shop.product_labels:label=41"}
        through = ends | {f"{tag}@" for tag in ends}
        parts()
        fez.labels.add(label)
        assert parts() == {"shop.product_labels:@", *through}
        fez.labels.clear()
        assert parts() == {"shop.product_labels:@", *through}

    def test_set_null(self, parts, hats):
        Banner.objects.create(pk=51, category=hats)
        parts()
        hats.delete()
        assert parts() >= {
            "shop.banner:@category_id", "shop.banner:category=1", "shop.banner:category=null",
        }  # fmt: skip

    def test_a_row_that_can_not_be_read_can_be_saved(self, new_tags, fez, monkeypatch, caplog):
        field = Product._meta.get_field("price")
        broken = lambda value, expression, connection: 1 / 0  # noqa: E731
        monkeypatch.setattr(field, "from_db_value", broken, raising=False)
        # What reads a row has been made with the field as it was.
        vars(connections["default"]).pop("edge_isr_rows", None)
        new_tags()
        fez.name = "Later"
        fez.save()
        vars(connections["default"]).pop("edge_isr_rows", None)
        assert new_tags(parts=True) >= {"shop.product:11", "shop.product:*"}
        assert "what Product 11 was could not be read" in caplog.text

    def test_very_many_rows_send_all_pages_of_the_model(self, new_tags, hats):
        rows = [Product(name=str(n), slug=str(n), category=hats) for n in range(1001)]
        new_tags()
        Product.objects.bulk_create(rows)
        assert new_tags(parts=True) >= {"shop.product", "shop.product:*"}

    def test_what_is_ignored(self, new_tags, fez):
        edge_isr.register(Product, ignore_fields=["price"])
        new_tags()
        fez.price = 9
        fez.save()
        Product.objects.update(price=8)
        assert new_tags(parts=True) == set()
        fez.name = "Tarboosh"
        fez.save()
        assert "shop.product:@name" in new_tags(parts=True)

    def test_how_many_queries(self, fez, django_assert_num_queries):
        fez.price = 7
        with transaction.atomic(), edge_isr.batch(), django_assert_num_queries(2):
            fez.save()
        # Where rows are kept as they are, what they say is a question of its own.
        keys = 1 if connection.features.has_select_for_update else 0
        with transaction.atomic(), django_assert_num_queries(2 + keys):
            Product.objects.filter(pk=11).update(price=8)


if IS_POSTGRES:

    @pytest.mark.django_db(transaction=True)
    def test_a_row_that_another_transaction_moves(fez, shoes):
        """What it was is what the save changes, and not what it was before the other commit."""
        begun = threading.Event()
        Category.objects.create(pk=3, name="Caps", slug="caps")

        def move():
            try:
                with transaction.atomic(), connection.cursor() as cursor:
                    Product.objects.filter(pk=11).update(category=2)
                    begun.set()
                    waiting, deadline = 0, time.monotonic() + 20
                    while not waiting and time.monotonic() < deadline:
                        cursor.execute(
                            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                        )
                        (waiting,) = cursor.fetchone()
            finally:
                connections.close_all()

        thread = threading.Thread(target=move)
        thread.start()
        assert begun.wait(20)
        fez.category_id = 3
        fez.save()
        thread.join()
        new_tags = OutboxMessage.objects.latest("pk").payload["tags"]
        assert {"shop.product:category=2", "shop.product:category=3"} <= set(new_tags)


class TestNames:
    def test_which_fields(self):
        names = [field.name for field in named_fields(Product, "sqlite")]
        assert names == ["slug", "category", "active"]
        assert [field.name for field in named_fields(Product, "mysql")] == ["category", "active"]
        assert [field.name for field in named_fields(Review, "sqlite")] == ["product"]

    @pytest.mark.parametrize(
        ("name", "value", "text"),
        [
            ("category", "7", "category=7"),
            ("category", 7, "category=7"),
            ("category", None, "category=null"),
            ("active", 1, "active=True"),
            ("active", "f", "active=False"),
            ("slug", "", "slug="),
            ("slug", 7, "slug=7"),
            ("slug", "\udc80", "slug=%ED%B2%80"),
        ],
    )
    def test_values_have_one_form(self, name, value, text):
        assert of_value(Product._meta.get_field(name), value) == text

    @pytest.mark.parametrize("name", ["slug", "category", "active"])
    @pytest.mark.parametrize(
        "value", [None, 0, 7, -1, True, "7", "", "a-b_c.~", "a b", "ä", "x" * 121, "f", 2**70]
    )
    def test_a_row_is_named_as_a_page_names_it(self, name, value):
        field = Product._meta.get_field(name)
        try:
            wanted = [f"shop.product:{of_value(field, value)}"]
        except UnnamedValueError:
            with pytest.raises(UnnamedValueError):
                Namer(field)(value)
        else:
            assert list(Namer(field)(value)) == wanted


class TestExplained:
    def view(self, request):
        rows = list(Product.objects.filter(category=1).select_related("category"))
        return HttpResponse(f"{rows} {Label.objects.count()} {list(rows[0].labels.all())}")

    def test_by_a_command(self, site, fez, capsys):
        site(isr(tags=["home"])(self.view))
        call_command("edge_isr_explain", "https://a.example/page/")
        out = capsys.readouterr().out
        queries, tags = out.index("Queries\n"), out.index("Tags\n")
        assert " shop.category:1 shop.product:11\n      SELECT " in out[queries:tags]
        assert " shop.product_labels:product=11\n      SELECT " in out[queries:tags]
        for line in (
            "shop.category:1: each change of the category 1",
            "shop.label:@: each label that comes or goes",
            "shop.product:category=1@: each product whose category is, was or becomes 1, with "
            "active set, that comes or goes, or changes in active, category_id, price, slug",
            "shop.product:*: changes of product rows that are not known",
            "home: whoever names it",
            "path:/page/: revalidation of this path",
        ):
            assert f"\n  {line}" in out[tags:]

    def test_a_page_that_fails(self, site):
        site(isr(self.view))
        with pytest.raises(CommandError, match="can't be rendered: IndexError"):
            call_command("edge_isr_explain", "/page/")

    def test_with_debug_in_a_field(self, site, settings, fez):
        client = site(isr(self.view))
        assert "X-Edge-ISR-Explain" not in client.get("/page/")
        settings.DEBUG = True
        new_tags = client.get("/page/")["X-Edge-ISR-Explain"]
        assert "shop.label:@ <- SELECT ... FROM" in new_tags

    @pytest.mark.parametrize(
        ("tag", "meaning"),
        [
            ("shop.product", "every change of any product"),
            ("auth.user", "every change of any user, but for changes of last_login alone"),
            ("shop.product:@price", "a change of price in any product"),
            ("shop.product:@price=7", "a change of price in the product 7"),
            ("shop.product:7", "each change of the product 7"),
            ("table:old_prices", "SQL of the site's own that writes old_prices"),
            ("edge_isr.anything",
             "every change of a row: something that it depends on can't be named"),
            ("home", "whoever names it: register(tags=...), revalidate_by_tags"),
        ],
    )  # fmt: skip
    def test_what_sends_a_tag(self, tag, meaning):
        assert writes_that_invalidate(tag) == meaning
