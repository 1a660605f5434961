"""Pages whose CSRF tokens and nonces the edge makes: where their placeholders are, and when not."""

import base64
import json
import re
from unittest import mock

import pytest
from composing import EDGE, FORM, ask, fill, members, page_with, problem_of, token_of, wrong
from conftest import is_public, tags_of
from django.core.cache import cache
from django.http import HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token, rotate_token
from django.template import engines
from django.template.response import TemplateResponse
from django.test import Client
from django.utils.decorators import method_decorator
from django.utils.html import escape
from django.views.decorators.cache import cache_page
from django.views.decorators.csrf import ensure_csrf_cookie

from edge_isr import isr
from edge_isr.compose.html import outside_of_html
from edge_isr.compose.markers import new_marker
from edge_isr.compose.problems import Problem


def test_a_form_is_a_place(site):
    client = site(page_with(FORM))
    response = ask(client)
    said = members(response)
    marker = said.pop("marker")
    assert re.fullmatch("[A-Za-z0-9]{43}", marker)
    assert said == {
        "v": 1, "max-age": 300, "swr": 60, "sie": 86400, "placeholders": 1,
        "length": len(response.content), "audience": "all", "gate": False,
        "csrf": ["csrftoken", "Max-Age=31449600; Path=/; SameSite=Lax"],
    }  # fmt: skip
    assert f'name="csrfmiddlewaretoken" value="{marker}t00"' in response.content.decode()
    assert response["Cache-Control"] == "private, no-store"
    assert not response.cookies and "CDN-Cache-Control" not in response
    assert "X-Edge-ISR" not in response and "ETag" not in response
    assert "path:/page/" in response["X-Edge-ISR-Tags"]


def test_every_render_has_a_marker_of_its_own(site):
    client = site(page_with(FORM))
    assert members(ask(client))["marker"] != members(ask(client))["marker"]


def test_without_the_field_nothing_changes(site):
    client = site(page_with(FORM))
    response = client.get("/page/")
    assert not is_public(response) and response.edge_isr_reason == "set-cookie"
    assert members(response) is None and b"eIsR" not in response.content
    assert response.cookies["csrftoken"].value


@pytest.mark.parametrize(
    "more",
    [
        {"HTTP_X_EDGE_ISR_COMPOSE": "v=2"},
        {"HTTP_X_EDGE_ISR_COMPOSE": ""},
        {**EDGE, "HTTP_COOKIE": "sessionid=abc"},
        {**EDGE, "HTTP_COOKIE": "messages=abc"},
        {**EDGE, "HTTP_COOKIE": "csrftoken=" + "a" * 32},
    ],
)
def test_who_is_not_the_edge_gets_the_page_itself(site, more):
    response = site(page_with(FORM)).get("/page/", **more)
    assert members(response) is None and response.cookies["csrftoken"].value


@pytest.mark.parametrize("method", ["head", "post", "options"])
def test_other_methods(site, method):
    client = site(page_with(FORM))
    response = getattr(client, method)("/page/", **EDGE)
    assert members(response) is None


def test_the_secret_is_asked_for_where_it_is_set(site, edge):
    edge(ORIGIN_SECRET="s" * 20, ORIGIN_SECRET_EXEMPT=["^/page/"])
    client = site(page_with(FORM))
    assert members(ask(client)) is None
    assert members(ask(client, HTTP_X_EDGE_ISR_ORIGIN_AUTH="x" * 20)) is None
    assert members(ask(client, HTTP_X_EDGE_ISR_ORIGIN_AUTH="s" * 20)) is not None


def test_the_form_of_a_filled_page_is_taken(site):
    """What the edge mints is what Django takes."""
    client = site(page_with(FORM), client=lambda **more: Client(enforce_csrf_checks=True, **more))
    secret = "Q" * 32
    html = fill(ask(client), secret=secret)
    token = re.search('value="([^"]+)"', html)[1]
    client.cookies["csrftoken"] = secret
    assert client.post("/page/", {"csrfmiddlewaretoken": token}).status_code == 200
    client.cookies["csrftoken"] = "R" * 32
    assert client.post("/page/", {"csrfmiddlewaretoken": token}).status_code == 403


