"""System checks: every wrong setting by its place, and what would make the package useless."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.checks import Error, Tags, Warning, register

from .client import Client, WorkerError
from .compose.gate import unknown_middleware
from .conf import SUPERSEDED, Settings, load
from .delivery.queues import missing_package
from .migrating import is_migrating
from .registry import registered
from .routes import cached_views, problems_at
from .sharing import has_results
from .targets import build

MIDDLEWARE = "edge_isr.middleware.EdgeISRMiddleware"
ORIGIN_MIDDLEWARE = "edge_isr.middleware.OriginSecretMiddleware"
# What sets cookies or Vary on the way back has to be inside.
INSIDE = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.locale.LocaleMiddleware",
)

# Django's own caches are seen (see `caching`), and with them most packages'.
PACKAGES = {
    "cacheops": (
        "keeps counts, aggregates and what cached_as makes where Django's caches are not asked",
        "Lists and single rows out of its cache are seen. Where a cached view takes anything else "
        "from it, name the tags, or leave count, aggregate and exists out of CACHEOPS.",
    ),
    "caching": (
        "(cache-machine) keeps querysets by keys of its own",
        "Leave cached views' models out, or name their tags.",
    ),
    "johnny": ("keeps tables by a patch of its own", "Name the tags of cached views."),
}

# These clear what they keep of queries right after a write. Whoever is installed last wraps them.
CLEARING = ("cachalot", "cacheops")

Found = list[Any]


@register()
def check_settings(app_configs: Any = None, **kwargs: Any) -> Found:
    """EDGE_ISR itself."""
    settings, problems = load()
    found: Found = [Error(problem, id="edge_isr.E001") for problem in problems]
    raw = getattr(django_settings, "EDGE_ISR", {})
    for key in SUPERSEDED:
        if isinstance(raw, dict) and key in raw:
            found.append(
                Warning(f"EDGE_ISR[{key!r}] has no effect: {SUPERSEDED[key]}", id="edge_isr.W002")
            )
    if problems:
        return found
    found += _targets(settings)
    found += _delivery(settings)
    lacking = [name for name, there in (("AUTO_TAGS", settings.auto_tags),
                                        ("OUTBOX", settings.outbox)) if not there]  # fmt: skip
    if settings.compare_results and lacking:
        found.append(
            Warning(f"EDGE_ISR['COMPARE_RESULTS'] has no effect without {lacking[0]}",
                    id="edge_isr.W010")
        )  # fmt: skip
    return found


def _targets(settings: Settings) -> Iterable[Any]:
    if not settings.worker_url and not settings.targets:
        yield Warning(
            "No changes are sent: EDGE_ISR has neither WORKER_URL nor TARGETS",
            hint="Set WORKER_URL and WEBHOOK_SECRET.", id="edge_isr.W001",
        )  # fmt: skip
    for at, options in enumerate(settings.targets):
        try:
            build(options, settings)
        except LookupError as error:
            yield Error(f"EDGE_ISR['TARGETS'][{at}]: {error}", id="edge_isr.E005")
    if settings.fragment_cache not in django_settings.CACHES:
        yield Error(
            f"EDGE_ISR['FRAGMENT_CACHE']: there is no cache {settings.fragment_cache!r} in CACHES",
            id="edge_isr.E006",
        )
    paths = [m._meta.label for m, entry in registered().items() if entry.paths is not None]
    if paths and not settings.path_tags and not settings.site_urls:
        yield Error(
            f"dependent_paths of {', '.join(paths)} can't be sent: PATH_TAGS is off, and there are "
            "no SITE_URLS to make URLs of them",
            id="edge_isr.E007",
        )


def _delivery(settings: Settings) -> Iterable[Any]:
    package = missing_package(settings.delivery)
    if package:
        yield Error(
            f"EDGE_ISR['DELIVERY'] is {settings.delivery!r}, and {package} is not installed",
            id="edge_isr.E008",
        )
    if settings.outbox and not apps.is_installed("edge_isr"):
        yield Error("OUTBOX needs edge_isr in INSTALLED_APPS", id="edge_isr.E009")


@register()
def check_middleware(app_configs: Any = None, **kwargs: Any) -> Found:
    """The middleware, and its place."""
    listed = list(django_settings.MIDDLEWARE)
    settings, _ = load()
    found: Found = []
    if MIDDLEWARE not in listed:
        found.append(
            Error(f"{MIDDLEWARE} is not in MIDDLEWARE: no answer is made public",
                  hint="Put it first.", id="edge_isr.E002")
        )  # fmt: skip
    else:
        outside = [name for name in listed[: listed.index(MIDDLEWARE)] if name in INSIDE]
        if outside:
            found.append(
                Error(
                    f"{MIDDLEWARE} stands below {outside[0]}, and does not see the cookies and "
                    "Vary fields that it sets",
                    hint="Put it above.",
                    id="edge_isr.E003",
                )
            )
    if settings.origin_secrets and ORIGIN_MIDDLEWARE not in listed:
        found.append(
            Warning(f"EDGE_ISR['ORIGIN_SECRET'] is set, and {ORIGIN_MIDDLEWARE} is not in "
                    "MIDDLEWARE: nobody is refused", id="edge_isr.W003")
        )  # fmt: skip
    return found


@register()
def check_gate(app_configs: Any = None, **kwargs: Any) -> Found:
    """Whether a middleware may refuse a composed page to somebody is the site's to say."""
    settings, problems = load()
    unknown = unknown_middleware()
    if problems or settings.gate is not None or not unknown or not _composes(settings):
        return []
    return [
        Warning(
            f"The edge waits for the origin with each composed page: {', '.join(unknown)} may "
            "refuse it to somebody",
            hint="EDGE_ISR['GATE'] = False if none of them does (no second factor, no terms to "
            "accept, no ban), True if one does.",
            id="edge_isr.W008",
        )
    ]


