"""Where Celery's autodiscovery looks: registers `edge_isr.deliver` if Celery is installed."""

from importlib.util import find_spec

from .delivery.queues import celery_task, deliver

__all__ = ["deliver"]

if find_spec("celery") is not None:
    celery_task()
