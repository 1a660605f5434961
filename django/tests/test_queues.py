"""Delivery by the task queues themselves: Celery, RQ and django-tasks, in their eager forms."""

import pytest

import edge_isr
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)


def delivered(worker):
    row = OutboxMessage.objects.get()
    return row.status == "delivered" and worker.tags == {"x"}


def test_celery(edge, worker):
    from celery import Celery

    app = Celery("tests", set_as_current=True)
    app.conf.task_always_eager = True
    import edge_isr.tasks

    edge(DELIVERY="celery")
    edge_isr.revalidate_by_tags("x")
    assert delivered(worker)
    assert "edge_isr.deliver" in app.tasks


def test_rq(edge, worker, monkeypatch):
    import fakeredis
    import redis
    from rq import Queue

    connection = fakeredis.FakeStrictRedis()
    monkeypatch.setattr(redis, "Redis", lambda: connection)
    edge(DELIVERY="rq", QUEUE_NAME="pages")
    edge_isr.revalidate_by_tags("x")
    (job,) = Queue("pages", connection=connection).jobs
    assert job.perform() == 1
    assert delivered(worker)


def test_django_tasks(edge, worker, settings):
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks.backends.immediate.ImmediateBackend",
            "QUEUES": ["edge_isr"],
        }
    }
    edge(DELIVERY="django-tasks")
    edge_isr.revalidate_by_tags("x")
    assert delivered(worker)
