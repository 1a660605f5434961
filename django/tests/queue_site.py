"""The site as a queue's worker runs it: the test's database, and the edge that it is told of.

`celery -A celery_site worker`, and `rqworker`, the command of django-rq.
"""

import json
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "queue_site")

from site_settings import *  # noqa: F403
from site_settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "django_rq"]
DATABASES = {"default": json.loads(os.environ["QUEUE_DATABASE"])}
EDGE_ISR = json.loads(os.environ["QUEUE_EDGE_ISR"])
RQ_QUEUES = {"edge_isr": {"URL": os.environ["QUEUE_REDIS"]}}
