"""The Wagtail example behind the real worker: published edits arrive, drafts don't, moves do."""

import json
import os
import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from conftest import SEEN_SECONDS
from stack import ROOT, WEBHOOK_SECRET, Process, cache_status, free_port, wait_until

EXAMPLE = ROOT / "examples" / "wagtail"


@pytest.fixture(scope="module")
def wagtail(start_worker, tmp_path_factory):
    """The example under gunicorn and its edge; and a function that runs Python against it."""
    port = free_port()
    edge = start_worker(f"http://127.0.0.1:{port}", config=EXAMPLE / "edge-isr.json")
    directory = tmp_path_factory.mktemp("wagtail")
    env = {
        "SITE_DATABASE": str(directory / "site.sqlite3"),
        "EDGE_ISR_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "PYTHONPATH": str(ROOT / "django"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def manage(*arguments):
        done = subprocess.run(
            [sys.executable, EXAMPLE / "manage.py", *arguments],
            cwd=EXAMPLE,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    manage("migrate", "-v0")
    manage("seed")
    env["EDGE_ISR_URL"] = edge.url
    arguments = [sys.executable, "-m", "gunicorn", "wagtail_site.wsgi", "--no-control-socket"]
    arguments += ["--bind", f"127.0.0.1:{port}", "--threads", "4"]
    site = Process("site", arguments, directory / "site.log", env, EXAMPLE)
    site.wait_for(lambda: "Booting worker" in site.output(), 30, "serving")

    def orm(code):
        return manage("shell", "-c", "from home.models import *\n" + code)

    yield edge, orm
    site.stop()


def test_pages_are_kept_and_editors_are_not(wagtail):
    edge, _ = wagtail
    for path in ("/", "/first/"):
        assert edge.get(path).status == 200
        edge.until_hit(path)
    answer = edge.get("/admin/login/")
    assert answer.status == 200 and "stored" not in answer.cache and not answer.hit


def test_a_published_edit_arrives_on_the_page_and_in_its_listing(wagtail):
    edge, orm = wagtail
    for path in ("/", "/second/"):
        edge.get(path)
        edge.until_hit(path)
    said = orm(
        "page = NotePage.objects.get(slug='second')\n"
        "page.title = 'Second thoughts'\n"
        "page.save_revision().publish()"
    )
    assert "at epoch" in said
    for path in ("/", "/second/"):
        edge.until(lambda answer: "Second thoughts" in answer.text, path, SEEN_SECONDS + 10)


def test_a_new_and_an_unpublished_page(wagtail):
    edge, orm = wagtail
    edge.get("/")
    edge.until_hit("/")
    orm("IndexPage.objects.get().add_child(instance=NotePage(title='Fourth', slug='fourth'))")
    edge.until(lambda answer: "Fourth" in answer.text, "/", SEEN_SECONDS + 10)
    edge.get("/fourth/")
    edge.until_hit("/fourth/")
    orm("NotePage.objects.get(slug='fourth').unpublish()")
    edge.until(lambda answer: answer.status == 404, "/fourth/", SEEN_SECONDS + 10)
    edge.until(lambda answer: "Fourth" not in answer.text, "/", SEEN_SECONDS + 10)


def test_a_page_is_out_of_date_when_its_time_comes_and_when_it_is_published(wagtail):
    """Nothing of Django runs at that time but to answer the edge."""
    edge, orm = wagtail
    # Only what was published by a revision stays as it is until the next one goes live.
    orm("NotePage.objects.get(slug='second').save_revision().publish()")
    edge.get("/second/")
    edge.until_hit("/second/")
    scheduled = "/__isr/v1/scheduled"

    def shown(path):
        return json.loads(edge.control(path).text)

    orm(
        "import datetime\n"
        "from django.utils import timezone\n"
        "page = NotePage.objects.get(slug='second')\n"
        "page.go_live_at = timezone.now() + datetime.timedelta(days=2)\n"
        "page.body = 'Long awaited'\n"
        "page.save_revision().publish()"
    )

    def one():
        """The only one that waits: an older one has been taken back."""
        waits = shown(scheduled)["scheduled"]
        return waits[0] if len(waits) == 1 else None

    first = wait_until(one, SEEN_SECONDS + 20)
    assert first["reason"].endswith(" go_live_at")
    # Sooner: the old one is taken back. What no signal reports is seen when the time comes.
    orm(
        "import datetime, edge_isr\n"
        "from django.utils import timezone\n"
        "page = NotePage.objects.get(slug='second').get_latest_revision_as_object()\n"
        "page.go_live_at = timezone.now() + datetime.timedelta(seconds=25)\n"
        "page.save_revision().publish()\n"
        "with edge_isr.silence():\n"
        "    NotePage.objects.filter(slug='second').update(body='By the clock')"
    )
    assert "By the clock" not in edge.get("/second/").text
    edge.until(lambda answer: "By the clock" in answer.text, "/second/", SEEN_SECONDS + 40)
    assert shown(scheduled)["scheduled"] == []
    done = shown("/__isr/v1/invalidations")["invalidations"]
    assert sum(row["via"] == "schedule" for row in done) == 1
    orm("from django.core.management import call_command; call_command('publish_scheduled')")
    edge.until(lambda answer: "Long awaited" in answer.text, "/second/", SEEN_SECONDS + 10)


def test_a_moved_page(wagtail):
    edge, orm = wagtail
    for path in ("/", "/third/"):
        edge.get(path)
        edge.until_hit(path)
    orm(
        "NotePage.objects.get(slug='third').move(NotePage.objects.get(slug='first'), "
        "pos='last-child')"
    )
    edge.until(lambda answer: answer.status == 404, "/third/", SEEN_SECONDS + 10)
    edge.until(lambda answer: "Third" not in answer.text, "/", SEEN_SECONDS + 10)
    assert edge.get("/first/third/").status == 200


def test_a_page_behind_a_password(wagtail):
    """What was public is gone, the form is for each visitor, and what it opens for one alone."""
    edge, orm = wagtail
    orm("IndexPage.objects.get().add_child(instance=NotePage(title='Sesame', slug='sesame'))")
    assert "Sesame" in edge.get("/sesame/").text
    edge.until_hit("/sesame/")
    orm(
        "from wagtail.models import PageViewRestriction\n"
        "PageViewRestriction.objects.create(page=NotePage.objects.get(slug='sesame'), "
        "restriction_type='password', password='open')"
    )
    edge.until(lambda answer: 'type="password"' in answer.text, "/sesame/", SEEN_SECONDS + 10)
    form = edge.get("/sesame/")
    assert form.status == 200 and not form.hit
    token = form.headers["set-cookie"].split(";")[0]
    assert token.startswith("csrftoken=")
    action = re.search(r'action="([^"]*)"', form.text)[1]
    hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]*)"', form.text)[1]
    opened = edge.request(
        "POST",
        urlsplit(action).path,
        headers={"cookie": token},
        data={"csrfmiddlewaretoken": hidden, "return_url": "/sesame/", "password": "open"},
    )
    assert opened.status == 302, opened.text
    session = opened.headers["set-cookie"].split(";")[0]
    mine = edge.get("/sesame/", cookie=session)
    assert "Sesame" in mine.text and 'type="password"' not in mine.text
    for _ in range(3):
        assert 'type="password"' in edge.get("/sesame/").text


