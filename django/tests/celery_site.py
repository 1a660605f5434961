"""The Celery application of the queue's site."""

import os

import django
from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "queue_site")
django.setup()

app = Celery("queue_site", broker=os.environ["QUEUE_REDIS"])
app.conf.imports = ["edge_isr.tasks"]
app.conf.broker_connection_retry_on_startup = True