@pytest.mark.parametrize(
    "source",
    [
        FORM * 3,
        '<meta name="csrf" content="{{ csrf_token }}">',
        """<body hx-headers='{"X-CSRFToken": "{{ csrf_token }}"}'>""",
        '<script>const token = "{{ csrf_token|escapejs }}";</script>',
        "<p>x{{ csrf_token }}y7</p>",
        '{% with a=csrf_token %}{{ a }} {{ a|safe }}{% endwith %} <i data-t="{{ csrf_token }}">',
        "{% if csrf_token %}" + FORM + "{% endif %}",
        "{% filter upper %}a{% endfilter %}" + FORM,
        "é€😀" + FORM + "é€😀",
        "{% include inner %}",
    ],
)
def test_where_a_token_is_a_place(site, source):
    """And a filled shell is the page that the visitor would have got, byte for byte."""
    inner = engines["django"].from_string(FORM)
    client = site(page_with(source, inner=inner))
    response = ask(client)
    secret = "V" * 32
    assert response.wsgi_request.edge_isr.problem is None
    with mock.patch("django.middleware.csrf._get_new_csrf_string", lambda: "m" * 32):
        client.cookies["csrftoken"] = secret
        own = client.get("/page/").content.decode()
    assert token_of(secret) in own
    assert fill(response, secret=secret) == own


def test_each_printed_token_has_a_number(site):
    said = members(ask(site(page_with(FORM * 3))))
    assert said["placeholders"] == 3


def test_jinja_and_the_view_itself(site):
    @isr(compose=True)
    def view(request):
        token = json.dumps({"token": get_token(request)})
        return HttpResponse(f"<script>const x = {token}</script>")

    response = ask(site(view))
    assert members(response)["placeholders"] == 1 and "t00" in response.content.decode()


def test_template_responses_and_classes(site):
    from django.views.generic import TemplateView

    @method_decorator(isr(compose=True), name="dispatch")
    class View(TemplateView):
        def get(self, request, *args, **kwargs):
            return TemplateResponse(request, engines["django"].from_string(FORM))

    assert members(ask(site(View.as_view())))["placeholders"] == 1


def test_async(async_site):
    from conftest import aget

    @isr(compose=True)
    async def view(request):
        return HttpResponse(f"<p>{get_token(request)}</p>")

    client = async_site(view)
    response = aget(client, "/page/", headers={"X-Edge-ISR-Compose": "v=1"})
    assert members(response)["placeholders"] == 1


def in_field(request):
    token = get_token(request)
    return HttpResponse(f"<p>{token}</p>", headers={"X-Token": token})


def twice_cut(request):
    token = get_token(request)
    return HttpResponse(f"<p>{token}</p><p>{token[:20]} {token[20:]}</p>")


def twice_coded(request):
    token = get_token(request)
    coded = base64.b64encode(b"ab" + token.encode()).decode()
    return HttpResponse(f"<p>{token}</p><p>{coded}</p>")


def rotated(request):
    rotate_token(request)
    return HttpResponse(get_token(request))


def foreign(before, after=""):
    def made(request):
        return HttpResponse(before + "T0kenTokenTokenTokenTokenTokenTo" * 2 + after)

    return made


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (lambda r: HttpResponse(base64.b64encode(get_token(r).encode())), Problem.TOKEN_LOST),
        (lambda r: HttpResponse(get_token(r)[:32] + "-" + get_token(r)[32:]), Problem.TOKEN_LOST),
        (lambda r: HttpResponse(str(len(get_token(r)))), Problem.TOKEN_LOST),
        (twice_cut, Problem.TOKEN_CUT),
        (twice_coded, Problem.TOKEN_CUT),
        (lambda r: HttpResponse(get_token(r) + r.META["CSRF_COOKIE"]), Problem.TOKEN_CUT),
        (in_field, Problem.TOKEN_IN_FIELD),
        (rotated, Problem.ROTATED),
        (lambda r: HttpResponse(get_token(r), content_type="text/plain"), Problem.NOT_HTML),
        (lambda r: HttpResponse("x", content_type="text/html; charset=latin-1"), Problem.NOT_HTML),
        (lambda r: StreamingHttpResponse(["x"]), Problem.NOT_HTML),
        (lambda r: HttpResponse("x", headers={"Content-Encoding": "br"}), Problem.CODED),
        (foreign('<input name="csrfmiddlewaretoken" value="', '">'), Problem.TOKEN_OF_OTHERS),
        (foreign("<input value='", "' name=csrfmiddlewaretoken>"), Problem.TOKEN_OF_OTHERS),
        (foreign("""<p hx-headers='{"X-CSRFToken": \""""), Problem.TOKEN_OF_OTHERS),
        (lambda r: HttpResponse(f"<p>{new_marker()}p00old"), Problem.OLD_MARKER),
        (lambda r: HttpResponse(f"<p>x{new_marker()}old"), Problem.OLD_MARKER),
        (lambda r: HttpResponse("".join(get_token(r) for _ in range(101))), Problem.TOO_MANY),
    ],
)
def test_what_is_not_composed(site, made, problem):
    assert problem_of(site(wrong(made))) is problem


