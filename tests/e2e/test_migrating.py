"""docs/migrating.md, to the letter: what follows "After" runs against the worker and a real Django;
what follows "Before" runs with the package that it is written for, but for django-dumper, whose
last Django is 1.9. Calls to a provider's own address go to a worker that answers for it
(`control_hosts`), as they stand.
"""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SEEN_SECONDS
from origin import page
from stack import ROOT, TOKENS, WEBHOOK_SECRET, Process, free_port

TEXT = (ROOT / "docs" / "migrating.md").read_text()
PUBLIC = "https://www.example.net"
CLIENTS = ROOT / ".clients" / "all"
PACKAGES = ["django-edge-isr", "django-custom-cache-page", "django-dumper", "django-ultracache"]
PAGE, BESIDE = "/blog/first/", "/about/"


def section(title):
    """A section's blocks after "Before" and after "After", each with its language."""
    text = re.split(rf"^##+ {re.escape(title)}$", TEXT, flags=re.MULTILINE)[1]
    text = re.split(r"^##+ ", text, flags=re.MULTILINE)[0]
    blocks = {"Before": [], "After": []}
    kind = None
    for line, language, body in re.findall(
        r"^(Before|After)|^```(\w+)\n(.*?)^```", text, re.M | re.S
    ):
        if line:
            kind = line
        elif kind:
            blocks[kind].append((language, body))
    return blocks


def after(title, language):
    """The section's blocks of a language after "After"."""
    return [body for seen, body in section(title)["After"] if seen == language]


CALLS = [
    (title, call)
    for title in ("From Varnish", "From nginx", "From Fastly", "From Cloudflare's purge")
    for call in after(title, "sh")
]


def test_there_is_what_is_tried():
    assert len(CALLS) == 8
    assert [len(section(name)["After"]) for name in PACKAGES] == [1] * 4
    assert all(len(section(name)["Before"]) == 1 for name in PACKAGES)


@pytest.fixture(scope="module")
def edge(start_worker, origin):
    """A worker with Varnish's settings, which answers for the providers, too."""
    (settings,) = after("From Varnish", "json")
    hosts = [host for _, host, _ in PROVIDERS]
    return start_worker(origin.url, config={**json.loads(settings), "control_hosts": hosts})


def stored(edge, origin):
    """The page that is purged, and one that is not; both as an origin sends them that states no
    freshness.
    """
    for path, tag in ((PAGE, "post:1"), (BESIDE, "page:about")):
        origin.on(path, page("old", tags=tag, control="public"))
        edge.revalidate({"urls": [edge.url + path], "mode": "hard"})
        edge.until(lambda answer: answer.hit and answer.text == "old", path)
        origin.on(path, page("new", tags=tag, control="public"))


def only_the_page_is_fresh(edge):
    edge.until(lambda answer: answer.text == "new" and answer.hit, PAGE, SEEN_SECONDS + 5)
    assert edge.get(BESIDE).text == "old"


