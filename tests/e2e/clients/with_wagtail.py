"""Purges a page with Wagtail's frontend cache module: `with_wagtail.py BACKEND EDGE PAGES`."""

import json
import logging
import sys

import django
from django.conf import settings

backend, edge, pages = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
BACKENDS = {
    "HTTPBackend": {"LOCATION": edge},
    "CloudfrontBackend": {"DISTRIBUTION_ID": "E2E"},
    "CloudflareBackend": {"BEARER_TOKEN": "demo-admin", "ZONEID": "zone"},
}
settings.configure(
    INSTALLED_APPS=[
        *("wagtail.contrib.frontend_cache", "wagtail.documents", "wagtail.images", "wagtail.users"),
        *("wagtail.admin", "wagtail.search", "wagtail.sites", "wagtail", "modelcluster", "taggit"),
        *("django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"),
        *("django.contrib.messages", "django.contrib.staticfiles", "django_tasks"),
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    WAGTAIL_SITE_NAME="e2e",
    WAGTAILADMIN_BASE_URL=edge,
    STATIC_URL="/static/",
    WAGTAILFRONTENDCACHE={
        "edge": {
            "BACKEND": f"wagtail.contrib.frontend_cache.backends.{backend}",
            **BACKENDS[backend],
        }
    },
)
django.setup()

from wagtail.contrib.frontend_cache.utils import PurgeBatch  # noqa: E402

# Its backends log their errors and go on.
faults = []
handler = logging.Handler()
handler.emit = faults.append
logging.getLogger().addHandler(handler)
PurgeBatch(pages.values()).purge()
sys.exit("\n".join(record.getMessage() for record in faults) or 0)
