"""A site with tests of its own, with and without the package; see test_own_tests.py."""

import os

WITH = os.environ.get("OWNSITE_WITHOUT") is None
POSTGRES = os.environ.get("EDGE_ISR_TEST_PG")

SECRET_KEY = "tests-only"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "ownsite.urls"
STATIC_URL = "/static/"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# What the database deletes by itself hangs on rows that Django deletes.
SILENCED_SYSTEM_CHECKS = ["fields.E323"]
INSTALLED_APPS = ["django.contrib.contenttypes", "shop", *(["edge_isr"] if WITH else [])]
MIDDLEWARE = ["edge_isr.middleware.EdgeISRMiddleware"] if WITH else []
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
if POSTGRES:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": POSTGRES,
        "USER": os.environ["EDGE_ISR_TEST_PG_USER"],
        "NAME": "postgres",
        "TEST": {"NAME": f"test_ownsite_{os.getpid()}"},
    }
EDGE_ISR = {
    "WORKER_URL": os.environ.get("OWNSITE_WORKER", "http://127.0.0.1:9"),
    "WEBHOOK_SECRET": "whsec_dGVzdHMgb25seTogMzIgYnl0ZXMgb2Yga2V5ISEhISE=",
    "AUTO_TAGS": True,
    **({"IN_TESTS": True} if os.environ.get("OWNSITE_IN_TESTS") else {}),
}
