"""What docs/forms.md says to do is done here: the page is kept, the form and its token are not."""

import sys

import pytest
from conftest import is_public
from django.conf import settings as django_settings
from django.http import HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.test import Client
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie

from edge_isr import isr

pytestmark = pytest.mark.django_db


def test_a_page_whose_form_is_fetched_when_it_is_needed(site):
    def render(text):
        return lambda request: HttpResponse(engines["django"].from_string(text).render({}, request))

    @never_cache
    @ensure_csrf_cookie
    def token(request):
        return JsonResponse({"token": get_token(request)})

    with_form = isr(render("<form method=post>{% csrf_token %}</form>"))
    client = site(isr(render("<form method=get action=/search/></form><a href=/form/>Log in</a>")))
    module = sys.modules[django_settings.ROOT_URLCONF]
    module.urlpatterns += [
        path("with-form/", with_form),
        path("token/", token),
        path("send/", lambda request: HttpResponse("done")),
    ]
    assert is_public(client.get("/page/"))
    assert not is_public(client.get("/with-form/"))
    script = Client(enforce_csrf_checks=True)
    answer = script.get("/token/")
    assert "no-store" in answer["Cache-Control"] and answer.cookies["csrftoken"].value
    sent = {"X-CSRFToken": answer.json()["token"]}
    assert script.post("/send/", headers=sent).content == b"done"
    assert script.post("/send/").status_code == 403
