"""The app: checks its settings, follows models, puts the hooks in place."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig, apps
from django.core.signals import setting_changed


class EdgeISRConfig(AppConfig):
    """`"edge_isr"` in INSTALLED_APPS."""

    name = "edge_isr"
    verbose_name = "Edge ISR"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Everything but the settings' errors, which the checks report."""
        from . import (
            checks,  # noqa: F401
            commits,
            cursors,
            hooks,
            migrating,
            saves,
            sqlite,
        )
        from .changes import follow_relations
        from .compose import composition, parts, personal  # noqa: F401
        from .moments import follow_revisions

        hooks.install()
        saves.install()
        commits.install()
        sqlite.install()
        cursors.install()
        migrating.install()
        composition.install()
        personal.install()
        if apps.is_installed("wagtail.admin"):
            from .contrib import userbar  # noqa: F401
        _install_reading()
        follow_relations()
        follow_revisions()
        setting_changed.connect(_settings_changed, dispatch_uid="edge_isr.apps")


def _install_reading() -> None:
    from . import autotags, caching, excerpts, sharing, threads, tracking
    from .conf import load

    if load()[0].auto_tags:
        autotags.install()
        tracking.install()
        excerpts.install()
        threads.install()
        caching.install()
        if load()[0].compare_results:
            sharing.install()


def _settings_changed(*, setting: str, **kwargs: Any) -> None:
    if setting == "CACHES":
        from .relations import forget_caches

        forget_caches()
    if setting == "EDGE_ISR":
        from .conf import load
        from .registry import forget_models

        load.cache_clear()
        forget_models()
        _install_reading()
