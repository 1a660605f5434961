"""The site as a queue's worker runs it: the test's database, and the edge that it is notified of.

`celery -A celery_site worker`, and the commands `rqworker` (django-rq) and `db_worker`
(django-tasks-db).
"""

import json
import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "queue_site")

from site_settings import *  # noqa: F403
from site_settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "django_rq"]
DATABASES = {"default": json.loads(os.environ["SITE_DATABASE"])}
EDGE_ISR = json.loads(os.environ["SITE_EDGE_ISR"])
RQ_QUEUES = {"edge_isr": {"URL": os.environ.get("QUEUE_REDIS", "")}}
TASKS = json.loads(os.environ.get("QUEUE_TASKS", "{}"))
