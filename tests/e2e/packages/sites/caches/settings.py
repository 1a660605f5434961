"""Packages that keep what was read: in Redis, and for queries that nobody asked to be kept."""

import os

from base import *  # noqa: F403
from base import APPS

ROOT_URLCONF = "caches.urls"
# Last: a page is refetched when the package has cleared what it keeps.
INSTALLED_APPS = [
    *(app for app in APPS if app != "edge_isr"),
    os.environ["SITE_CACHE"],
    "caches",
    "edge_isr",
]
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": os.environ["SITE_REDIS"],
    }
}
CACHEOPS_REDIS = os.environ["SITE_REDIS"].removesuffix("0") + "1"
CACHEOPS = {"caches.*": {"ops": "all", "timeout": 600}}
