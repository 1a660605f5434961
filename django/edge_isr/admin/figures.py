"""The site's figures of the last hour, as the dashboard shows them: what isolates reported.

What the worker does not say, because it is of another version or out of reach, is not known; it is
never a zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..client import Client, WorkerError
from ..conf import Settings

# Answered from what is stored.
CACHED = ("hit", "stale")

Answer = dict[str, Any]


def figures(settings: Settings, health: Answer, ask: Callable[..., Answer]) -> Answer:
    """What is known, and why the rest is not."""
    if "error" in health:
        # It is asked once how it is: a worker that is away costs the page one time-out.
        return {"error": health["error"]}
    asked = ask(settings, _stats)
    known: Answer = {"heard_seconds": _seconds(health["answer"])}
    return {**known, **asked.get("answer", {"error": asked.get("error")})}


def _stats(client: Client) -> Answer:
    answer = client.stats()
    try:
        totals = {name: int(sums["requests"]) for name, sums in answer["totals"].items()}
        origin = answer.get("origin")
        asked = None if origin is None else sum(int(one["requests"]) for one in origin.values())
        millis = 0 if origin is None else sum(int(one["millis"]) for one in origin.values())
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WorkerError(f"the answer can't be read: {type(error).__name__}: {error}") from error
    every = sum(totals.values())
    return {
        "requests": every,
        "hit_ratio": _percent(sum(totals.get(name, 0) for name in CACHED), every),
        "stale_share": _percent(totals.get("stale", 0), every),
        "origin_requests": asked,
        "origin_millis": round(millis / asked) if asked else None,
        "isolates": answer.get("isolates"),
    }


def _percent(part: int, whole: int) -> str | None:
    return f"{part / whole:.1%}" if whole else None


def _seconds(health: Any) -> float | None:
    age = health.get("view_age_ms") if isinstance(health, dict) else None
    return age / 1000 if isinstance(age, (int, float)) else None