@pytest.mark.parametrize(
    "text",
    [
        "eIsR" + "a" * 39 + "t00",
        "csrf " + "0123456789abcdef" * 4,
        "csrf-" + "x" * 40,
        "name='csrfmiddlewaretoken' value='" + "T0kenTokenTokenTokenTokenTokenTo" * 2,
        "no word of it: " + "T0kenTokenTokenTokenTokenTokenTo" * 2,
        "<esi:include src='/x'/>",
    ],
)
def test_text_is_text(site, text):
    """What somebody types that looks like a placeholder, a token, or markup of other caches."""
    client = site(page_with(FORM + "<p>{{ text }}</p>", text=text))
    assert escape(text) in fill(ask(client))


def test_many_that_look_like_tokens_cost_one_look(site):
    """Whoever comments can't make a page slow, nor keep it from being composed."""
    text = ("csrf " + "T0kenTokenTokenTokenTokenTokenTo" + " ") * 3000
    client = site(page_with(FORM + "<p>{{ text }}</p>", text=text))
    with mock.patch("edge_isr.compose.tokens.outside_of_html", wraps=outside_of_html) as looked:
        assert members(ask(client)) is not None
    assert looked.call_count == 1


@pytest.mark.parametrize("length", [31, 33, 63, 65, 100])
def test_words_of_another_length_are_no_tokens(site, length):
    source = "<i data-csrf='" + "x" * 226 + " " + "aB3" * 40
    assert members(ask(site(page_with(source[: 241 + length] + "'>")))) is not None


def test_a_token_kept_in_a_fragment(site):
    source = "{% load cache %}{% cache 60 box %}" + FORM + "{% endcache %}"
    client = site(page_with(source))
    assert members(ask(client)) is not None
    assert problem_of(client) is Problem.TOKEN_OF_OTHERS


@pytest.mark.parametrize("print_it", ["{{ csrf_token }}", "<i data-x={{ csrf_token }}>"])
def test_a_token_of_an_earlier_shell(site, print_it):
    """It is known by its secret, whatever stands around."""
    client = site(page_with("{% load cache %}{% cache 60 box %}" + print_it + "{% endcache %}"))
    assert members(ask(client)) is not None
    assert problem_of(client) is Problem.TOKEN_OF_OTHERS


def test_a_page_with_a_token_in_djangos_page_cache(site):
    client = site(cache_page(60)(page_with(FORM)))
    # Of somebody without cookies, as Django keeps it.
    assert client.get("/page/").status_code == 200
    client.cookies.clear()
    response = ask(client)
    assert members(response) is None
    cache.clear()
    assert members(ask(client)) is not None
    # A shell is never what Django keeps.
    assert b"eIsR" not in client.get("/page/").content


def test_the_cookie_alone(site):
    client = site(isr(compose=True, csrf_cookie=True)(lambda request: HttpResponse("x")))
    said = members(ask(client))
    assert said["placeholders"] == 0 and said["csrf"][0] == "csrftoken"
    assert client.get("/page/").cookies["csrftoken"].value


def test_ensure_csrf_cookie(site):
    client = site(ensure_csrf_cookie(isr(compose=True)(lambda request: HttpResponse("x"))))
    assert members(ask(client))["csrf"][0] == "csrftoken"


