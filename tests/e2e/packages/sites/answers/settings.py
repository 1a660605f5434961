"""Packages that say something about answers: cookies, fields, other visitors' variants."""

from base import *  # noqa: F403
from base import APPS, MIDDLEWARE
from csp.constants import NONCE, SELF

ROOT_URLCONF = "answers.urls"
INSTALLED_APPS = [
    *APPS,
    "allauth",
    "allauth.account",
    "axes",
    "compressor",
    "corsheaders",
    "csp",
    "debug_toolbar",
    "django_htmx",
    "answers",
]
MIDDLEWARE = [
    MIDDLEWARE[0],
    "corsheaders.middleware.CorsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "debug_toolbar.middleware.DebugToolbarMiddleware",
    *MIDDLEWARE[1:],
    "allauth.account.middleware.AccountMiddleware",
    "csp.middleware.CSPMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "axes.middleware.AxesMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
LOGIN_REDIRECT_URL = "/django-allauth/"
AXES_FAILURE_LIMIT = 2
AXES_LOCKOUT_PARAMETERS = ["username"]
COMPRESS_ENABLED = True
CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"script-src": [SELF, NONCE]}}
CORS_ALLOWED_ORIGINS = ["https://a.example", "https://b.example"]
DEBUG_TOOLBAR_CONFIG = {
    "SHOW_TOOLBAR_CALLBACK": lambda request: request.path == "/django-debug-toolbar/",
    "IS_RUNNING_TESTS": False,
}
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
    "compressor.finders.CompressorFinder",
]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = True
WHITENOISE_MAX_AGE = 600