def _composes(settings: Settings) -> bool:
    if settings.defaults.compose or any(r.policy and r.policy.compose for r in settings.rules):
        return True
    return any(view.policy.compose for view in cached_views(settings))


@register(Tags.caches)
def check_packages(app_configs: Any = None, **kwargs: Any) -> Found:
    """Packages that keep what they have loaded where nobody sees it change."""
    settings, problems = load()
    if problems or not settings.auto_tags:
        return []
    found: Found = []
    for name, (what, hint) in PACKAGES.items():
        if apps.is_installed(name):
            found.append(Warning(f"{name} {what}", hint=hint, id="edge_isr.W006"))
    names = [config.name for config in apps.get_app_configs()]
    if "edge_isr" in names:
        found += [
            Warning(f"edge_isr comes before {name} in INSTALLED_APPS: a page may be refetched "
                    f"before {name} has forgotten the old rows, and show them once more",
                    hint="Put edge_isr last.", id="edge_isr.W009")
            for name in names[names.index("edge_isr") :]
            if name in CLEARING
        ]  # fmt: skip
    backend = str(getattr(django_settings, "CONSTANCE_BACKEND", ""))
    if apps.is_installed("constance") and "memory" in backend:
        found.append(
            Warning(f"constance keeps its values in each process's memory ({backend})",
                    hint="Use its database backend.", id="edge_isr.W006")
        )  # fmt: skip
    return found


@register(deploy=True)
def check_routes(app_configs: Any = None, **kwargs: Any) -> Found:
    """Whether the worker's routes have what the views ask; asked with TOKEN, where it is set."""
    settings, problems = load()
    if problems or not settings.token or not settings.worker_url:
        return []
    try:
        lacking = problems_at(Client(settings).health(), settings)
    except WorkerError as error:
        lacking = [f"its routes could not be asked: {error}"]
    hint = "manage.py edge_isr_routes prints what they need."
    return [Warning(f"The worker: {one}", hint=hint, id="edge_isr.W007") for one in lacking]


@register(Tags.database)
def check_tables(databases: Any = None, **kwargs: Any) -> Found:
    """The outbox's table, where the databases are looked at anyway."""
    from .delivery.outbox import databases as with_outbox
    from .delivery.outbox import has_table

    settings, problems = load()
    if problems or not settings.outbox or is_migrating():
        return []
    lacking = [
        Warning(f"The database {alias!r} has no outbox yet: changes on it are sent without one",
                hint="Run migrate.", id="edge_isr.W004")
        for alias in with_outbox()
        if alias in (databases or ()) and not has_table(alias)
    ]  # fmt: skip
    return lacking + [
        Warning(f"The database {alias!r} has no record of results: on it none is compared",
                hint="Run migrate.", id="edge_isr.W011")
        for alias in with_outbox() if settings.compare_results
        if alias in (databases or ()) and not has_results(alias)
    ]  # fmt: skip
