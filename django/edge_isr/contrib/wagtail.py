"""A backend for Wagtail's frontend cache module: what it purges goes to the edge by the outbox.

Wagtail's own backends send from within the request, once: an error is a line in the log, and the
page stays out of date. Here what it purges is delivered after the commit and for as long as it
takes, to the worker and to all TARGETS. With AUTO_TAGS no page needs it; it is for the `PurgeBatch`
and `get_cached_paths` that a site has.

Only this module imports Wagtail.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from wagtail.contrib.frontend_cache.backends import BaseBackend

from ..conf import get_settings
from ..invalidation import clean_url
from ..revalidation import revalidate_by_urls
from ..targets import target_names

# Where Wagtail's other backends report their errors.
logger = logging.getLogger("wagtail.frontendcache")

# Of BaseBackend.
HOSTNAMES = "HOSTNAMES"


class EdgeISRBackend(BaseBackend):
    """`WAGTAILFRONTENDCACHE = {"edge": {"BACKEND": "edge_isr.contrib.wagtail.EdgeISRBackend"}}`.

    Options: `HARD` (the old page is never served again) and `WARM` (the new one is fetched at
    once), each as EDGE_ISR says by default; `HOSTNAMES` as for every backend. Wrong ones raise
    ImproperlyConfigured.
    """

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__(params)
        options = {name: value for name, value in params.items() if name != HOSTNAMES}
        self._hard = _switch("HARD", options.pop("HARD", None))
        self._warm = _switch("WARM", options.pop("WARM", None))
        if options:
            raise ImproperlyConfigured(f"WAGTAILFRONTENDCACHE: unknown option {min(options)}")
        if not target_names(get_settings()):
            raise ImproperlyConfigured("EDGE_ISR names no target: set WORKER_URL or TARGETS")

    def purge(self, url: str) -> None:
        """The page at this URL is out of date."""
        self.purge_batch([url])

    def purge_batch(self, urls: Iterable[str]) -> None:
        """The pages at these URLs are out of date: one invalidation.

        What is no absolute URL is logged, and holds up no other.
        """
        named = []
        for url in urls:
            try:
                named.append(clean_url(url))
            except ValueError as error:
                logger.error("Couldn't purge '%s' from the edge: %s", url, error)
        if named:
            revalidate_by_urls(named, hard=self._hard, warm=self._warm, reason="wagtail")


def _switch(name: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise ImproperlyConfigured(f"WAGTAILFRONTENDCACHE: {name} is True or False, not {value!r}")
