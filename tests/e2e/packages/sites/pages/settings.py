"""Packages that make whole sites of pages: django-cms."""

from base import *  # noqa: F403
from base import APPS, EDGE_ISR, MIDDLEWARE, TEMPLATES

ROOT_URLCONF = "pages.urls"
INSTALLED_APPS = [
    *APPS,
    "django.contrib.admin",
    "django.contrib.sites",
    "cms",
    "menus",
    "treebeard",
    "sekizai",
    "pages",
]
MIDDLEWARE = [
    *MIDDLEWARE,
    "django.middleware.locale.LocaleMiddleware",
    "cms.middleware.user.CurrentUserMiddleware",
    "cms.middleware.page.CurrentPageMiddleware",
    "cms.middleware.toolbar.ToolbarMiddleware",
]
TEMPLATES[0]["OPTIONS"]["context_processors"] += [
    "cms.context_processors.cms_settings",
    "sekizai.context_processors.sekizai",
]
SITE_ID = 1
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English")]
CMS_CONFIRM_VERSION4 = True
CMS_TEMPLATES = [("cms.html", "The one")]
EDGE_ISR["RULES"] = [{"path": "^/", "s_maxage": 3600}]
