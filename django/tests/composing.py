"""The edge of the tests: asks for shells, and fills their placeholders as the worker does."""

import json
import re
from unittest import mock

from conftest import is_public
from django.http import HttpResponse
from django.middleware import csrf
from django.template import engines
from django.test import Client

import edge_isr
from edge_isr import isr
from edge_isr.compose import field

EDGE = {"HTTP_X_EDGE_ISR_COMPOSE": "v=1"}
MASK = "m" * 32
ID = "0123456789abcdef0123456789abcdef"
_MEMBER = re.compile(
    r"([a-z-]+)(?:=(\((?:\"(?:[^\"\\]|\\.)*\" ?)*\)|\"(?:[^\"\\]|\\.)*\"|\?[01]|[a-z]+|\d+))?"
)


def members(response):
    """What the compose field of an answer says; None if it has none."""
    text = response.get(field.ASKS)
    if text is None:
        return None
    found = {}
    for part in re.split(r", (?=[a-z])", text):
        key, value = _MEMBER.fullmatch(part).groups()
        assert key not in found
        found[key] = _value(value)
    return found


def _value(text):
    if text is None:
        return True
    if text[0] == "(":
        return [one[1:-1].replace('\\"', '"') for one in re.findall(r'"(?:[^"\\]|\\.)*"', text)]
    if text[0] == '"':
        return text[1:-1]
    if text[0] == "?":
        return text == "?1"
    return int(text) if text.isdigit() else text


def token_of(secret, mask=MASK):
    """A token of a secret, by a mask."""
    with mock.patch.object(csrf, "_get_new_csrf_string", lambda: mask):
        return csrf._mask_cipher_secret(secret)


def fill(response, secret="s" * 32, nonce="N" * 32, parts=None, shared=None):
    """The page that the edge makes of a shell: placeholders filled, or left to their fallback.
    Shared parts are what a function says of their addresses."""
    said = members(response)
    marker, body = said["marker"], response.content.decode()
    assert response["Cache-Control"] == "private, no-store"
    assert len(response.content) == said["length"] == int(response["Content-Length"])
    assert body.count(marker) == said["placeholders"]
    assert not response.cookies
    whole = re.compile(re.escape(marker) + r"([ps])(\d\d)(.*?)" + re.escape(marker) + r"e\2", re.S)

    def part(found):
        if found[1] == "s":
            made = shared(said["shared"][int(found[2])]) if shared else None
        else:
            made = (parts or {}).get(said["personal"][int(found[2])])
        return _minted(found[3], marker, secret, nonce) if made is None else made

    # Parts are leaves: they are put in when everything else has been looked through.
    pieces, at = [], 0
    for found in whole.finditer(body):
        pieces += [_minted(body[at : found.start()], marker, secret, nonce)]
        pieces.append(part(found))
        at = found.end()
    return "".join([*pieces, _minted(body[at:], marker, secret, nonce)])


def _minted(text, marker, secret, nonce):
    text = re.sub(re.escape(marker) + r"t\d\d", token_of(secret), text)
    text = text.replace(f"{marker}n00", nonce)
    assert marker not in text
    return text


def ask_parts(client, names, page="/page/", **more):
    """The edge's request for personal parts."""
    said = {"id": ID, "page": page, **more}
    query = "&".join(f"n={name}" for name in names)
    return client.get(
        f"/_edge_isr/personal?{query}", HTTP_X_EDGE_ISR_PERSONAL=field.dictionary(said)
    )


def ask_shared(address):
    """What the edge gets of a shared part, and that everyone may have it; None if it failed."""
    answer = Client(raise_request_exception=False).get(address, **EDGE)
    if answer.status_code != 200:
        assert not is_public(answer)
        return None
    assert is_public(answer) and not answer.cookies and field.ASKS not in answer
    assert "Cookie" not in answer.get("Vary", "")
    return answer.content.decode()


FORM = '<form method="post">{% csrf_token %}<button>Go</button></form>'


def page_with(source, **context):
    """A view that renders a template."""

    @isr(compose=True, s_maxage=300, swr=60)
    def view(request):
        return HttpResponse(rendered(request, source, **context))

    return view


def rendered(request, source, **context):
    return engines["django"].from_string(source).render(context, request)


def ask(client, path="/page/", **more):
    client.cookies.clear()
    return client.get(path, **EDGE, **more)


def problem_of(client):
    """Why a page was not composed; its answer is one of its own, for a visitor without cookies."""
    response = ask(client)
    assert response.get("X-Edge-ISR-Compose") is None
    assert response.streaming or b"eIsR" not in response.content
    return response.wsgi_request.edge_isr.problem


def wrong(made):
    @isr(compose=True)
    def view(request):
        return made(request)

    return view


MENU = (
    '{% load edge_isr %}<nav>{% personal "menu" %}<a href="/in/">Log in</a>{% endpersonal %}</nav>'
)


def part(function):
    """A part `part`."""
    edge_isr.personal("part")(function)
    return '{% load edge_isr %}[{% personal "part" %}none{% endpersonal %}]'


def page_of(source, **policy):
    @isr(**{"compose": True, **policy})
    def view(request):
        return HttpResponse(engines["django"].from_string(source).render({}, request))

    return view


def shell(client):
    """What the edge asks, of a client without cookies."""
    return Client(raise_request_exception=False).get("/page/", **EDGE)


def parts_of(answer):
    assert answer.status_code == 200, answer.content
    assert answer["Content-Type"] == "application/json"
    assert answer["Cache-Control"] == "private, no-store"
    assert not is_public(answer)
    said = json.loads(answer.content)
    assert set(said) == {"id", "parts"} and said["id"] == ID
    return said["parts"]
