"""`EdgeISRMiddleware` says at last whether an answer is public; `OriginSecretMiddleware` refuses
whoever goes round the edge.

The first belongs above the session, CSRF and message middlewares: it has to see the cookies and the
`Vary` that they set.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponseForbidden
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from . import hints
from . import policy as rules
from .compose import edge, personal, shared, shell
from .compose.composition import Composition, ensure_csrf_cookie
from .compose.problems import NotComposedError
from .conf import Rule, Settings, get_settings, is_dormant
from .context import PageContext, page_of, recording
from .decorators import keep_query
from .delivery.in_memory import budget, full_budget
from .explanation import as_field
from .policy import SAFE_METHODS, Why
from .tags import ANYTHING, path_tag, with_every, within_limits
from .tracked import named_by_hand

logger = logging.getLogger("edge_isr")

TAGS_HEADER = "X-Edge-ISR-Tags"
# On what the edge fetches while no visitor waits.
WARMUP = "HTTP_X_EDGE_ISR_WARMUP"


class _Middleware:
    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)
        # Wrong settings end the start, not some request.
        get_settings()


class EdgeISRMiddleware(_Middleware):
    """Gives every request its page, and every answer its headers."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if self.is_async:
            # Django would take a function to a thread, for each request.
            self.process_view = self._process_view_async  # type: ignore[method-assign]

    def __call__(self, request: HttpRequest) -> Any:
        """Serves one request."""
        settings = get_settings()
        _start_delivery(settings)
        page = page_of(request)
        page.request = request
        page.recorder.refetch = WARMUP in request.META
        rule = _rule_for(request, page, settings)
        if request.method in SAFE_METHODS:
            page.arrive(settings.auto_tags)
        if rule is not None and rule.policy is not None and request.method in SAFE_METHODS:
            page.begin(rule.policy, settings.auto_tags)
            keep_query(request, rule.policy)
            page.add_tags(rule.tags)
            if rule.policy.csrf_cookie:
                ensure_csrf_cookie(request)
        if self.is_async:
            return self._async(request, page, rule, settings)
        try:
            with recording(page.recorder), _waiting_bounded():
                response = self.get_response(request)
            return finish(request, response, page, rule, settings)
        finally:
            page.close()

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> Any:
        """The view is about to begin."""
        _view_found(request, view)

    async def _process_view_async(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> Any:
        _view_found(request, view)

    async def _async(
        self,
        request: HttpRequest,
        page: PageContext,
        rule: Rule | None,
        settings: Settings,
    ) -> HttpResponseBase:
        try:
            with recording(page.recorder), _waiting_bounded():
                response = await self.get_response(request)
            return finish(request, response, page, rule, settings)
        finally:
            page.close()


def _rule_for(request: HttpRequest, page: PageContext, settings: Settings) -> Rule | None:
    """The rule of its path. What the edge asks for a page that it composes is known from here."""
    if personal.is_asked_for(request, settings):
        edge.strip_conditions(request)
        request.urlconf = personal.URLCONF
        return None
    if shared.is_asked_for(request):
        request.urlconf = personal.URLCONF
        return None
    if edge.asks_for_shell(request, settings):
        edge.strip_conditions(request)
        page.composition = Composition(request)
    return settings.rule_for(request.path_info) if settings.rules else None


def _view_found(request: HttpRequest, view: Any) -> None:
    page = page_of(request)
    page.view_found(view)
    personal.forget_urlconf(request)
    if page.composition is not None:
        page.composition.view_found()


@contextmanager
def _waiting_bounded() -> Iterator[None]:
    """All changes of one request together wait for the worker no longer than a fixed time."""
    token = budget.set(full_budget())
    try:
        yield
    finally:
        budget.reset(token)


def _start_delivery(settings: Settings) -> None:
    if not settings.outbox or is_dormant():
        return
    from .delivery import queues, thread

    if settings.delivery == "thread" or settings.delivery in queues.QUEUES:
        thread.ensure(settings)


def finish(
    request: HttpRequest,
    response: HttpResponseBase,
    page: PageContext,
    rule: Rule | None,
    settings: Settings,
) -> HttpResponseBase:
    """Makes the answer public with its tags, or keeps it out of shared caches."""
    if page.is_personal_answer:
        return _parts(response)
    excluded = rule is not None and rule.policy is None
    policy = None if excluded else page.policy
    if policy is None:
        if page.composition is not None:
            shell.without_places(response, page)
        # A 304 says nothing of the stored page but that it is still good.
        if page.has_personal_parts:
            rules.make_personal(response)
        elif not rules.states_freshness(response) and response.status_code != 304:
            rules.keep_out(response)
        page.why = Why.NO_POLICY
        return _refused(response, page.why)
    made = _shell(request, response, page, policy, settings)
    why = _refusal(request, response, page, policy, rule, settings, made)
    page.why = why
    if why is not None:
        if made is not None:
            shell.give_back(request, response, made.cookie)
            shell.without_places(response, page)
        (rules.make_personal if page.has_personal_parts else rules.make_private)(response)
        return _refused(response, why, page.not_composed)
    # For a site's tests: `testing.assert_cached`.
    response.edge_isr_reason = ""
    if django_settings.DEBUG:
        _hint(response, page)
    if page.recorder.unknown:
        _with_reason(response, "anything-may-change-it; " + ", ".join(page.recorder.unknown))
    if page.not_composed or (made is not None and page.composition.watch.reads):
        _with_reason(response, page.not_composed or shell.audience_in_words(page.composition))
    return response


def _parts(response: HttpResponseBase) -> HttpResponseBase:
    """The answer with a page's personal parts; the edge has the CSRF cookie in hand."""
    response.cookies.pop(django_settings.CSRF_COOKIE_NAME, None)
    rules.make_personal(response)
    response["Cache-Control"] = "private, no-store"
    return response


def _shell(
    request: HttpRequest,
    response: HttpResponseBase,
    page: PageContext,
    policy: rules.Policy,
    settings: Settings,
) -> shell.Shell | None:
    """The page's shell, if the edge asked for one, with its cookie taken from the answer."""
    if not policy.compose:
        return None
    if page.composition is None or response.status_code != 200:
        shell.without_places(response, page)
        return None
    try:
        made = shell.shell_of(request, response, page.composition, policy, settings)
    except NotComposedError as error:
        page.not_composed = f"not-composed: {error.problem.value}"
        page.problem = error.problem
        logger.warning("%s is %s", request.path, page.not_composed)
        shell.without_places(response, page)
        return None
    shell.take(request, response)
    return made


def _refusal(
    request: HttpRequest,
    response: HttpResponseBase,
    page: PageContext,
    policy: rules.Policy,
    rule: Rule | None,
    settings: Settings,
    made: shell.Shell | None,
) -> Why | None:
    allowed = _allowed(request, response, policy)
    why = rules.refusal(request, response, policy) or allowed
    if why is not None:
        return why
    automatic = settings.auto_tags and policy.auto_tags
    if automatic and not page.explicit and rules.untracked_stream(response):
        return Why.STREAMING
    if page.refused is not None:
        return page.refused
    if page.failed:
        return Why.TAGS_FAILED
    try:
        ttl = policy.ttl(response)
    except Exception:
        if django_settings.DEBUG:
            raise
        logger.exception("the policy of %s failed; it is not cached", request.path)
        return Why.POLICY_FAILED
    if ttl is None:
        return Why.STATUS
    tags = within_limits(
        _all_tags(request, response, page, settings), settings.max_tags, settings.max_tag_bytes
    )
    if tags is None:
        logger.error(
            "the tags of %s exceed the limits even when merged; it is not cached", request.path
        )
        return Why.TAGS_LIMIT
    # Also what looks at the session after its middleware: the answer depends on the cookie.
    if getattr(getattr(request, "session", None), "accessed", False):
        patch_vary_headers(response, ["Cookie"])
    policy, ttl = rules.capped(policy, ttl, ANYTHING in tags, page.seconds_left())
    rules.make_public(response, policy, ttl, settings.cache_header)
    # With an age it comes out of a cache that may hide an invalidation: the edge does not store it.
    # A page out of Django's own is known to be current.
    if getattr(response, "edge_isr_current", False) and ANYTHING not in tags:
        del response["Age"]
    if made is not None:
        shell.put(response, made, ttl, policy)
    # The stored page keeps its own: what the view has looked at for a 304 is not all of its data.
    unchanged = response.status_code == 304 and (page.unchanged or rule is not None)
    if tags and not unchanged:
        _set_tags(response, tags, settings)
    return None


def _allowed(request: HttpRequest, response: HttpResponseBase, policy: rules.Policy) -> Why | None:
    if policy.only_if is None or request.method not in SAFE_METHODS:
        return None
    try:
        allowed = policy.only_if(request)
    except Exception:
        if django_settings.DEBUG:
            raise
        logger.exception("the policy of %s failed; it is not cached", request.path)
        return Why.POLICY_FAILED
    return None if allowed else Why.ONLY_IF


def _all_tags(
    request: HttpRequest, response: HttpResponseBase, page: PageContext, settings: Settings
) -> list[str]:
    tags = page.tags
    tags += named_by_hand(response.get(TAGS_HEADER, "").replace(",", " ").split())
    if settings.path_tags:
        tags.append(path_tag(request.path))
    return with_every(tags)


def _set_tags(response: HttpResponseBase, tags: list[str], settings: Settings) -> None:
    response[TAGS_HEADER] = " ".join(tags)
    if settings.targets:
        from .targets import decorate_response

        decorate_response(response, tags, settings)


def _hint(response: HttpResponseBase, page: PageContext) -> None:
    if page.recorder.explained:
        response["X-Edge-ISR-Explain"] = as_field(page.recorder.explained)
    if page.ends is None and page.recorder.dates:
        fields = sorted(page.recorder.dates, key=lambda one: (one[0]._meta.label_lower, one[1]))
        with recording(None):
            response["X-Edge-ISR-Hint"] = ", ".join(hints.text_of(*field) for field in fields)


def _refused(response: HttpResponseBase, why: Why, more: str = "") -> HttpResponseBase:
    response.edge_isr_reason = why.value
    return _with_reason(response, f"{why.value}; {more}" if more else why.value)


def _with_reason(response: HttpResponseBase, why: str) -> HttpResponseBase:
    if django_settings.DEBUG:
        response["X-Edge-ISR-Reason"] = why
    return response


class OriginSecretMiddleware(_Middleware):
    """Refuses requests that did not come through the edge, once `ORIGIN_SECRET` is set.

    Several secrets may be set, for rotation. `ORIGIN_SECRET_EXEMPT` names paths that everyone may
    ask for, such as a health check of the load balancer. Put it first.
    """

    def __call__(self, request: HttpRequest) -> Any:
        """Serves or refuses one request."""
        settings = get_settings()
        if not settings.origin_secrets or self._may_pass(request, settings):
            return self.get_response(request)
        refused = HttpResponseForbidden(
            "This site is served by its edge cache only.\n", content_type="text/plain"
        )
        refused["Cache-Control"] = "private, no-store"
        return self._refuse(refused) if self.is_async else refused

    async def _refuse(self, refused: HttpResponseBase) -> HttpResponseBase:
        return refused

    @staticmethod
    def _may_pass(request: HttpRequest, settings: Settings) -> bool:
        if any(pattern.search(request.path_info) for pattern in settings.origin_secret_exempt):
            return True
        return edge.knows_secret(request, settings)
