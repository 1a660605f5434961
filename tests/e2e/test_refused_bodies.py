"""Who is refused before their body was read gets the whole answer, and can ask on by the same
connection.
"""

import json
import socket
import urllib.parse

import pytest
from stack import TOKENS
from wire import is_whole, status_of

TIMES = 50
# A megabyte is sent less often.
FEW_TIMES = 10
REVALIDATE = "/__isr/v1/revalidate"
PURGE_CACHE = "/__isr/cloudflare/client/v4/zones/z/purge_cache"
READER = ("Authorization", f"Bearer {TOKENS['reader'][1]}")
JSON = ("Content-Type", "application/json")
BODY = json.dumps({"tags": ["a"] * 100}).encode()
REFUSED = {
    "no credentials": (401, "POST", REVALIDATE, [JSON]),
    "an unknown token": (401, "POST", REVALIDATE, [JSON, ("Authorization", "Bearer nobody")]),
    "a token of another scope": (403, "POST", REVALIDATE, [JSON, READER]),
    "another method": (405, "PUT", REVALIDATE, [JSON]),
    "no such call": (404, "POST", "/__isr/v1/nothing", [JSON]),
    "a warm-up without permission": (401, "POST", "/__isr/v1/warm", [JSON]),
    "Cloudflare's purge API without permission": (400, "POST", PURGE_CACHE, [JSON]),
    "Fastly's purge API without permission": (401, "POST", "/__isr/fastly/service/s/purge", [JSON]),
    "PURGE without permission": (403, "PURGE", "/refused", []),
    "BAN without permission": (403, "BAN", "/refused", []),
    "a request that looped": (508, "POST", "/refused", [("CDN-Loop", "edge-isr")]),
}


def head_of(method, target, fields):
    lines = [f"{method} {target} HTTP/1.1", "Host: example.com", f"Content-Length: {len(BODY)}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def received(sock):
    """One answer."""
    answer = b""
    while not is_whole(answer):
        piece = sock.recv(1 << 16)
        assert piece, f"broken off after {answer!r}"
        answer += piece
    return answer


# How much of the body is sent with the head; the rest follows the answer.
SENT_FIRST = {"all": len(BODY), "half": len(BODY) // 2, "none": 0}


@pytest.mark.parametrize("first", SENT_FIRST)
@pytest.mark.parametrize("what", REFUSED)
def test_each_gets_its_whole_answer(edge, what, first):
    status, method, target, fields = REFUSED[what]
    url = urllib.parse.urlsplit(edge.url)
    request, at = head_of(method, target, fields) + BODY, SENT_FIRST[first] - len(BODY)
    with socket.create_connection((url.hostname, url.port), timeout=10) as sock:
        # The rest of a body is not held back until what came before it is acknowledged.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(TIMES):
            sock.sendall(request[: at or None])
            answer = received(sock)
            assert status_of(answer) == status, answer
            if at:
                sock.sendall(request[at:])


def test_who_sends_no_body_is_answered_at_once(edge):
    url = urllib.parse.urlsplit(edge.url)
    status, method, target, fields = REFUSED["no credentials"]
    for _ in range(TIMES):
        with socket.create_connection((url.hostname, url.port), timeout=10) as sock:
            sock.sendall(head_of(method, target, fields))
            assert status_of(received(sock)) == status


@pytest.mark.parametrize("what", [*REFUSED, "more than a call may have"])
def test_a_megabyte_is_refused_like_a_little(edge, what):
    """By one client, which keeps its connections."""
    operator = ("Authorization", f"Bearer {TOKENS['operator'][1]}")
    too_large = (413, "POST", REVALIDATE, [JSON, operator])
    status, method, target, fields = {**REFUSED, "more than a call may have": too_large}[what]
    with edge.visitor() as client:
        for _ in range(FEW_TIMES):
            body = b"x" * ((1 << 20) + 1)
            answer = edge.request(method, target, dict(fields), client=client, content=body)
            assert answer.status == status
