"""Two sites of the same models: one names its tags itself (`isr`), one has them named (`auto`)."""

import os
from pathlib import Path

KIND = os.environ["STORY_KIND"]
DIRECTORY = Path(os.environ["STORY_DIRECTORY"])

SECRET_KEY = "tests-only"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_X_FORWARDED_HOST = True
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "story.site"
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "edge_isr",
    "shop",
    "story",
]
MIDDLEWARE = [
    "edge_isr.middleware.EdgeISRMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DIRECTORY / "story.sqlite3",
        "OPTIONS": {"timeout": 20},
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": DIRECTORY / "cache",
    }
}
EDGE_ISR = {
    "WORKER_URL": os.environ.get("STORY_EDGE", ""),
    "WEBHOOK_SECRET": os.environ["STORY_SECRET"],
    "TOKEN": os.environ.get("STORY_TOKEN", ""),
    "AUTO_TAGS": KIND == "auto",
    "OUTBOX": os.environ.get("STORY_OUTBOX", "yes") == "yes",
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"edge_isr": {"handlers": ["console"], "level": "INFO"}},
}
