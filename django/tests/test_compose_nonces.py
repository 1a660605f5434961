"""CSP nonces as placeholders: Django's own middleware, and django-csp's."""

import pytest
from composing import (
    FORM,
    ask,
    ask_parts,
    fill,
    members,
    page_of,
    page_with,
    part,
    parts_of,
    problem_of,
    wrong,
)
from django import VERSION
from django.http import HttpResponse

from edge_isr.compose.problems import Problem

CSP = "django.middleware.csp.ContentSecurityPolicyMiddleware"
NONCE_PAGE = '<script nonce="{{ csp_nonce }}">1</script><i data-n={{ csp_nonce }}>'


@pytest.fixture
def csp(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, CSP]
    settings.SECURE_CSP = settings.SECURE_CSP_REPORT_ONLY = {
        "script-src": ["'self'", "<CSP_NONCE_SENTINEL>"]
    }
    settings.TEMPLATES = [
        {
            **settings.TEMPLATES[0],
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.csp",
                    "django.contrib.auth.context_processors.auth",
                ]
            },
        }
    ]


if VERSION >= (6, 0):

    def test_nonces_are_places_in_body_and_fields(site, csp):
        response = ask(site(page_with(NONCE_PAGE)))
        said = members(response)
        assert said["nonce"] is True and said["placeholders"] == 2
        for name in ("Content-Security-Policy", "Content-Security-Policy-Report-Only"):
            assert f"'nonce-{said['marker']}n00'" in response[name]
        assert 'nonce="' + "N" * 32 + '"' in fill(response)

    def test_a_page_that_prints_no_nonce(site, csp):
        response = ask(site(page_with("x")))
        assert "nonce" not in members(response)
        assert "nonce" not in response["Content-Security-Policy"]

    def test_a_nonce_in_another_field(site, csp):
        def other(request):
            response = HttpResponse(f"<script nonce={request._csp_nonce}></script>")
            response["Link"] = f"</x.js>; rel=preload; nonce={request._csp_nonce}"
            return response

        assert problem_of(site(wrong(other))) is Problem.NONCE_IN_FIELD

    def test_a_script_with_a_token_and_a_hash(site, csp, settings):
        settings.SECURE_CSP = {"script-src": ["'sha256-abc'"]}
        script = "<script>x = '{{ csrf_token }}'</script>"
        assert problem_of(site(page_with(script))) is Problem.HASHED_SCRIPT
        assert members(ask(site(page_with(FORM)))) is not None

    def test_a_fragment_with_a_nonce_is_not_kept(site, csp):
        source = (
            '{% load edge_isr %}{% edge_fragment "a" ttl=60 %}{{ csp_nonce }}{% endedge_fragment %}'
        )
        client = site(page_with(source))
        assert client.get("/page/").content != client.get("/page/").content


class LikeDjangoCsp:
    """A middleware as django-csp's is made."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        from django.utils.functional import SimpleLazyObject

        def make():
            request._csp_nonce = "a+/b0123456789=="
            return request._csp_nonce

        request.csp_nonce = SimpleLazyObject(make)
        response = self.get_response(request)
        nonce = getattr(request, "_csp_nonce", None)
        if nonce:
            response["Content-Security-Policy"] = f"script-src 'nonce-{nonce}'"
        return response


def test_django_csp(site, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.LikeDjangoCsp"]
    response = ask(site(page_with('<script nonce="{{ request.csp_nonce }}"></script>')))
    said = members(response)
    assert said["nonce"] is True and said["placeholders"] == 1
    assert response["Content-Security-Policy"] == f"script-src 'nonce-{said['marker']}n00'"
    # A middleware of which nothing is known may refuse somebody.
    assert said["gate"] is True


@pytest.mark.django_db
@pytest.mark.usefixtures("menu_part")
def test_the_nonce_of_the_page(site, settings):
    if VERSION < (6, 0):
        source = part(lambda request: getattr(request, "csp_nonce", "none"))
        assert parts_of(ask_parts(site(page_of(source)), ["part"], nonce="N" * 32))
        return
    middleware = "django.middleware.csp.ContentSecurityPolicyMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, middleware]
    source = part(lambda request: f"{request._csp_nonce}")
    made = parts_of(ask_parts(site(page_of(source)), ["part"], nonce="N" * 32))
    assert made == {"part": "N" * 32}
