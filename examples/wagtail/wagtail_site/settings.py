"""Settings of the Wagtail example: what `wagtail start` writes, cut to what it takes; the edge."""

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

# A demo's key. A real site sets its own.
SECRET_KEY = os.environ.get("SITE_SECRET_KEY", "demo-only-key-that-protects-nothing-of-value")
DEBUG = os.environ.get("SITE_DEBUG") == "1"
ALLOWED_HOSTS = ["127.0.0.1", "localhost", ".example"]

EDGE_ISR = {
    "WORKER_URL": os.environ.get("EDGE_ISR_URL", ""),
    "WEBHOOK_SECRET": os.environ.get("EDGE_ISR_WEBHOOK_SECRET", ""),
    # Pages are tagged with what they load: themselves, their children, their ancestors in the menu.
    "AUTO_TAGS": True,
    # Drafts and their history are on no public page; publishing changes the page itself.
    "AUTO_TAGS_EXCLUDE": ["wagtailcore.revision", "wagtailcore.pagelogentry", "wagtailsearch"],
}
USE_X_FORWARDED_HOST = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    "home",
    "edge_isr",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.users",
    "wagtail.admin",
    "wagtail.search",
    "wagtail.sites",
    "wagtail",
    "modelcluster",
    "taggit",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
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
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SITE_DATABASE", BASE_DIR / "site.sqlite3"),
        # Several processes write here, Wagtail in transactions that read first: they wait for their
        # turn from the start. edge-isr needs neither option.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 10},
    }
}
ROOT_URLCONF = "wagtail_site.urls"
WSGI_APPLICATION = "wagtail_site.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
USE_TZ = True
WAGTAIL_SITE_NAME = "Edge Notes"
WAGTAILADMIN_BASE_URL = "http://127.0.0.1:8000"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"edge_isr": {"handlers": ["console"], "level": "INFO"}},
}
