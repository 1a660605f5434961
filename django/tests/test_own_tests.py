"""A site's own tests are as they are without the package, and can look at what is sent."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PART
from django.core.cache import cache
from django.db import transaction
from django.http import HttpResponse
from django.test import TestCase
from shop.models import Category, Label, Product

import edge_isr
from edge_isr import isr
from edge_isr.models import OutboxMessage
from edge_isr.testing import (
    assert_cached,
    assert_invalidates,
    assert_not_cached,
    assert_not_invalidates,
    recorded,
)

TESTS = Path(__file__).parent


def named(new_tags):
    """The tags of models and rows that were sent, without those of values and columns."""
    return {tag for tag in new_tags.tags if not PART.fullmatch(tag)}


def change(category):
    """A save that changes something."""
    category.name += "!"
    category.save()


PATH = [str(Path(edge_isr.__file__).parent.parent), str(TESTS)]


def run(**environment):
    """`manage.py test`, and what its tests print."""
    path = [*PATH, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "django", "test", "ownsite", "--noinput"],
        env={
            **os.environ, "PYTHONPATH": os.pathsep.join(path),
            "DJANGO_SETTINGS_MODULE": "ownsite.settings", **environment,
        },
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {line for line in done.stdout.splitlines() if re.match("In|Com|threads|callb", line)}


def test_a_sites_tests_are_as_without_the_package():
    without = run(OWNSITE_WITHOUT="yes")
    assert len(without) > 30 and "callbacks 0" in without and "threads []" in without
    assert run() == without


def test_whoever_asks_gets_the_deliverer(worker):
    """It passes, and leaves no connection to the database behind."""
    printed = run(OWNSITE_IN_TESTS="yes", OWNSITE_WORKER=worker.url)
    assert any(re.match("threads .*edge-isr", line) for line in printed)
    assert "shop.category" in worker.tags


@pytest.fixture
def asleep(edge):
    edge(IN_TESTS=False)


class TestAsleep:
    """In a test run that didn't ask."""

    @pytest.mark.django_db(transaction=True)
    def test_nothing_is_sent(self, asleep, worker):
        Category.objects.create(name="x", slug="x")
        edge_isr.revalidate_by_tags("x")
        edge_isr.revalidate_all()
        assert not OutboxMessage.objects.exists() and not worker.calls

    @pytest.mark.django_db(transaction=True)
    def test_it_is_recorded_when_it_commits(self, asleep, worker):
        with recorded() as new_tags:
            category = Category.objects.create(name="x", slug="x")
            assert named(new_tags) == {"shop.category", f"shop.category:{category.pk}"}
            with pytest.raises(RuntimeError), transaction.atomic():
                Label.objects.create(pk=41)
                raise RuntimeError
        edge_isr.revalidate_by_tags("x")
        assert named(new_tags) == {"shop.category", f"shop.category:{category.pk}"}
        assert not OutboxMessage.objects.exists() and not worker.calls

    @pytest.mark.django_db
    def test_it_is_recorded_in_a_test_that_never_commits(self, asleep):
        Label.objects.create(pk=40)
        with recorded() as new_tags:
            Label.objects.create(pk=41)
            with pytest.raises(RuntimeError), transaction.atomic():
                Label.objects.create(pk=42)
                raise RuntimeError
            edge_isr.revalidate_by_paths("/x/")
        assert named(new_tags) == {"shop.label", "shop.label:41"} and new_tags.paths == {"/x/"}

    @pytest.mark.django_db
    def test_the_assertions(self, asleep, hats, fez):
        with assert_invalidates("shop.category:1"):
            change(hats)
        with assert_invalidates(hats, Product, "/x/", "https://a.example/"):
            change(hats)
            Product.objects.update(price=1)
            edge_isr.revalidate_by_paths("/x/")
            edge_isr.revalidate_by_urls("https://a.example/")
        missing = r"shop.product:11 was not invalidated; .*category"
        with pytest.raises(AssertionError, match=missing), assert_invalidates(fez):
            change(hats)
        with assert_not_invalidates(fez):
            change(hats)
        with assert_not_invalidates():
            Category.objects.filter(pk=77).update(name="x")
        found = r"shop.category:1 was invalidated"
        with pytest.raises(AssertionError, match=found), assert_not_invalidates("shop.category:1"):
            change(hats)
        with pytest.raises(AssertionError, match="expected nothing"), assert_not_invalidates():
            change(hats)

    @pytest.mark.django_db
    def test_very_many_rows_and_everything_count_for_each(self, asleep, hats):
        Label.objects.bulk_create(Label(pk=n) for n in range(1, 2001))
        with assert_invalidates("shop.label:77"):
            Label.objects.update(name="x")
        with assert_invalidates(hats, "anything"):
            edge_isr.revalidate_all()

    @pytest.mark.django_db
    def test_an_exception_is_not_hidden(self, asleep):
        with pytest.raises(RuntimeError), assert_invalidates("x"):
            raise RuntimeError

    @pytest.mark.django_db
    def test_a_fragment_is_made_anew(self, asleep):
        made = []
        fragment = edge_isr.isr_fragment("x")(lambda: made.append(1) or len(made))
        cache.clear()
        assert (fragment(), fragment()) == (1, 2)


@pytest.mark.django_db
def test_cached_or_not(site, settings):
    def view(request):
        if request.GET:
            request.session["x"] = 1
        return HttpResponse("x")

    client = site(isr(tags=["post:1"])(view))
    assert_cached(client.get("/page/"))
    assert_cached(client.get("/page/"), "post:1")
    with pytest.raises(AssertionError, match="has no tag post:2; it has post:1"):
        assert_cached(client.get("/page/"), "post:2")
    assert_not_cached(client.get("/page/?x=1"))
    with pytest.raises(AssertionError, match="not cached: set-cookie"):
        assert_cached(client.get("/page/?x=1"))
    with pytest.raises(AssertionError, match="is cached"):
        assert_not_cached(client.get("/page/"))


class AsAUnittest(TestCase):
    def test_it(self):
        with assert_invalidates(Label):
            Label.objects.create()


@pytest.mark.django_db
def test_the_fixture(edge_isr_invalidations, asleep):
    assert not edge_isr_invalidations.tags
    Label.objects.create(pk=41)
    assert named(edge_isr_invalidations) == {"shop.label", "shop.label:41"}