def test_a_page_without_places(site):
    said = members(ask(site(page_with("<p>plain</p>"))))
    assert said["placeholders"] == 0 and said["audience"] == "all" and "csrf" not in said


def test_the_cookie_as_django_would_set_it(site, settings):
    settings.CSRF_COOKIE_NAME = "tok"
    settings.CSRF_COOKIE_SECURE = settings.CSRF_COOKIE_HTTPONLY = True
    settings.CSRF_COOKIE_DOMAIN = ".testserver"
    settings.CSRF_COOKIE_SAMESITE = "Strict"
    settings.CSRF_COOKIE_AGE = 60
    name, attributes = members(ask(site(page_with(FORM))))["csrf"]
    assert name == "tok"
    assert attributes == (
        "Domain=.testserver; HttpOnly; Max-Age=60; Path=/; SameSite=Strict; Secure"
    )


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"CSRF_USE_SESSIONS": True}, Problem.SESSION_TOKENS),
        ({"CSRF_COOKIE_PATH": "/app"}, Problem.SCOPE),
        ({"CSRF_COOKIE_PATH": "/pa"}, Problem.SCOPE),
        ({"CSRF_COOKIE_DOMAIN": "other.example"}, Problem.SCOPE),
    ],
)
@pytest.mark.django_db
def test_cookies_that_do_not_come_back(site, settings, changed, problem):
    for name, value in changed.items():
        setattr(settings, name, value)
    assert problem_of(site(page_with(FORM))) is problem


def test_without_the_middleware(site, settings):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "Csrf" not in name]
    assert problem_of(site(page_with(FORM))) is Problem.NO_COOKIE


def test_compression_is_asked_of_nobody(site, settings):
    gzip = "django.middleware.gzip.GZipMiddleware"
    settings.MIDDLEWARE = [gzip, *settings.MIDDLEWARE, gzip]
    client = site(page_with(FORM + "x" * 500))
    response = ask(client, HTTP_ACCEPT_ENCODING="gzip")
    assert not response.has_header("Content-Encoding") and members(response)["placeholders"] == 1
    assert client.get("/page/", HTTP_ACCEPT_ENCODING="gzip").has_header("Content-Encoding")


def test_conditions_are_not_heard(site, settings):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE, "django.middleware.http.ConditionalGetMiddleware",
    ]  # fmt: skip
    response = ask(site(page_with("x")), HTTP_IF_NONE_MATCH="*")
    assert response.status_code == 200 and members(response) is not None


def test_other_cookies_and_statuses_are_not_composed(site):
    def other(request):
        response = HttpResponse(get_token(request))
        response.set_cookie("seen", "1")
        return response

    response = ask(site(wrong(other)))
    assert members(response) is None and response.edge_isr_reason == "set-cookie"
    assert set(response.cookies) == {"seen", "csrftoken"}
    response = ask(site(wrong(lambda request: HttpResponse("gone", status=404))))
    assert members(response) is None


def test_tags_and_lifetimes_are_in_the_field(site):
    @isr(compose=True, tags="news", s_maxage=lambda response: 7, vary="X-Device")
    def view(request):
        return HttpResponse(get_token(request))

    response = ask(site(view))
    assert members(response)["max-age"] == 7 and tags_of(response) == {"news"}
    assert "X-Device" in response["Vary"]


def test_rules_compose_too(site, edge):
    edge(RULES=[{"path": "^/page/", "s_maxage": 60, "compose": True, "csrf_cookie": True}])
    client = site(lambda request: HttpResponse("<p>" + get_token(request)))
    assert members(ask(client))["placeholders"] == 1
    assert client.get("/page/").cookies["csrftoken"].value


@pytest.mark.parametrize("value", ["yes", 1, "all"])
def test_wrong_values(value):
    with pytest.raises(TypeError, match="compose"):
        isr(compose=value)


def test_the_reason_is_sent_with_debug(site, settings, caplog):
    client = site(wrong(in_field))
    assert "X-Edge-ISR-Reason" not in ask(client)
    assert "not-composed: token-in-field" in caplog.text
    settings.DEBUG = True
    assert ask(client)["X-Edge-ISR-Reason"] == "set-cookie; not-composed: token-in-field"
