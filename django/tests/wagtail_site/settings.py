"""The settings of the tests, with Wagtail's apps and this site's."""

from site_settings import *  # noqa: F403

_WAGTAIL = [
    "wagtail.contrib.redirects", "wagtail.contrib.settings", "wagtail.contrib.simple_translation",
    "wagtail.documents", "wagtail.images", "wagtail.users", "wagtail.admin", "wagtail.search",
    "wagtail.sites", "wagtail.snippets", "wagtail", "modelcluster", "taggit",
]  # fmt: skip
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "edge_isr",
    *_WAGTAIL,
    "wagtail_site",
]
ROOT_URLCONF = "wagtail_site.urls"
STATIC_URL = "/static/"
MEDIA_ROOT = "/nonexistent"
# What is uploaded goes with the process.
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
USE_I18N = True
WAGTAIL_I18N_ENABLED = True
LANGUAGES = WAGTAIL_CONTENT_LANGUAGES = [("en", "English"), ("de", "German")]
WAGTAILADMIN_BASE_URL = "http://testserver"
WAGTAILSIMPLETRANSLATION_SYNC_PAGE_TREE = False
TASKS = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}
# Migrations of packages are not what is tested; only the outbox has to be as users have it.
MIGRATION_MODULES = {
    name.rpartition(".")[2] if "." in name else name: None
    for name in INSTALLED_APPS
    if name != "edge_isr"
}
MIGRATION_MODULES |= dict.fromkeys(
    ("wagtailcore", "wagtailadmin", "wagtaildocs", "wagtailimages", "wagtailredirects",
     "wagtailsearch", "wagtailusers", "wagtailsites", "wagtailsnippets", "wagtailsettings",
     "simple_translation")
)  # fmt: skip
EDGE_ISR = {"AUTO_TAGS": True, "DELIVERY": "command", "WORKER_URL": "http://127.0.0.1:9",
            "WEBHOOK_SECRET": "whsec_dGVzdHMgb25seTogMzIgYnl0ZXMgb2Yga2V5ISEhISE=",
            "IN_TESTS": True}  # fmt: skip
