"""Wagtail's user bar as a personal part: `{% personal "wagtailuserbar" %}{% endpersonal %}`.

It stands where `{% wagtailuserbar %}` stood, and is of the page that Wagtail serves at the address.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.template import RequestContext
from wagtail.admin.templatetags.wagtailuserbar import wagtailuserbar
from wagtail.models import PAGE_TEMPLATE_VAR, Page

from ..compose.personal import ready_made


@ready_made("wagtailuserbar")
def userbar(request: HttpRequest) -> Any:
    """The bar for whoever may edit; nothing for others."""
    match = request.resolver_match
    page = None
    if match is not None and match.url_name == "wagtail_serve" and match.args:
        page = Page.find_for_request(request, match.args[0])
    named = {"request": request, **({PAGE_TEMPLATE_VAR: page} if page is not None else {})}
    return wagtailuserbar(RequestContext(request, named)) or None
