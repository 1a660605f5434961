"""Middlewares that have to have their say before a page is shown: two factors, terms, bans.

They see the request for the personal parts. Where there may be one, the edge waits for that answer,
and passes the visitor's request whole if it is anything but the parts.
"""

from __future__ import annotations

from django.conf import settings as django_settings

from ..conf import Settings

# What refuses nobody for who they are.
KNOWN = frozenset(
    {
        "allauth.account.middleware.AccountMiddleware",
        "corsheaders.middleware.CorsMiddleware",
        "csp.middleware.CSPMiddleware",
        "debug_toolbar.middleware.DebugToolbarMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.flatpages.middleware.FlatpageFallbackMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "django.contrib.redirects.middleware.RedirectFallbackMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.sites.middleware.CurrentSiteMiddleware",
        "django.middleware.cache.FetchFromCacheMiddleware",
        "django.middleware.cache.UpdateCacheMiddleware",
        "django.middleware.clickjacking.XFrameOptionsMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csp.ContentSecurityPolicyMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.middleware.gzip.GZipMiddleware",
        "django.middleware.http.ConditionalGetMiddleware",
        "django.middleware.locale.LocaleMiddleware",
        "django.middleware.security.SecurityMiddleware",
        "django_htmx.middleware.HtmxMiddleware",
        "edge_isr.middleware.EdgeISRMiddleware",
        "edge_isr.middleware.OriginSecretMiddleware",
        "wagtail.contrib.redirects.middleware.RedirectMiddleware",
        "whitenoise.middleware.WhiteNoiseMiddleware",
    }
)


def unknown_middleware() -> list[str]:
    """The site's middlewares of which nothing is known."""
    return [name for name in django_settings.MIDDLEWARE if name not in KNOWN]


def is_gated(settings: Settings) -> bool:
    """What the site says, or else whether there is one that may refuse."""
    return bool(unknown_middleware()) if settings.gate is None else settings.gate