def test_editors_get_hits_with_their_bar(wagtail):
    """The user bar is theirs, and of the page on which it stands."""
    edge, orm = wagtail
    pages = {"/": "IndexPage.objects.get()", "/first/": "NotePage.objects.get(slug='first')"}
    ids = {
        path: orm(f"print('id', {page}.pk)").split("id ")[-1].strip()
        for path, page in pages.items()
    }
    for path in pages:
        edge.get(path)
        edge.until_hit(path)
    editor = edge.visitor()
    form = editor.get("/admin/login/")
    hidden = re.search(r'name="csrfmiddlewaretoken" value="([^"]*)"', form.text)[1]
    fields = {"csrfmiddlewaretoken": hidden, "username": "admin", "password": "admin"}
    headers = {"referer": f"{edge.url}/admin/login/", "origin": edge.url}
    assert editor.post("/admin/login/", data=fields, headers=headers).status_code == 302
    assert "sessionid" in editor.cookies
    for path, page in ids.items():
        answer = editor.get(path)
        assert "hit" in cache_status(answer.headers["cache-status"]), answer.headers
        assert answer.headers["cache-control"] == "private, no-store"
        assert "wagtail-userbar" in answer.text
        assert f"/admin/pages/{page}/edit/" in answer.text
        nobody = edge.get(path)
        assert nobody.hit and "userbar" not in nobody.text and "/admin/" not in nobody.text
    # Who has only the name of a session is nobody.
    guessed = edge.get("/first/", cookie="sessionid=0123456789abcdef0123456789abcdef")
    assert guessed.hit and "userbar" not in guessed.text
