"""Settings of the demo blog: a stock Django project, and what it needs behind the edge cache.

Everything that differs between machines comes from the environment; see the README for the list.
"""

import os
from pathlib import Path

from django import VERSION

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = os.environ.get("BLOG_DEBUG") == "1"
# A demo's key. A real site sets its own.
SECRET_KEY = os.environ.get("BLOG_SECRET_KEY", "demo-only-key-that-protects-nothing-of-value")
ALLOWED_HOSTS = os.environ.get("ALLOWED_HOSTS", "127.0.0.1,localhost,.example").split(",")
CSRF_TRUSTED_ORIGINS = [o for o in os.environ.get("CSRF_TRUSTED_ORIGINS", "").split(",") if o]

# --- The edge cache in front -------------------------------------------------------------------

EDGE_ISR = {
    # Where revalidate webhooks go, and the whsec_… secret that signs them. Without an address none
    # is sent.
    "WORKER_URL": os.environ.get("EDGE_ISR_URL", ""),
    "WEBHOOK_SECRET": os.environ.get("EDGE_ISR_WEBHOOK_SECRET", ""),
    # For the status page: /admin/edge_isr/outboxmessage/status/
    "TOKEN": os.environ.get("EDGE_ISR_TOKEN", ""),
    # When set, requests that do not carry it are refused: nobody goes round the edge.
    "ORIGIN_SECRET": os.environ.get("EDGE_ISR_ORIGIN_SECRET", ""),
    # How long public pages are fresh at the edge, and how long they may be served while that is
    # renewed.
    "DEFAULTS": {"s_maxage": 300, "swr": 3600, "sie": 86_400},
    # Of composed pages: no middleware refuses a page to somebody. `count_renders` counts.
    "GATE": False,
}
# The public host and scheme come from the edge, which drops what visitors send under these names.
USE_X_FORWARDED_HOST = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# Demo and tests: a file that gets one line per rendered page.
BLOG_RENDER_LOG = os.environ.get("BLOG_RENDER_LOG", "")
# Demo and tests: how much longer a public page takes to render than it has to.
BLOG_RENDER_SECONDS = float(os.environ.get("BLOG_RENDER_SECONDS", "0"))

# --- The rest is what startproject writes --------------------------------------------------------

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "edge_isr",
    "posts",
]

MIDDLEWARE = [
    "edge_isr.middleware.OriginSecretMiddleware",
    "edge_isr.middleware.EdgeISRMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "posts.middleware.count_renders",
]

# From Django 6 on: scripts and styles are the site's own, and what stands in a page has its nonce.
if VERSION >= (6, 0):
    from django.utils.csp import CSP

    MIDDLEWARE.insert(3, "django.middleware.csp.ContentSecurityPolicyMiddleware")
    SECURE_CSP = {
        "default-src": [CSP.SELF],
        "script-src": [CSP.SELF, CSP.NONCE],
        "frame-ancestors": [CSP.NONE],
    }

ROOT_URLCONF = "blog_site.urls"
WSGI_APPLICATION = "blog_site.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "posts.context.site",
                *(["django.template.context_processors.csp"] if VERSION >= (6, 0) else []),
            ],
        },
    },
]

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("BLOG_DATABASE", BASE_DIR / "blog.sqlite3"),
        "OPTIONS": {
            # Several processes write: wait for the lock from the start instead of failing half-way.
            "transaction_mode": "IMMEDIATE",
            "timeout": 10,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "home"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"edge_isr": {"handlers": ["console"], "level": "INFO"}},
}
