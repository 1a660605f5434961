"""A site on SQLite with Django's default settings, for processes of test_sqlite.py."""

import os

SECRET_KEY = "tests-only"
ALLOWED_HOSTS = ["*"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# What the database deletes by itself hangs on rows that Django deletes.
SILENCED_SYSTEM_CHECKS = ["fields.E323"]
INSTALLED_APPS = ["django.contrib.contenttypes", "edge_isr", "shop"]
MIDDLEWARE = ["edge_isr.middleware.EdgeISRMiddleware"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["SITE_DATABASE"],
        "OPTIONS": {"timeout": float(os.environ["SITE_TIMEOUT"])},
    },
}
EDGE_ISR = {
    "WORKER_URL": os.environ["SITE_WORKER"],
    "WEBHOOK_SECRET": "whsec_dGVzdHMgb25seTogMzIgYnl0ZXMgb2Yga2V5ISEhISE=",
    "AUTO_TAGS": True,
}
LOGGING_CONFIG = None
