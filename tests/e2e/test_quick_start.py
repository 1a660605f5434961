"""The Django package's quick start, followed to the letter: its own blocks, in a new project."""

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager

import httpx
import pytest
from conftest import SEEN_SECONDS
from stack import ROOT, Process, free_port

README = (ROOT / "django" / "README.md").read_text()
SECTION = README.split("## Quick start")[1].split("\n## ")[0]
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", SECTION, re.DOTALL)


def block(marker):
    """The README's block that begins with, or holds, a text."""
    found = [text for _, text in BLOCKS if marker in text]
    assert len(found) == 1, marker
    return found[0]


NEWEST = ROOT / ".pythons" / "newest"
# Which Python runs the site, and what is on its path first: this environment, and the newest
# Django.
SITES = {"of requirements.txt": (sys.executable, [])}
if NEWEST.exists():
    SITES["6.1"] = (str(NEWEST / "bin" / "python"), [str(NEWEST / "django-6.1")])


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The package as pip installs it; without the network, so Django is this environment's own."""
    target = tmp_path_factory.mktemp("installed")
    arguments = ["--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--target", target]
    command = [sys.executable, "-m", "pip", "install", *arguments, ROOT / "django"]
    subprocess.run([str(part) for part in command], check=True, timeout=120)
    return target


class Site:
    """A Django project in a directory, with one of the Djangos and the package as installed."""

    def __init__(self, django, installed, directory):
        self.python, path = SITES[django]
        self.directory = directory
        self.env = {
            "PYTHONPATH": os.pathsep.join([*path, str(installed)]),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        assert self.run("-m", "django", "--version").startswith(django if path else "")

    def run(self, *arguments):
        done = subprocess.run(
            [self.python, *arguments], cwd=self.directory, env={**os.environ, **self.env},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def served(self, port):
        arguments = [self.python, "-u", "manage.py", "runserver", str(port)]
        log = self.directory / "server.log"
        server = Process("runserver", arguments, log, self.env, self.directory)
        try:
            server.wait_for(lambda: "Quit the server" in server.output(), 30, "serving")
            yield
        finally:
            os.kill(server.pid, signal.SIGINT)
            server.stop()


@pytest.mark.parametrize("django", SITES)
def test_the_quick_start(django, installed, start_worker, tmp_path):
    port = free_port()
    secret = re.search(r"--webhook-secret (\S+)", block("scripts/serve")).group(1)
    edge = start_worker(f"http://127.0.0.1:{port}", secrets=(secret,))
    site = Site(django, installed, tmp_path)
    site.run("-m", "django", "startproject", "mysite", ".")
    settings = tmp_path / "mysite" / "settings.py"
    assert "http://127.0.0.1:8787" in block("# settings.py")
    seen = block("# settings.py").replace("http://127.0.0.1:8787", edge.url)
    settings.write_text(settings.read_text() + "\n" + seen)
    (tmp_path / "views.py").write_text(block("# views.py"))
    (tmp_path / "mysite" / "urls.py").write_text(block("# urls.py"))

    assert "no issues" in site.run("manage.py", "check")
    commands = block("manage.py migrate").splitlines()
    assert commands == ["python manage.py migrate", "python manage.py runserver 8000"]
    site.run("manage.py", "migrate", "-v0")
    with site.served(port):
        edge.get("/groups/")
        edge.until_hit("/groups/")
        code = re.search(r'shell -c "(.*)"', block("shell -c")).group(1)
        site.run("manage.py", "shell", "-c", code)
        edge.until(lambda answer: "Editors" in answer.text, "/groups/", SEEN_SECONDS + 5)


@pytest.mark.parametrize("django", SITES)
@pytest.mark.parametrize("example", ["blog", "wagtail"])
def test_an_example_alone(example, django, installed, tmp_path):
    """The commands of its README."""
    directory = tmp_path / example
    shutil.copytree(ROOT / "examples" / example, directory)
    said = " ".join((directory / "README.md").read_text().split())
    assert "`manage.py migrate && manage.py seed && manage.py runserver`" in said
    site = Site(django, installed, directory)
    site.run("manage.py", "migrate", "-v0")
    site.run("manage.py", "seed")
    port = free_port()
    # As the worker asks: the blog's pages have a form, whose token is each visitor's own.
    asks = {"X-Edge-ISR-Compose": "v=1"}
    with site.served(port):
        answer = httpx.get(f"http://127.0.0.1:{port}/", headers=asks)
    assert answer.status_code == 200 and "path:/" in answer.headers["X-Edge-ISR-Tags"].split()


def test_the_installed_package_is_whole(installed):
    package = installed / "edge_isr"
    for part in (
        "py.typed",
        "migrations/0001_outbox.py",
        "templates/edge_isr/status.html",
        "templatetags/edge_isr.py",
        "management/commands/edge_isr_deliver.py",
    ):
        assert (package / part).is_file(), part
    assert not (installed / "tests").exists()
