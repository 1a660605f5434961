"""Requests byte by byte, on connections of their own: what no HTTP client would send."""

import re
import socket
import urllib.parse

from origin import Reply

FRESH = [("Cache-Control", "max-age=300")]


def is_whole(answer):
    """Whether an answer has come to its end."""
    head, found, body = answer.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: *(\d+)", head.lower())
    if not found:
        return False
    if length:
        return len(body) >= int(length[1])
    return body.endswith(b"0\r\n\r\n")


def raw(edge, data, timeout=3):
    """Sends bytes on a connection of their own; what comes back until the answer's end, or until
    the edge falls silent.
    """
    url = urllib.parse.urlsplit(edge.url)
    received = b""
    with socket.create_connection((url.hostname, url.port), timeout=timeout) as sock:
        sock.sendall(data)
        try:
            while not is_whole(received) and (piece := sock.recv(1 << 16)):
                received += piece
        except (TimeoutError, ConnectionResetError):
            pass
    return received


def status_of(answer):
    """The status of the first answer; 0 if there is none."""
    found = re.match(rb"HTTP/1\.1 (\d{3})", answer)
    return int(found[1]) if found else 0


def request_bytes(target, fields=(), method="GET", host="example.com", body=b""):
    """A request, byte by byte."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def mirror(connection, request):
    """The worst origin: reflects all that it is sent, and says that all may keep it."""
    Reply(request.head + request.body, FRESH)(connection, request)
