"""The composed blog in a real browser, Chromium: it looks as from the origin, its forms are taken,
messages are shown once, and no policy is violated. With a Django that makes nonces.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from stack import BLOG_CONFIG, ROOT, Blog, StackError, free_port

PAGES = ["/", "/?page=2", "/post/debugging-cold-starts/", "/category/caching/", "/search/?q=a"]
FORM = "/post/debugging-cold-starts/comment/"
NODE = ROOT / "node_modules" / ".bin" / "node"
PYTHON = ROOT / ".pythons" / "newest"


def chromium():
    """The browser of the machine."""
    names = ("chromium", "chromium-browser", "google-chrome")
    given = os.environ.get("EDGE_ISR_CHROMIUM")
    found = given or next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise StackError("Chromium is missing (Debian: apt install chromium; EDGE_ISR_CHROMIUM)")
    return found


@pytest.fixture(scope="module")
def outcome(start_worker, tmp_path_factory):
    """What a reader in a browser has seen."""
    port = free_port()
    site = start_worker(f"http://127.0.0.1:{port}", config=BLOG_CONFIG)
    newest = {
        "python": PYTHON / "bin" / "python",
        "extra_env": {"PYTHONPATH": f"{PYTHON / 'django-6.1'}{os.pathsep}{ROOT / 'django'}"},
    }
    blog = Blog(
        tmp_path_factory.mktemp("browser"),
        port,
        edge_url=site.url,
        **(newest if PYTHON.exists() else {}),
    )
    blog.orm(
        "from django.contrib.auth.models import User\n"
        "User.objects.create_user('ada', password='ada')"
    )
    for path in [*PAGES, FORM]:
        site.get(path)
        site.until_hit(path)
    script = Path(__file__).with_name("composed_browser.mjs")
    done = subprocess.run(
        [NODE, script, site.url, blog.url, "ada", *PAGES],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "EDGE_ISR_CHROMIUM": chromium()},
    )
    blog.stop()
    if done.returncode != 0:
        raise StackError(f"the browser failed:\n{done.stderr[-4000:]}")
    return json.loads(done.stdout)


def test_it_looks_as_from_the_origin(outcome):
    assert len(outcome["pages"]) == 2 * len(PAGES)
    for page in outcome["pages"]:
        assert page["status"] == [200, 200], page
        assert "hit" in page["cache"], page
        assert page["same"], page["html"]
        assert page["looks"], (page["path"], page["who"])
        # The script with the page's nonce ran, by both ways.
        assert page["scripts"] == ["js", "js"], page


def test_forms_are_taken_and_messages_shown_once(outcome):
    assert "hit" in outcome["before"] and "hit" in outcome["form"]
    assert outcome["first"] == ["Thank you, the next letter is yours."]
    assert outcome["again"] == []
    assert outcome["comment"] == 1 and outcome["thanks"] == ["Thank you, your comment is online."]


def test_who_logs_out_is_gone(outcome):
    for where in ("other", "out", "back"):
        assert "ada" not in outcome[where] and "Log out" not in outcome[where], outcome[where]
    assert "sessionid" not in outcome["cookies"] and "csrftoken" in outcome["cookies"]


def test_the_console_says_nothing(outcome):
    assert outcome["faults"] == []
