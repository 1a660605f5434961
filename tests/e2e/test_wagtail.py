"""The Wagtail example behind the real worker: published edits arrive, drafts don't, moves do."""

import os
import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from conftest import SEEN_SECONDS
from stack import ROOT, WEBHOOK_SECRET, Process, cache_status, free_port

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
