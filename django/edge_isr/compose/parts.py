"""Personal parts that most sites have. A site's own part of the same name takes their place, and a
site's own template of the same name their look.

`messages`: Django's messages, in a list as Django's documentation has it.
`account`: who is logged in, with a form to log out; others get what stands between the tags.
"""

from __future__ import annotations

from typing import Any

from django.contrib.messages import get_messages
from django.http import HttpRequest
from django.template.loader import render_to_string

from .personal import ready_made


@ready_made("messages")
def messages(request: HttpRequest) -> Any:
    """The messages that wait for the visitor; shown here, they are gone."""
    found = list(get_messages(request))
    return render_to_string("edge_isr/messages.html", {"messages": found}, request) if found else ""


@ready_made("account")
def account(request: HttpRequest) -> Any:
    """Who is logged in, by the names of Django's own addresses."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return render_to_string("edge_isr/account.html", {"user": user}, request)
