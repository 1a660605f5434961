"""The Django package with the real worker: the same story on a site that names its tags and on one
that has them named, with and without the outbox; and what a worker that was away has missed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SEEN_SECONDS
from stack import ROOT, TOKENS, WEBHOOK_SECRET, Process, free_port, wait_until

PACKAGE = ROOT / "django"
IMPORTS = "from shop.models import Category, Product\nfrom django.db import transaction\n"
DATA = """
hats = Category.objects.create(name='Hats', slug='hats')
shoes = Category.objects.create(name='Shoes', slug='shoes')
Product.objects.create(name='Fez', slug='fez', price=5, category=hats)
Product.objects.create(name='Boot', slug='boot', price=9, category=shoes)
"""


class Story:
    """One of the two sites, under gunicorn."""

    def __init__(self, directory, kind, port, edge, outbox="yes"):
        self.port = port
        self.env = {
            "DJANGO_SETTINGS_MODULE": "story.settings",
            "PYTHONPATH": os.pathsep.join([str(PACKAGE), str(PACKAGE / "tests")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "STORY_KIND": kind,
            "STORY_DIRECTORY": str(directory),
            "STORY_SECRET": WEBHOOK_SECRET,
            "STORY_OUTBOX": outbox,
            "STORY_TOKEN": TOKENS["reader"][1],
        }
        self.manage("migrate", "--run-syncdb", "-v0")
        self.orm(DATA)
        self.env["STORY_EDGE"] = edge.url
        arguments = [sys.executable, "-m", "gunicorn", "django.core.wsgi:get_wsgi_application()"]
        arguments += ["--bind", f"127.0.0.1:{port}", "--workers", "2", "--threads", "4"]
        log = Path(directory) / "site.log"
        self.process = Process("site", [*arguments, "--no-control-socket"], log, self.env, PACKAGE)
        self.process.wait_for(lambda: "Booting worker" in self.process.output(), 30, "serving")

    def manage(self, *arguments, code=0):
        """A management command in a process of its own; what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "django", *arguments],
            cwd=PACKAGE,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def orm(self, code):
        """Python against the models, in a process that ends when it is done."""
        return self.manage("shell", "-c", IMPORTS + code)


@pytest.fixture(scope="module", params=["isr", "auto", "isr-direct", "auto-direct"])
def story(request, start_worker, tmp_path_factory):
    """A site, and the edge in front of it."""
    kind, _, direct = request.param.partition("-")
    port = free_port()
    edge = start_worker(f"http://127.0.0.1:{port}")
    directory = tmp_path_factory.mktemp("story")
    site = Story(directory, kind, port, edge, outbox="no" if direct else "yes")
    yield site, edge
    site.process.stop()


def stored(edge, *paths):
    """Has pages in the cache."""
    for path in paths:
        edge.get(path)
        edge.until_hit(path)


def test_an_edit_is_fresh_within_the_bound_and_nothing_else_is_touched(story):
    site, edge = story
    mine, listing, other = "/product/fez/", "/category/hats/", "/about/"
    stored(edge, mine, listing, other)
    assert "Fez" in edge.get(mine).text and "Fez" in edge.get(listing).text
    said = site.orm("p = Product.objects.get(slug='fez'); p.name = 'Tarboosh'; p.save()")
    assert "at epoch" in said
    edge.until(lambda answer: "Tarboosh" in answer.text, mine, SEEN_SECONDS + 5)
    edge.until(lambda answer: "Tarboosh" in answer.text, listing, SEEN_SECONDS + 5)
    assert edge.get(other).hit


def test_a_move_refreshes_where_it_was_and_where_it_is(story):
    site, edge = story
    old, new = "/category/shoes/", "/category/hats/"
    stored(edge, old, new)
    site.orm(
        "Product.objects.filter(slug='boot').update(category=Category.objects.get(slug='hats'))"
    )
    edge.until(lambda answer: "Boot" in answer.text, new, SEEN_SECONDS + 5)
    edge.until(lambda answer: "Boot" not in answer.text, old, SEEN_SECONDS + 5)
    site.orm(
        "Product.objects.filter(slug='boot').update(category=Category.objects.get(slug='shoes'))"
    )
    edge.until(lambda answer: "Boot" in answer.text, old, SEEN_SECONDS + 5)


def test_a_related_row_refreshes_the_pages_that_show_it(story):
    site, edge = story
    stored(edge, "/product/boot/")
    site.orm("c = Category.objects.get(slug='shoes'); c.name = 'Footwear'; c.save()")
    edge.until(lambda answer: "Footwear" in answer.text, "/product/boot/", SEEN_SECONDS + 5)


def test_a_new_row_appears_in_its_list(story):
    site, edge = story
    stored(edge, "/category/hats/")
    site.orm(
        "Product.objects.bulk_create([Product(name='Beret', slug='beret', "
        "category=Category.objects.get(slug='hats'))])"
    )
    edge.until(lambda answer: "Beret" in answer.text, "/category/hats/", SEEN_SECONDS + 5)


def test_a_rollback_invalidates_nothing(story):
    site, edge = story
    stored(edge, "/product/boot/")
    said = site.orm(
        "with transaction.atomic():\n"
        "    Product.objects.update(price=1)\n"
        "    transaction.set_rollback(True)"
    )
    assert "epoch" not in said
    assert edge.get("/product/boot/").hit


def test_what_the_worker_missed_it_hears_later(start_worker, tmp_path):
    """The worker is away while data changes and the changing process ends: the outbox remembers."""
    port, edge_port = free_port(), free_port()
    persist = tmp_path / "persist"
    edge = start_worker(f"http://127.0.0.1:{port}", port=edge_port, persist=persist)
    site = Story(tmp_path, "auto", port, edge)
    try:
        stored(edge, "/product/fez/")
        edge.worker.process.kill()
        said = site.orm("p = Product.objects.get(slug='fez'); p.name = 'Kufi'; p.save()")
        assert "not delivered, again in" in said
        edge = start_worker(f"http://127.0.0.1:{port}", port=edge_port, persist=persist)
        # The site's own processes find it, without any request or change.
        edge.until(lambda answer: "Kufi" in answer.text, "/product/fez/", 60)
        seen = site.manage("edge_isr_status")
        wait_until(lambda: "0 pending" in site.manage("edge_isr_status"), 30, seen)
    finally:
        site.process.stop()


def test_the_routes_that_views_ask_for(start_worker, tmp_path):
    """What is printed for the worker is what is enough for the check, and for the pages."""
    port = free_port()
    plain = start_worker(f"http://127.0.0.1:{port}")
    site = Story(tmp_path, "auto", port, plain)
    try:
        # The objects of a new worker start with its first call; the command waits a few seconds
        # only.
        assert plain.get("/__isr/healthz").status == 200
        lacking = site.manage("edge_isr_routes", "--check", code=1)
        for what in ("HX-Request never reaches", "make pages of their own", "vary_on: device"):
            assert what in lacking
        routes = json.loads(site.manage("edge_isr_routes"))
        edge = start_worker(f"http://127.0.0.1:{port}", config=routes)
        assert edge.get("/__isr/healthz").status == 200
        site.env["STORY_EDGE"] = edge.url
        assert "have all that the views ask for" in site.manage("edge_isr_routes", "--check")
        assert edge.get("/search/?q=a").text == "page of a"
        assert edge.get("/search/?q=a", hx_request="true").text == "partial of a"
    finally:
        site.process.stop()