@pytest.mark.parametrize(
    ("title", "call"), CALLS, ids=[f"{title}-{at}" for at, (title, _) in enumerate(CALLS)]
)
def test_a_call(edge, origin, title, call):
    stored(edge, origin)
    env = {**os.environ, "TOKEN": TOKENS["operator"][1]}
    assert PUBLIC in call
    done = subprocess.run(
        ["bash", "-euc", call.replace(PUBLIC, edge.url)],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    only_the_page_is_fresh(edge)


PROVIDERS = [
    ("From Fastly", "api.fastly.com", "FASTLY_KEY"),
    ("From Cloudflare's purge", "api.cloudflare.com", "CF_TOKEN"),
]


@pytest.mark.parametrize(("title", "host", "variable"), PROVIDERS)
def test_a_call_from_before_to_a_host_that_the_worker_answers_for(
    edge, origin, title, host, variable
):
    stored(edge, origin)
    ((language, call),) = section(title)["Before"]
    assert language == "sh" and f"https://{host}/" in call
    call = call.replace("curl ", f"curl -fsS -H 'Host: {host}' ").replace(
        f"https://{host}", edge.url
    )
    env = {**os.environ, variable: TOKENS["operator"][1]}
    done = subprocess.run(
        ["bash", "-euc", call.replace(PUBLIC, edge.url)],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    only_the_page_is_fresh(edge)


def test_the_settings_for_nginx(start_worker, origin):
    (settings,) = after("From nginx", "json")
    edge = start_worker(origin.url, config=json.loads(settings))
    for path in ("/n", "/n-admin", "/n-missing", "/admin/n"):
        status = 404 if path == "/n-missing" else 200
        origin.on(path, page("body", control="public", status=status))
    assert edge.until_hit("/n?page=2&utm=1").cache["ttl"] <= "300"
    assert edge.get("/n?page=2&other=1").hit and not edge.get("/n?page=3").hit
    assert 0 < int(edge.until_hit("/n-missing").cache["ttl"]) <= 60
    for _ in range(2):
        assert not edge.get("/admin/n").hit


@pytest.mark.parametrize("at", [0, 1], ids=["wagtails-own", "the-packages"])
def test_wagtails_frontend_cache(edge, origin, tmp_path, at):
    stored(edge, origin)
    setting = after("From Wagtail's frontend cache", "python")[at].replace(PUBLIC, edge.url)
    script = f"""
import os
import django
from django.conf import settings
values = {{}}
exec({setting!r}, values)
settings.configure(
    INSTALLED_APPS=["edge_isr", "wagtail.documents", "wagtail.images", "wagtail.users",
        "wagtail.admin", "wagtail.search", "wagtail.sites", "wagtail", "modelcluster", "taggit",
        "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
        "django.contrib.messages", "django.contrib.staticfiles", "wagtail.contrib.frontend_cache"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}}}},
    WAGTAILFRONTENDCACHE=values["WAGTAILFRONTENDCACHE"], WAGTAIL_SITE_NAME="e2e",
    STATIC_URL="/static/",
    WAGTAILADMIN_BASE_URL="http://localhost",
    EDGE_ISR={{"WORKER_URL": {edge.url!r}, "WEBHOOK_SECRET": {WEBHOOK_SECRET!r}}},
)
django.setup()
from django.core.management import call_command
call_command("migrate", "edge_isr", verbosity=0)
from wagtail.contrib.frontend_cache.utils import PurgeBatch
PurgeBatch([{edge.url + PAGE!r}]).purge()
call_command("edge_isr_deliver", verbosity=0)
"""
    python(script, tmp_path, ROOT / "django")
    only_the_page_is_fresh(edge)


def python(code, directory, *path):
    """Runs Python in a process of its own, with packages before this environment's."""
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    arguments = code if isinstance(code, list) else ["-c", code]
    done = subprocess.run(
        [sys.executable, *arguments],
        env=env,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("package", [name for name in PACKAGES if name != "django-dumper"])
def test_before(package, tmp_path):
    """The code of before is that package's: it imports, and answers."""
    ((_, code),) = section(package)["Before"]
    script = f"""
import sys, types
import django
from django.conf import settings
options = {{"context_processors": ["django.template.context_processors.request"]}}
settings.configure(
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"], ALLOWED_HOSTS=["*"],
    DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}}},
    TEMPLATES=[
        {{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": options}}
    ],
)
django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
module = types.ModuleType("before")
exec({code!r}, vars(module))
from django.contrib.auth.models import Group
from django.test import RequestFactory
Group.objects.create(name="Editors")
answer = module.view(RequestFactory().get("/"))
assert answer.content == b"Editors", answer.content
package = {{"custom_cache_page", "edge_isr", "ultracache"}} & set(sys.modules)
print(sys.modules[package.pop()].__file__)
"""
    seen = python(script, tmp_path, CLIENTS).strip()
    # Through the link, or where it leads.
    assert Path(seen).resolve().is_relative_to(CLIENTS.resolve()), seen


@pytest.fixture(scope="module")
def project(tmp_path_factory, start_worker):
    """A new project with the settings that all four have in common, and the worker before it."""
    directory = tmp_path_factory.mktemp("migrated")
    port = free_port()
    edge = start_worker(f"http://127.0.0.1:{port}")
    python(["-m", "django", "startproject", "mysite", "."], directory)
    common = re.search(r"The settings, for all:\n\n```python\n(.*?)```", TEXT, re.DOTALL)[
        1
    ].replace(PUBLIC, edge.url)
    settings = directory / "mysite" / "settings.py"
    more = f'WEBHOOK_SECRET = "{WEBHOOK_SECRET}"\nALLOWED_HOSTS = ["*"]\n{common}'
    more += 'import os\nEDGE_ISR["AUTO_TAGS"] = "AUTO_TAGS" in os.environ\n'
    settings.write_text(settings.read_text() + "\n" + more)
    python(["manage.py", "migrate", "-v0"], directory, ROOT / "django")
    return directory, port, edge


@pytest.mark.parametrize("package", PACKAGES)
def test_after(package, project):
    directory, port, edge = project
    ((_, code),) = section(package)["After"]
    path = f"/{package.removeprefix('django-')}/"
    (directory / "views.py").write_text(code)
    (directory / "mysite" / "urls.py").write_text(
        f"from django.urls import path\nimport views\nurlpatterns = [path({path[1:]!r}, "
        "views.view)]\n"
    )
    auto = {"AUTO_TAGS": "yes"} if package == "django-ultracache" else {}
    env = {"PYTHONPATH": str(ROOT / "django"), "PYTHONDONTWRITEBYTECODE": "1", **auto}
    arguments = [sys.executable, "-u", "manage.py", "runserver", "--noreload", str(port)]
    server = Process("runserver", arguments, directory / f"{package}.log", env, directory)
    try:
        server.wait_for(lambda: "Quit the server" in server.output(), 30, "serving")
        assert package not in edge.get(path).text
        edge.until_hit(path)
        change = f"import views\nviews.Group.objects.create(name={package!r})\n"
        change += "getattr(views, 'changed', lambda: None)()"
        done = subprocess.run(
            [sys.executable, "manage.py", "shell", "-c", change],
            cwd=directory, env={**os.environ, **env}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        edge.until(lambda answer: package in answer.text and answer.hit, path, SEEN_SECONDS + 5)
    finally:
        os.kill(server.pid, signal.SIGINT)
        server.stop()
