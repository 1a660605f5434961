"""What changed, and so which pages are out of date: the value that travels from a save to the edge.

Rows of the outbox hold it as JSON. Invalidations with the same options merge into one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote, unquote, urlsplit

NAMED = ("tags", "urls", "paths", "prefixes")
MAX_REASON_CHARS = 200
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

Options = tuple[bool, bool, int, bool, int, int]


@dataclass
class Invalidation:
    """Names of what is out of date, and how to treat its pages."""

    tags: set[str] = field(default_factory=set)
    urls: set[str] = field(default_factory=set)
    # Paths of the site, on each of its hosts and with any query.
    paths: set[str] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    everything: bool = False
    hard: bool = False
    warm: bool = True
    reinvalidate_after_ms: int = 0
    reason: str = ""
    # Not to be done before, in seconds since the epoch; 0 for at once.
    due: int = 0
    # When it happens, in milliseconds since the epoch; 0 for now.
    at_ms: int = 0
    # Whatever waits under the same name gives way to it; without an `at_ms` nothing takes its
    # place. It merges with no other.
    name: str = ""

    @property
    def options(self) -> Options:
        """What two must share to be merged."""
        return (
            self.hard,
            self.warm,
            self.reinvalidate_after_ms,
            self.everything,
            self.due,
            self.at_ms,
        )

    @property
    def cancels(self) -> bool:
        """Whether it only takes back what waits under its name."""
        return bool(self.name) and not self.at_ms

    def __bool__(self) -> bool:
        named = bool(self.tags or self.urls or self.paths or self.prefixes)
        return self.everything or named or self.cancels

    def __len__(self) -> int:
        return sum(len(getattr(self, name)) for name in NAMED) + self.everything

    def absorb(self, other: Invalidation) -> None:
        """Takes up another one with the same options."""
        for name in NAMED:
            getattr(self, name).update(getattr(other, name))
        self.reason = self.reason or other.reason

    def copy(self) -> Invalidation:
        """Another one that says the same."""
        return replace(
            self, tags=set(self.tags), urls=set(self.urls), paths=set(self.paths),
            prefixes=set(self.prefixes),
        )  # fmt: skip

    def parts(self, most: int) -> Iterator[Invalidation]:
        """The same in parts that name at most so much each."""
        if len(self) <= most:
            yield self
            return
        names = [(kind, name) for kind in NAMED for name in sorted(getattr(self, kind))]
        for start in range(0, len(names), most):
            part = Invalidation(
                hard=self.hard, warm=self.warm, due=self.due, at_ms=self.at_ms, name=self.name,
                reinvalidate_after_ms=self.reinvalidate_after_ms, reason=self.reason,
            )  # fmt: skip
            for kind, name in names[start : start + most]:
                getattr(part, kind).add(name)
            yield part

    def to_json(self) -> dict[str, Any]:
        """As plain data, in one order."""
        plain: dict[str, Any] = {
            name: sorted(getattr(self, name)) for name in NAMED if getattr(self, name)
        }
        plain.update(
            hard=self.hard, warm=self.warm, reinvalidate_after_ms=self.reinvalidate_after_ms
        )
        if self.everything:
            plain["everything"] = True
        if self.reason:
            plain["reason"] = self.reason[:MAX_REASON_CHARS]
        if self.at_ms:
            plain["at_ms"] = self.at_ms
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Invalidation:
        """From plain data; what a later version may have added is left alone."""
        named: dict[str, Any] = {name: set(plain.get(name, ())) for name in NAMED}
        return cls(
            **named,
            everything=bool(plain.get("everything")),
            hard=bool(plain.get("hard")),
            warm=bool(plain.get("warm", True)),
            reinvalidate_after_ms=int(plain.get("reinvalidate_after_ms", 0)),
            reason=str(plain.get("reason", "")),
            at_ms=int(plain.get("at_ms", 0)),
        )

    def __str__(self) -> str:
        names = ["everything"] if self.everything else []
        names += [name for kind in NAMED for name in sorted(getattr(self, kind))]
        shown = " ".join(names[:8]) or f"nothing more of {self.name}"
        return shown if len(names) <= 8 else f"{shown} and {len(names) - 8} more"


def merged(invalidations: Iterable[Invalidation]) -> list[Invalidation]:
    """As few as say the same, in the order of their options; of a name the last one alone."""
    by_options: dict[Options, Invalidation] = {}
    by_name: dict[str, Invalidation] = {}
    for one in invalidations:
        if one.name:
            by_name[one.name] = one
            continue
        into = by_options.setdefault(one.options, Invalidation(
            everything=one.everything, hard=one.hard, warm=one.warm, due=one.due,
            at_ms=one.at_ms, reinvalidate_after_ms=one.reinvalidate_after_ms,
        ))  # fmt: skip
        into.absorb(one)
    return [by_options[options] for options in sorted(by_options)] + list(by_name.values())


def clean_path(path: str) -> str:
    """A site's path in the form of a URL: percent-encoded, without host, query and fragment."""
    path = urlsplit(path).path if "://" in path else path.split("#")[0].split("?")[0]
    if not path.startswith("/"):
        raise ValueError(f"a path begins with /: {path!r}")
    return quote(unquote(path), safe="/~!$&'()*+;=:@,")


def clean_url(url: str) -> str:
    """An absolute URL as it is; ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"expected an absolute URL such as https://example.net/blog/: {url!r}")
    return url


def clean_prefix(prefix: str) -> str:
    """An absolute URL or a path that ends at a / boundary; ValueError for anything else."""
    if not prefix.endswith("/") or "*" in prefix or "?" in prefix:
        raise ValueError(f"a prefix ends with / and has neither * nor query: {prefix!r}")
    return clean_path(prefix) if prefix.startswith("/") else clean_url(prefix)
