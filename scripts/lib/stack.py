"""Starts and ends what a whole site needs: the Django blog, and the worker in front of an origin.

Shared by the demo and the end-to-end tests. Every process is started in a session of its own and is
ended by its id, with whatever it started; its output goes to a file that errors quote.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOG = ROOT / "examples" / "blog"
BLOG_CONFIG = BLOG / "edge-isr.json"
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"demo and tests: 32 bytes of key!").decode()
TOKENS = {"reader": ("read", "demo-read"), "operator": ("admin", "demo-admin")}


# The edge closes connections that have been idle for five seconds, which is also the default of the
# HTTP clients here; a request must not meet that moment. Limits for `httpx.Client`.
KEEPALIVE_SECONDS = 2


class StackError(Exception):
    """Something did not start; the message says what, with the end of its output."""


def free_port():
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(condition, timeout, what="the condition", interval=0.02):
    """The condition's first true value; an error when none came in time."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(interval)


class Process:
    """One child process with its log."""

    def __init__(self, name, arguments, log, env=None, cwd=ROOT):
        self.name = name
        self.log = Path(log)
        with open(self.log, "ab") as output:
            self._child = subprocess.Popen(
                [str(argument) for argument in arguments],
                cwd=cwd,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._child.pid

    def output(self):
        """All it has printed."""
        return self.log.read_text(errors="replace")

    def alive(self):
        """Whether it still runs."""
        return self._child.poll() is None

    def wait_for(self, condition, timeout, what):
        """Waits for a condition, while it lives."""

        def check():
            if not self.alive():
                raise StackError(f"{self.name} ended with {self._child.returncode}:\n{self.tail()}")
            return condition()

        try:
            return wait_until(check, timeout, what)
        except TimeoutError as error:
            raise StackError(f"{self.name}: {error}\n{self.tail()}") from None

    def tail(self):
        """The end of its output."""
        return "\n".join(self.output().splitlines()[-25:])

    def stop(self, timeout=15):
        """Asks it to end, and sees to it that it does."""
        if self.alive():
            self._child.terminate()
            try:
                self._child.wait(timeout)
            except subprocess.TimeoutExpired:
                pass
        self.kill()

    def kill(self):
        """Ends it and all it started, at once, like a crash of the machine."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._child.wait()


class Worker:
    """The release worker on the local runtime."""

    def __init__(
        self,
        directory,
        origin,
        port=0,
        config=None,
        persist=None,
        extra=(),
        secrets=(WEBHOOK_SECRET,),
    ):
        arguments = [
            ROOT / "scripts" / "serve",
            "--no-build",
            "--verbose",
            "--origin",
            origin,
            "--port",
            port,
        ]
        build = os.environ.get("EDGE_ISR_BUILD")
        if build:
            arguments += ["--build", build]
        if config is not None:
            if not isinstance(config, Path):
                file = Path(directory) / f"config-{uuid.uuid4().hex[:8]}.json"
                file.write_text(json.dumps(config))
                config = file
            arguments += ["--config", config]
        if persist is not None:
            arguments += ["--persist", persist]
        for secret in secrets:
            arguments += ["--webhook-secret", secret]
        for name, (scopes, value) in TOKENS.items():
            arguments += ["--token", f"{name}:{scopes}:{value}"]
        log = Path(directory) / f"worker-{uuid.uuid4().hex[:8]}.log"
        self.process = Process("worker", [*arguments, *extra], log)
        ready = re.compile(r"^ready on (http://\S+)$", re.MULTILINE)
        try:
            found = self.process.wait_for(lambda: ready.search(self.process.output()), 60, "ready")
        except BaseException:
            self.process.kill()
            raise
        self.url = found.group(1)

    def stop(self):
        """Ends it."""
        self.process.stop()


class Blog:
    """The Django blog under gunicorn, with a database of its own."""

    def __init__(self, directory, port, edge_url="", render_seconds=0.0, extra_env=None, python=""):
        self.python = python or sys.executable
        self.directory = Path(directory)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.render_log = self.directory / "renders.log"
        self.render_log.touch()
        self.env = {
            "BLOG_DATABASE": str(self.directory / "blog.sqlite3"),
            "BLOG_RENDER_LOG": str(self.render_log),
            "BLOG_RENDER_SECONDS": str(render_seconds),
            "EDGE_ISR_URL": "",
            "EDGE_ISR_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "EDGE_ISR_TOKEN": TOKENS["reader"][1],
            # The package from this checkout, as `pip install ./django` would install it.
            "PYTHONPATH": str(ROOT / "django"),
            "PYTHONDONTWRITEBYTECODE": "1",
            **(extra_env or {}),
        }
        self.manage("migrate", "-v0")
        self.manage("seed")
        self.env["EDGE_ISR_URL"] = edge_url
        self.process = None
        self.start()

    def start(self):
        """Starts gunicorn and waits until it listens."""
        arguments = [
            self.python,
            "-m",
            "gunicorn",
            "blog_site.wsgi",
            "--bind",
            f"127.0.0.1:{self.port}",
        ]
        arguments += [
            "--workers",
            "2",
            "--threads",
            "8",
            "--no-control-socket",
            "--graceful-timeout",
            "2",
        ]
        # A POST on a connection that the origin ends in that moment can't be sent again.
        arguments += ["--keep-alive", "75"]
        self.process = Process("blog", arguments, self.directory / "blog.log", self.env, BLOG)
        try:
            self.process.wait_for(self._listens, 30, "listening")
        except BaseException:
            self.process.kill()
            raise

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        """Ends gunicorn; the database stays."""
        self.process.stop()

    def manage(self, *arguments):
        """Runs a management command in a process of its own; returns what it printed."""
        done = subprocess.run(
            [self.python, BLOG / "manage.py", *arguments],
            cwd=BLOG,
            env={**os.environ, **self.env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode != 0:
            raise StackError(f"manage.py {arguments[0]} failed:\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def orm(self, code):
        """Runs Python against the models in a process of its own: its signals and webhooks
        included.
        """
        imports = "from posts.models import Category, Comment, Post\n"
        return self.manage("shell", "--no-imports", "-c", imports + code)

    def renders(self, path):
        """How often the page at a path (with its query) was rendered for GET."""
        lines = self.render_log.read_text().splitlines()
        return sum(line.split(" ", 2)[2] == f"GET {path}" for line in lines)


def signed(command, secret=WEBHOOK_SECRET, message_id=None, at=None):
    """The body and the headers of a webhook by the Standard Webhooks specification."""
    body = command if isinstance(command, bytes) else json.dumps(command).encode()
    message_id = message_id or f"msg_{uuid.uuid4().hex}"
    timestamp = str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    headers = {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }
    return body, headers


def cache_status(value):
    """The parameters of the edge's member of a Cache-Status field (RFC 9211)."""
    member = next(
        (m for m in value.split(",") if m.strip().split(";")[0].strip() == "edge-isr"), ""
    )
    parameters = {}
    for part in member.split(";")[1:]:
        name, _, text = part.strip().partition("=")
        parameters[name] = text.strip('"') or True
    return parameters
