"""A shell, its placeholders filled, is the page that the visitor would have got, byte for byte."""

import json
import random
import re
from unittest import mock

import pytest
from composing import EDGE, ask_parts, ask_shared, fill, members
from django import VERSION
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.template import engines
from django.test import Client

import edge_isr
from edge_isr import isr
from edge_isr.compose.problems import Problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("menu_part")]
SECRET, NONCE = "V" * 32, "N" * 32
PAGES = 250

TEXTS = [
    "words", "é€😀", "<p>", "</p>", "\n", "a < b", "&amp;", "<br/>", "{{ text }}", "<!-- x -->",
    "<svg><path/></svg>", "<table><tr><td>", "</table>", "<b class=x>", "</b>",
    "<i title='x'>y</i>",
    "{{ request.path }}", "{{ request.GET.urlencode }}",
]  # fmt: skip
TOKENS = [
    "{% csrf_token %}", "<meta name=csrf content={{ csrf_token }}>", "x{{ csrf_token }}7",
    "<script>t = '{{ csrf_token|escapejs }}'</script>",
    """<a hx-headers='{"X": "{{ csrf_token }}"}'>z</a>""",
]  # fmt: skip
NONCES = ['<script nonce="{{ csp_nonce }}">1</script>', "<style nonce={{ csp_nonce }}></style>"]
AROUND = [
    "{% if 1 %}[]{% endif %}", "{% for n in 'ab' %}[]{% endfor %}", "{% with a=1 %}[]{% endwith %}",
    "<div>[]</div>", "{% autoescape off %}[]{% endautoescape %}",
]  # fmt: skip
TYPED = [
    "<script>",
    "eIsR" + "x" * 39 + "p00",
    "csrfmiddlewaretoken",
    "<esi:include src='/'/>",
    "😀",
]


def generated(dice, depth=0, within=False):
    """A template; no part within a part."""
    pieces = []
    for _ in range(dice.randrange(1, 7)):
        kind = dice.random()
        if kind < 0.2:
            pieces.append(dice.choice(TOKENS))
        elif kind < 0.3 and VERSION >= (6, 0):
            pieces.append(dice.choice(NONCES))
        elif kind < 0.5 and depth < 3:
            inner = generated(dice, depth + 1, within)
            pieces.append(dice.choice(AROUND).replace("[]", inner))
        elif kind < 0.56 and not within:
            name = dice.choice(["footer", "listed", "broken"])
            more = {"footer": "", "listed": dice.choice([" 1", " text", " 'é<' True"])}.get(
                name, ""
            )
            inner = generated(dice, depth + 1, True) if dice.random() < 0.5 else ""
            pieces.append(f"{{% shared '{name}'{more} %}}{inner}{{% endshared %}}")
        elif kind < 0.65 and not within:
            name = dice.choice(["menu", "form", "failing", "odd"])
            inner = generated(dice, depth + 1, True) if dice.random() < 0.7 else ""
            pieces.append(f"{{% personal '{name}' %}}{inner}{{% endpersonal %}}")
        else:
            pieces.append(dice.choice(TEXTS))
    return "".join(pieces)


@pytest.fixture
def client(site, settings, ada):
    if VERSION >= (6, 0):
        csp = "django.middleware.csp.ContentSecurityPolicyMiddleware"
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, csp]
        [templates] = settings.TEMPLATES
        processors = templates["OPTIONS"]["context_processors"]
        processors = [*processors, "django.template.context_processors.csp"]
        settings.TEMPLATES = [{**templates, "OPTIONS": {"context_processors": processors}}]

    @edge_isr.personal("form")
    def form(request):
        return engines["django"].from_string("<form>{% csrf_token %}</form>").render({}, request)

    @edge_isr.personal("odd")
    def odd(request):
        return f"<{request.user}> é😀 {request.get_full_path()}"

    @edge_isr.personal("failing")
    def failing(request):
        raise RuntimeError

    @edge_isr.shared("footer", tags="footer")
    def footer():
        return engines["django"].from_string("<p>é {{ user }}{% now 'Y' %}</p>").render({})

    @edge_isr.shared("listed")
    def listed(first, second=None):
        return f"<{first!r} é😀 {second!r} {User.objects.count()}>"

    @edge_isr.shared("broken")
    def broken():
        raise RuntimeError

    @isr(compose=True)
    def view(request, pk):
        page = engines["django"].from_string("{% load edge_isr %}" + view.source)
        return HttpResponse(page.render({"text": view.text}, request))

    client = site(view)
    client.view = view
    return client


def without_tokens(response):
    """A page without the tokens and the nonces that are made anew for each."""
    assert b"eIsR" + b"x" * 3 not in response.content.replace(b"eIsR" + b"x" * 39, b"")
    return re.sub(rb"[A-Za-z0-9]{64,}|nonce=\"?[A-Za-z0-9_+/=-]+", b"", response.content)


@pytest.mark.parametrize("seed", range(5))
def test_every_page(client, ada, seed, caplog):
    caplog.set_level("CRITICAL")
    dice = random.Random(seed)
    address = "/page/7/?x=1&y=%C3%A9"
    reader = Client(raise_request_exception=False)
    reader.force_login(ada)
    composed = 0
    for _ in range(PAGES // 5):
        client.view.source, client.view.text = generated(dice), dice.choice(TYPED)
        shell = Client().get(address, **EDGE)
        said = members(shell)
        if said is None:
            assert shell.wsgi_request.edge_isr.problem is Problem.NOT_IN_HTML
            # What is not composed is the page of nobody in particular.
            assert without_tokens(shell) == without_tokens(Client().get(address))
            continue
        composed += 1
        names = said.get("personal", [])
        reader.cookies["csrftoken"] = SECRET
        with (
            mock.patch("django.middleware.csrf._get_new_csrf_string", lambda: "m" * 32),
            mock.patch("django.utils.csp.generate_nonce", lambda: NONCE)
            if VERSION >= (6, 0)
            else mock.patch("random.random"),
        ):
            own = reader.get(address).content.decode()
            cookie = f"csrftoken={SECRET}"
            nobody = Client().get(address, HTTP_COOKIE=cookie).content.decode()
            answer = ask_parts(reader, names, page=address, nonce=NONCE)
        parts = json.loads(answer.content)["parts"]
        assert fill(shell, SECRET, NONCE, parts, ask_shared) == own, client.view.source
        assert fill(shell, SECRET, NONCE, {}, ask_shared) == nobody, client.view.source
        assert "ada.lovelace" not in shell.content.decode()
    assert composed > PAGES / 5 * 0.8
