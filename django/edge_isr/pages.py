"""Whole pages in a cache of the site: what is to be known of them when the view does not run."""

from __future__ import annotations

import logging
from typing import Any

from django.http.response import HttpResponseBase

from .context import Recorder
from .policy import Policy, Why, refusal, status_of

logger = logging.getLogger("edge_isr")


def page_facts(recorder: Recorder, response: HttpResponseBase) -> dict[str, Any] | None:
    """What is remembered of a response in a cache; None if it is of no cached view."""
    page = recorder.page
    if page is None or page.policy is None or page.request is None:
        return None
    policy = page.policy
    why = Why.TAGS_FAILED if page.failed else refusal(page.request, response, policy)
    ttl = None
    try:
        ttl = policy.ttl(response)
    except Exception:
        logger.exception("the policy of %s failed; it is not cached", page.request.path)
        why = Why.POLICY_FAILED
    ends = [moment for moment in (page.ends, recorder.until) if moment is not None]
    return {
        "s_maxage": ttl or 0,
        "swr": policy.swr,
        "sie": policy.sie,
        "max_age": policy.max_age,
        "vary": list(policy.vary),
        "status": status_of(response),
        "auto_tags": policy.auto_tags,
        "asks": policy.only_if is not None,
        "explicit": page.explicit,
        "refused": why.value if why is not None else None,
        "until": min(ends) if ends else None,
    }


def restore_page(recorder: Recorder, facts: dict[str, Any] | None) -> bool:
    """A response comes out of a cache. False if only the view can say whether it is public."""
    page = recorder.page
    if page is None:
        return True
    if facts is None:
        return not recorder.active
    if facts["asks"]:
        return False
    if page.policy is None:
        policy = Policy(
            s_maxage=facts["s_maxage"], swr=facts["swr"], sie=facts["sie"],
            max_age=facts["max_age"], vary=tuple(facts["vary"]),
            statuses={facts["status"]: None}, auto_tags=facts["auto_tags"],
        )  # fmt: skip
        page.begin(policy, True)
    page.explicit = page.explicit or facts["explicit"]
    if facts["refused"] is not None:
        page.refused = Why(facts["refused"])
    return True
