"""Settings of the test site; the database comes from the environment."""

import os
import tempfile
from pathlib import Path

from django import VERSION

SECRET_KEY = "tests-only"
DEBUG = False
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
# What the database deletes by itself hangs on rows that Django deletes.
SILENCED_SYSTEM_CHECKS = ["fields.E323"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "edge_isr",
    "shop",
]
# The queue of django-tasks needs Django 5.2.
HAS_TASK_QUEUE = VERSION >= (5, 2)
if HAS_TASK_QUEUE:
    INSTALLED_APPS.append("django_tasks_db")

MIDDLEWARE = [
    "edge_isr.middleware.OriginSecretMiddleware",
    "edge_isr.middleware.EdgeISRMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Two runs at once have databases of their own.
TEST_NAME = f"test_edge_isr_{os.getpid()}"

if os.environ.get("EDGE_ISR_TEST_PG"):
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["EDGE_ISR_TEST_PG"],
            "PORT": os.environ.get("EDGE_ISR_TEST_PG_PORT", "5432"),
            "NAME": "postgres",
            "USER": os.environ.get("EDGE_ISR_TEST_PG_USER", "postgres"),
            "TEST": {"NAME": TEST_NAME},
        }
    }
elif os.environ.get("EDGE_ISR_TEST_MARIADB"):
    import pymysql

    # The driver that Django asks for has to be compiled; this one is pure Python, and the same.
    pymysql.version_info = (2, 2, 8, "final", 0)
    pymysql.install_as_MySQLdb()
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.mysql",
            "HOST": os.environ["EDGE_ISR_TEST_MARIADB"],
            "NAME": "mysql",
            "USER": "edge",
            "TEST": {"NAME": TEST_NAME, "CHARSET": "utf8mb4"},
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": ":memory:",
            "OPTIONS": {"timeout": 20},
            # A file: what is in memory belongs to one connection, and some tests have threads.
            "TEST": {"NAME": str(Path(tempfile.mkdtemp(prefix="edge-isr-")) / "test.sqlite3")},
        }
    }

CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

EDGE_ISR = {
    "WORKER_URL": "http://127.0.0.1:9",
    "WEBHOOK_SECRET": "whsec_dGVzdHMgb25seTogMzIgYnl0ZXMgb2Yga2V5ISEhISE=",
    "TOKEN": "read-token",
    "AUTO_TAGS": True,
    "DELIVERY": "command",
    # This is a test run that looks at what is sent.
    "IN_TESTS": True,
}
