"""The settings: the dictionary `EDGE_ISR`, parsed once into typed values.

Nothing is guessed: a wrong value is named with its place, an unknown key with the one it is near.
System checks report all problems at once; while there is one, the middleware does not load and
nothing is sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.core import mail
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

from .excluded import EXCLUDED
from .policy import POLICY_KEYS, Policy, SettingError, policy_from
from .signing import decode_secret

MODES = ("soft", "hard")
DELIVERIES = ("thread", "command", "celery", "rq", "django-tasks")
CACHE_HEADERS = ("CDN-Cache-Control", "Surrogate-Control", "Cache-Control")
# What a change made in a request may wait for the worker at most, whatever is set.
MAX_REQUEST_WAIT_SECONDS = 2.0


@dataclass(frozen=True)
class Rule:
    """Which policy holds for the paths that a pattern matches; none if they are not cached."""

    pattern: re.Pattern[str]
    policy: Policy | None
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """Every setting, valid by construction."""

    worker_url: str = ""
    webhook_secrets: tuple[str, ...] = ()
    token: str = ""
    control_prefix: str = "/__isr"
    origin_secrets: tuple[str, ...] = ()
    origin_secret_exempt: tuple[re.Pattern[str], ...] = ()
    site_urls: tuple[str, ...] = ()
    defaults: Policy = field(default_factory=Policy)
    rules: tuple[Rule, ...] = ()
    auto_tags: bool = False
    auto_tags_exclude: frozenset[str] = frozenset(EXCLUDED)
    compare_results: bool = False
    path_tags: bool = True
    max_tags: int = 1000
    max_tag_bytes: int = 16_000
    cache_header: str = "CDN-Cache-Control"
    mode: str = "soft"
    warm: bool = True
    reinvalidate_after_ms: int = 0
    outbox: bool = True
    in_tests: bool = False
    delivery: str = "thread"
    queue_name: str = "edge_isr"
    retention: float = 86_400.0
    timeout: float = 5.0
    request_wait: float = 1.0
    fragment_cache: str = "default"
    cache_tags: bool = True
    cache_tags_exclude: tuple[str, ...] = ()
    targets: tuple[Mapping[str, Any], ...] = ()
    gate: bool | None = None
    more_personal_cookies: tuple[str, ...] = ()

    @property
    def personal_cookies(self) -> tuple[str, ...]:
        """What a visitor is known by: Django's own cookies, and the site's."""
        own = (django_settings.SESSION_COOKIE_NAME, "messages")
        return tuple(dict.fromkeys((*own, *self.more_personal_cookies)))

    def rule_for(self, path: str) -> Rule | None:
        """The first rule whose pattern matches."""
        return next((rule for rule in self.rules if rule.pattern.search(path)), None)

    def is_excluded(self, label: str) -> bool:
        """Whether a model (`app.model`) is left out of automatic tags."""
        excluded = self.auto_tags_exclude
        return label in excluded or label.partition(".")[0] in excluded


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise SettingError(f"expected a text, got {_shown(value)}")
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise SettingError(f"expected True or False, got {_shown(value)}")
    return value


def _number(least: float, most: float, kind: type = float) -> Callable[[Any], Any]:
    def parse(value: Any) -> Any:
        good = isinstance(value, (int,) if kind is int else (int, float))
        if not good or isinstance(value, bool) or not least <= value <= most:
            what = "a whole number" if kind is int else "a number"
            raise SettingError(f"expected {what} from {least:g} to {most:g}, got {_shown(value)}")
        return kind(value)

    return parse


def _choice(*choices: str) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if value not in choices:
            raise SettingError(f"expected one of {', '.join(choices)}, got {_shown(value)}")
        return str(value)

    return parse


def _several(parse: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def parse_all(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [value] if value else []
        if not isinstance(value, (list, tuple, set, frozenset)):
            raise SettingError(f"expected a list, got {_shown(value)}")
        return tuple(parse(item) for item in value)

    return parse_all


def _secret(value: Any) -> str:
    try:
        decode_secret(_text(value))
    except ValueError as error:
        raise SettingError(str(error)) from None
    return str(value)


def _header_secret(value: Any) -> str:
    if not isinstance(value, str) or len(value) < 16 or not value.isascii() or " " in value:
        raise SettingError("expected at least 16 ASCII characters without space")
    return value


def _url(value: Any) -> str:
    parts = urlsplit(_text(value))
    if value and (parts.scheme not in ("http", "https") or not parts.hostname):
        raise SettingError(f"expected a URL such as https://www.example.net, got {_shown(value)}")
    if parts.query or parts.fragment or parts.username:
        raise SettingError("expected a URL without query, fragment and credentials")
    return str(value).rstrip("/")


def _pattern(value: Any) -> re.Pattern[str]:
    try:
        return re.compile(_text(value))
    except re.error as error:
        raise SettingError(f"not a regular expression: {error}") from None


def _delivery(value: Any) -> str:
    if value in DELIVERIES or (isinstance(value, str) and "." in value):
        return str(value)
    known = ", ".join(DELIVERIES)
    raise SettingError(f"expected one of {known} or a dotted path, got {_shown(value)}")


def _prefix(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(r"(/[A-Za-z0-9_~.-]+)+", text):
        raise SettingError("expected a path such as /__isr, without a / at the end")
    return text


def _cookie_name(value: Any) -> str:
    text = _text(value)
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", text):
        raise SettingError(f"expected the name of a cookie, got {_shown(value)}")
    return text


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingError(f"expected a dictionary, got {_shown(value)}")
    return value


def _defaults(value: Any) -> Policy:
    return policy_from(_mapping(value), Policy(), "")


def _rule(value: Any, defaults: Policy) -> Rule:
    named = dict(_mapping(value))
    if "path" not in named:
        raise SettingError("path is missing: a regular expression for the path")
    pattern = _pattern(named.pop("path"))
    tags = _several(_text)(named.pop("tags", ()))
    if not _switch(named.pop("cache", True)):
        return Rule(pattern, None)
    return Rule(pattern, policy_from(named, defaults, ""), tags)


# The name in EDGE_ISR → the field, and how its value is parsed.
_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "WORKER_URL": ("worker_url", _url),
    "WEBHOOK_SECRET": ("webhook_secrets", _several(_secret)),
    "TOKEN": ("token", _text),
    "CONTROL_PREFIX": ("control_prefix", _prefix),
    "ORIGIN_SECRET": ("origin_secrets", _several(_header_secret)),
    "ORIGIN_SECRET_EXEMPT": ("origin_secret_exempt", _several(_pattern)),
    "SITE_URLS": ("site_urls", _several(_url)),
    "DEFAULTS": ("defaults", _defaults),
    "AUTO_TAGS": ("auto_tags", _switch),
    "AUTO_TAGS_EXCLUDE": ("auto_tags_exclude", _several(_text)),
    "COMPARE_RESULTS": ("compare_results", _switch),
    "PATH_TAGS": ("path_tags", _switch),
    "MAX_TAGS": ("max_tags", _number(1, 1000, int)),
    "MAX_TAG_BYTES": ("max_tag_bytes", _number(256, 65_536, int)),
    "CACHE_HEADER": ("cache_header", _choice(*CACHE_HEADERS)),
    "MODE": ("mode", _choice(*MODES)),
    "WARM": ("warm", _switch),
    "REINVALIDATE_AFTER_MS": ("reinvalidate_after_ms", _number(0, 3_600_000, int)),
    "OUTBOX": ("outbox", _switch),
    "IN_TESTS": ("in_tests", _switch),
    "DELIVERY": ("delivery", _delivery),
    "QUEUE_NAME": ("queue_name", _text),
    "RETENTION": ("retention", _number(0, 31_536_000)),
    "TIMEOUT": ("timeout", _number(0.05, 60)),
    "REQUEST_WAIT": ("request_wait", _number(0, MAX_REQUEST_WAIT_SECONDS)),
    "FRAGMENT_CACHE": ("fragment_cache", _text),
    "CACHE_TAGS": ("cache_tags", _switch),
    "CACHE_TAGS_EXCLUDE": ("cache_tags_exclude", _several(_text)),
    "TARGETS": ("targets", _several(_mapping)),
    "GATE": ("gate", _switch),
    "PERSONAL_COOKIES": ("more_personal_cookies", _several(_cookie_name)),
}
# Settings of django-edge-isr that have nothing left to do here.
SUPERSEDED = {
    "REDIS_URL": "the worker's index knows the tags of every page",
    "QUEUE": "see DELIVERY and QUEUE_NAME",
}
KEYS = (*_FIELDS, "RULES", "CDN")


def parse(raw: Any) -> tuple[Settings, list[str]]:
    """The settings, and every problem with them, each with its place."""
    if not isinstance(raw, Mapping):
        return Settings(), [f"EDGE_ISR: expected a dictionary, got {_shown(raw)}"]
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in raw.items():
        if key in ("RULES", "CDN") or key in SUPERSEDED:
            continue
        if key not in _FIELDS:
            near = get_close_matches(str(key), KEYS, 1, 0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            problems.append(f"EDGE_ISR[{key!r}]: unknown setting{hint}")
            continue
        name, parse_value = _FIELDS[key]
        try:
            values[name] = parse_value(value)
        except SettingError as error:
            problems.append(f"EDGE_ISR[{key!r}]: {error}")
    excluded = values.get("auto_tags_exclude", ())
    values["auto_tags_exclude"] = frozenset(EXCLUDED) | {str(name).lower() for name in excluded}
    settings = Settings(**values)
    settings, more = _with_rules(settings, raw.get("RULES", ()))
    cdn = raw.get("CDN")
    if cdn:
        if isinstance(cdn, Mapping):
            settings = replace(settings, targets=(*settings.targets, cdn))
        else:
            problems.append(f"EDGE_ISR['CDN']: expected a dictionary, got {_shown(cdn)}")
    problems += more
    if settings.worker_url and not settings.webhook_secrets and not problems:
        problems.append(
            "EDGE_ISR['WEBHOOK_SECRET'] is missing: WORKER_URL is set, and webhooks "
            "have to be signed"
        )
    return settings, problems


def _with_rules(settings: Settings, raw: Any) -> tuple[Settings, list[str]]:
    if not isinstance(raw, (list, tuple)):
        return settings, [f"EDGE_ISR['RULES']: expected a list, got {_shown(raw)}"]
    rules, problems = [], []
    for at, item in enumerate(raw):
        try:
            rules.append(_rule(item, settings.defaults))
        except SettingError as error:
            problems.append(f"EDGE_ISR['RULES'][{at}]: {error}")
    return replace(settings, rules=tuple(rules)), problems


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"


@lru_cache(maxsize=1)
def load() -> tuple[Settings, tuple[str, ...]]:
    """The project's settings and their problems."""
    settings, problems = parse(getattr(django_settings, "EDGE_ISR", {}))
    return settings, tuple(problems)


def is_dormant() -> bool:
    """Whether this is a test run of a site that does not look at what is sent."""
    # As `in_test_run`, without a call: each change asks.
    return "outbox" in vars(mail) and not load()[0].in_tests


def in_test_run() -> bool:
    """Whether tests are running, whoever runs them: Django's test environment has an outbox for
    mail."""
    return "outbox" in vars(mail)


def get_settings() -> Settings:
    """The project's settings; ImproperlyConfigured names every problem."""
    settings, problems = load()
    if problems:
        raise ImproperlyConfigured("\n".join(problems))
    return settings


def _reload(*, setting: str, **kwargs: Any) -> None:
    if setting == "EDGE_ISR":
        load.cache_clear()


setting_changed.connect(_reload, dispatch_uid="edge_isr.conf")

__all__ = ["KEYS", "POLICY_KEYS", "SUPERSEDED", "Rule", "SettingError", "Settings", "get_settings"]
