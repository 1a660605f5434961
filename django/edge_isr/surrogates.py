"""Tags for common cases: of a path, a view, a model, a user, query parameters.

Each can stand in `@isr(tags=[…])` as it is, if it takes a request, or inside a lambda.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.db.models import Model
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

from .tags import clean, path_tag, tag


def surrogate_from_path(request: HttpRequest | str) -> str:
    """`path:/products/1/`: the tag that every stored page has of itself (see PATH_TAGS)."""
    return path_tag(request if isinstance(request, str) else request.path)


def surrogate_from_view(view: HttpRequest | str) -> str:
    """`view:product-detail`: all pages of a view, by its URL's name."""
    if isinstance(view, str):
        return clean(f"view:{view}")
    match = view.resolver_match
    return clean(f"view:{(match.view_name if match else '') or view.path}")


def surrogate_from_model(model: type[Model] | Model | str, pk: object = None) -> str:
    """`shop.product`, or `shop.product:42`: what every change of the model, or of that one,
    invalidates. A model is given as a class, an instance, or `"shop.Product"`."""
    if isinstance(model, str):
        model = apps.get_model(model) if "." in model else _only_model(model)
    label = tag(model)
    return label if pk is None else clean(f"{label}:{pk}")


def _only_model(name: str) -> type[Model]:
    found: list[type[Model]] = [m for m in apps.get_models() if m._meta.model_name == name.lower()]
    if len(found) != 1:
        raise LookupError(f"{len(found)} models are called {name}; name the app: app.{name}")
    return found[0]


def surrogate_from_user(request: HttpRequest) -> str | None:
    """`user:1f3a…` for whoever is logged in, none for anonymous visitors.

    It shows no id: tags travel in headers and stand in the worker's index. Pages that were rendered
    for someone logged in are never public; this is for fragments.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    digest = salted_hmac("edge_isr.user", str(user.pk), algorithm="sha256")
    return "user:" + digest.hexdigest()[:20]


def surrogate_from_query_params(
    request: HttpRequest, params: Iterable[str] | None = None
) -> list[str]:
    """`param:category:shoes` for each parameter, or those named, that has a value."""
    names = request.GET.keys() if params is None else params
    return [
        clean(f"param:{name}:{value}")
        for name in names
        for value in request.GET.getlist(name)
        if value
    ]


def versioned(name: str, timeout: int | None = None) -> str:
    """The tag itself: every tag is invalidated in one step, however many pages carry it."""
    return clean(name)
