"""The settings of the tests, with the store's models and views."""

from site_settings import *  # noqa: F403
from site_settings import INSTALLED_APPS as _APPS

INSTALLED_APPS = [*_APPS, "django.contrib.sites", "mptt", "treebeard", "oracle.store"]
ROOT_URLCONF = "oracle.urls"
SITE_ID = 1
# MariaDB knows no other without tables of time zones.
TIME_ZONE = "UTC"
# Migrations of packages are not what is tested; only the outbox has to be as users have it.
MIGRATION_MODULES = dict.fromkeys(("admin", "auth", "contenttypes", "sessions", "sites", "store"))
# A page of this store may load more than pages of a site: what is merged says less.
EDGE_ISR = {"AUTO_TAGS": True, "DELIVERY": "command", "WORKER_URL": "http://127.0.0.1:9",
            "WEBHOOK_SECRET": "whsec_dGVzdHMgb25seTogMzIgYnl0ZXMgb2Yga2V5ISEhISE=",
            "MAX_TAGS": 1000, "IN_TESTS": True, "MAX_TAG_BYTES": 65536}  # fmt: skip
