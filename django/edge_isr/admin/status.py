"""The status page: a URL's tags, a tag's pages, jobs, the outbox; and a form that revalidates.

For staff; revalidating needs the permission `edge_isr.revalidate`. A worker that does not answer is
shown on the page, within its time limit. `?format=json` gives the look-ups as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ..client import Client, WorkerError
from ..conf import Settings, get_settings
from ..models import OutboxMessage
from ..revalidation import (
    revalidate_all,
    revalidate_by_paths,
    revalidate_by_prefixes,
    revalidate_by_tags,
    revalidate_by_urls,
)
from ..tags import clean
from ..targets import CANCEL, target_names
from .figures import figures

PERMISSION = "edge_isr.revalidate"
RECENT = 20


def status(request: HttpRequest, context: dict[str, Any] | None = None) -> HttpResponse:
    """The page, or the action of its form."""
    settings = get_settings()
    if request.method == "POST":
        if not request.user.has_perm(PERMISSION):
            raise PermissionDenied
        return _revalidate(request)
    looked_up = _look_up(request, settings)
    if request.GET.get("format") == "json" or _wants_json(request):
        return JsonResponse(looked_up)
    health = _ask(settings, lambda client: client.health())
    outbox = OutboxMessage.objects.all()
    counts = dict(outbox.order_by().values_list("status").annotate(Count("pk")))
    return TemplateResponse(
        request,
        "edge_isr/status.html",
        {
            **(context or {}),
            "title": _("Edge cache"),
            "settings": settings,
            "dashboard": dashboard(settings),
            "targets": target_names(settings),
            "health": health,
            "figures": figures(settings, health, _ask),
            "looked_up": looked_up,
            "counts": [
                (label, counts.get(value, 0)) for value, label in OutboxMessage.Status.choices
            ],
            "waiting": outbox.exclude(status=OutboxMessage.Status.DELIVERED)[:RECENT],
            "jobs": _jobs(),
            "may_revalidate": request.user.has_perm(PERMISSION),
        },
    )


def dashboard(settings: Settings) -> str:
    """Where the worker has its own page to look at; nothing without a worker."""
    base = settings.worker_url
    return f"{base}{settings.control_prefix}/" if base else ""


def _wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


def _ask(settings: Settings, question: Callable[[Client], Any]) -> dict[str, Any]:
    """An answer of the worker, or why there is none."""
    try:
        return {"answer": question(Client(settings))}
    except WorkerError as error:
        return {"error": str(error)}


def _look_up(request: HttpRequest, settings: Settings) -> dict[str, Any]:
    url, tag, job = (request.GET.get(name, "").strip() for name in ("url", "tag", "job"))
    found: dict[str, Any] = {}
    if url:
        found["url"] = url
        asked = _ask(settings, lambda client: client.pages_of_url(url))
        found["pages"] = asked.get("answer", [])
        found["tags"] = sorted({name for page in found["pages"] for name in page["tags"]})
    elif tag:
        found["tag"] = clean(tag)
        asked = _ask(settings, lambda client: client.pages_of_tag(clean(tag)))
        found["pages"] = asked.get("answer", {}).get("pages", [])
        found["urls"] = [page["url"] for page in found["pages"]]
        found["more"] = bool(asked.get("answer", {}).get("next"))
        found["refetches"] = _refetches(
            variant for page in found["pages"] for variant in page["variants"]
        )
    elif job:
        found["job"] = job
        asked = _ask(settings, lambda client: client.job(job))
        found["progress"] = asked.get("answer")
        if found["progress"]:
            found["refetches"] = _refetches([found["progress"]])
    else:
        return {"ok": True}
    if "error" in asked:
        found["error"] = asked["error"]
    return found


def _refetches(counted: Iterable[dict[str, Any]]) -> dict[str, int] | None:
    """How many refetches brought something new, and how many the same; a worker of before says
    neither, and a page that was never refetched has none."""
    sums = {"changed": 0, "unchanged": 0}
    for counts in counted:
        for name in sums:
            sums[name] += counts.get(name, 0)
    total = sum(sums.values())
    return {**sums, "total": total} if total else None


def _jobs() -> list[dict[str, Any]]:
    delivered = OutboxMessage.objects.filter(status=OutboxMessage.Status.DELIVERED)
    rows = delivered.exclude(job_id="").order_by("-delivered_at")
    jobs: dict[str, dict[str, Any]] = {}
    for row in rows[:200]:
        if CANCEL in row.payload:
            continue
        job = jobs.setdefault(
            row.job_id,
            {"id": row.job_id, "epoch": row.epoch, "at": row.delivered_at, "target": row.target},
        )
        job.setdefault("what", row.payload.get("reason") or ", ".join(row.payload.get("tags", [])))
    return list(jobs.values())[:RECENT]


_ACTIONS: dict[str, Callable[..., Any]] = {
    "tags": revalidate_by_tags,
    "urls": revalidate_by_urls,
    "paths": revalidate_by_paths,
    "prefixes": revalidate_by_prefixes,
}


def _revalidate(request: HttpRequest) -> HttpResponse:
    kind = request.POST.get("kind", "tags")
    names = request.POST.get("names", "").split()
    options: dict[str, Any] = {
        "hard": request.POST.get("mode") == "hard",
        "reason": f"by {request.user.get_username()}"[:200],
    }
    try:
        if kind == "all":
            revalidate_all(**options)
        elif kind in _ACTIONS and names:
            _ACTIONS[kind](names, **options)
        else:
            raise ValueError(_("name what to revalidate"))
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Recorded: it is sent now."))
    return HttpResponseRedirect(request.get_full_path())
