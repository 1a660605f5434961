"""Packages that keep data, and those that show it."""

from base import *  # noqa: F403
from base import APPS, MIDDLEWARE, TEMPLATES

ROOT_URLCONF = "data.urls"
INSTALLED_APPS = [
    "modeltranslation",
    *APPS,
    "constance",
    "crispy_forms",
    "crispy_bootstrap5",
    "django_extensions",
    "django_filters",
    "django_fsm",
    "django_tables2",
    "easy_thumbnails",
    "graphene_django",
    "guardian",
    "import_export",
    "mptt",
    "ordered_model",
    "parler",
    "polymorphic",
    "rest_framework",
    "reversion",
    "safedelete",
    "simple_history",
    "solo",
    "sorl.thumbnail",
    "strawberry_django",
    "taggit",
    "treebeard",
    "waffle",
    "data",
]
MIDDLEWARE = [
    *MIDDLEWARE,
    "reversion.middleware.RevisionMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "waffle.middleware.WaffleMiddleware",
]
TEMPLATES[0]["OPTIONS"]["context_processors"].append("constance.context_processors.config")
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch")]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "guardian.backends.ObjectPermissionBackend",
]
CONSTANCE_BACKEND = "constance.backends.database.DatabaseBackend"
CONSTANCE_DATABASE_CACHE_BACKEND = "default"
CONSTANCE_CONFIG = {"GREETING": ("Hello", "what the page says")}
CRISPY_TEMPLATE_PACK = "bootstrap5"
GRAPHENE = {"SCHEMA": "data.graphql.graphene_schema"}
PARLER_LANGUAGES = {None: [{"code": "en"}, {"code": "de"}]}
SOLO_CACHE = "default"
