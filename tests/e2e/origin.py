"""A scriptable origin: what it answers per path is the test's choice, what reached it is on record.

It works on raw sockets, because half of what it has to do no HTTP server would: cut bodies, lie
about lengths, send bytes that are not UTF-8, hang. A behaviour is a function of a connection and a
request.
"""

import base64
import hashlib
import socket
import threading
from dataclasses import dataclass, field

KEEP = 1 << 20


@dataclass
class Request:
    """What reached the origin, byte by byte."""

    method: str
    target: str
    head: bytes
    fields: list
    body: bytes = b""
    body_length: int = 0
    body_sha256: str = ""

    def get(self, name):
        """The values of a field, joined as HTTP joins them; none if it is not there."""
        values = [
            value.decode("latin-1") for key, value in self.fields if key.lower() == name.lower()
        ]
        return ", ".join(values) if values else None

    @property
    def names(self):
        """The names of all fields, in lower case."""
        return {key.lower() for key, _ in self.fields}


class Connection:
    """One exchange; the connection is closed after it."""

    def __init__(self, sock):
        self.sock = sock
        self.input = sock.makefile("rb")

    def head(self, status=200, fields=(), reason="OK"):
        """Sends a status line and fields; names and values may be bytes."""
        lines = [f"HTTP/1.1 {status} {reason}".encode()]
        for name, value in [*fields, ("Connection", "close")]:
            name = name if isinstance(name, bytes) else name.encode()
            value = value if isinstance(value, bytes) else str(value).encode("latin-1")
            lines.append(name + b": " + value)
        self.send(b"\r\n".join(lines) + b"\r\n\r\n")

    def send(self, data):
        """Sends bytes as they are."""
        self.sock.sendall(data)

    def chunk(self, data):
        """Sends one chunk of a chunked body; an empty one ends it."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def receive(self):
        """Reads one request, its body included."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self.input.readline(1 << 20)
            if not line:
                return None
            head += line
        first, *rest = head[:-4].split(b"\r\n")
        method, target, _ = first.decode("latin-1").split(" ", 2)
        pairs = [line.partition(b":") for line in rest]
        fields = [(name.decode("latin-1"), value.strip()) for name, _, value in pairs]
        request = Request(method, target, head, fields)
        self._receive_body(request)
        return request

    def _receive_body(self, request):
        digest, kept = hashlib.sha256(), b""
        for piece in self._pieces(request):
            digest.update(piece)
            request.body_length += len(piece)
            kept += piece[: KEEP - len(kept)]
        request.body, request.body_sha256 = kept, digest.hexdigest()

    def _pieces(self, request):
        if (request.get("transfer-encoding") or "").lower() == "chunked":
            while size := int(self.input.readline().split(b";")[0] or b"0", 16):
                yield self.input.read(size)
                self.input.readline()
            self.input.readline()
            return
        left = int(request.get("content-length") or 0)
        while left > 0:
            piece = self.input.read(min(left, 1 << 16))
            if not piece:
                return
            left -= len(piece)
            yield piece


@dataclass
class Reply:
    """A plain behaviour: an answer with a body of honest length."""

    body: bytes = b"hello"
    fields: list = field(default_factory=list)
    status: int = 200

    def __call__(self, connection, request):
        """Answers."""
        fields = list(self.fields)
        if not any(name.lower() == "content-type" for name, _ in fields if isinstance(name, str)):
            fields.append(("Content-Type", "text/plain"))
        if self.status != 304:
            fields.append(("Content-Length", len(self.body)))
        connection.head(self.status, fields)
        if request.method != "HEAD" and self.status not in (204, 304):
            connection.send(self.body)


def page(
    body="hello", tags="", control="max-age=300, stale-while-revalidate=3600", fields=(), status=200
):
    """A page that the edge may store."""
    head = [("CDN-Cache-Control", control), *fields]
    if tags:
        head.append(("X-Edge-ISR-Tags", tags))
    return Reply(body.encode() if isinstance(body, str) else body, head, status)


class Origin:
    """The server. Paths without a behaviour are a plain 404, unless a test asks otherwise."""

    def __init__(self, otherwise=Reply(b"no such page", status=404)):
        self._otherwise = otherwise
        self.port = None
        self._behaviours = {}
        self._requests = []
        self._lock = threading.Lock()
        self._listener = None
        self.accept()

    @property
    def url(self):
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def on(self, path, behaviour):
        """What a path (without its query) answers from now on."""
        with self._lock:
            self._behaviours[path] = behaviour

    def requests(self, path):
        """What asked for a path (without its query) so far."""
        with self._lock:
            return [r for r in self._requests if r.target.split("?")[0] == path]

    def everything(self):
        """What came so far, in order."""
        with self._lock:
            return list(self._requests)

    def count(self, path):
        """How often a path was asked for."""
        return len(self.requests(path))

    def accept(self):
        """Listens, on the port of before."""
        listener = socket.create_server(("127.0.0.1", self.port or 0), backlog=256)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()

    def refuse(self):
        """Stops listening: connections are refused."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # Wakes the accepting thread; closing alone would leave it, and the port, until the next
            # visitor.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _serve(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._exchange, args=(sock,), daemon=True).start()

    def _exchange(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(sock)
        try:
            request = connection.receive()
            if request is None:
                return
            path = request.target.split("?")[0]
            with self._lock:
                self._requests.append(request)
                behaviour = self._behaviours.get(path, self._otherwise)
            behaviour(connection, request)
        except OSError:
            pass
        finally:
            # Closing with unread input would reset the connection and lose what was sent.
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            connection.input.close()
            sock.close()


def echo_websocket(connection, request):
    """Accepts an upgrade and sends the first text frame back."""
    guid = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    key = hashlib.sha1(request.get("sec-websocket-key").encode() + guid).digest()
    accept = base64.b64encode(key).decode()
    lines = (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    connection.send(lines.encode())
    _, second = connection.input.read(2)
    mask = connection.input.read(4)
    masked = connection.input.read(second & 0x7F)
    text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
    connection.send(bytes([0x81, len(text)]) + text)
    connection.input.read(2)


def hang(seconds_event):
    """Says nothing until the event is set."""

    def behaviour(connection, request):
        seconds_event.wait(60)

    return behaviour
