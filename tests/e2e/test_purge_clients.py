"""Purge clients as their users have them, unmodified, each in a process of its own: by
configuration alone, each purges pages that the worker serves, and no other page.
"""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import SEEN_SECONDS
from origin import page
from stack import ROOT, TOKENS

CLIENTS = ROOT / ".clients"
SCRIPTS = Path(__file__).parent / "clients"
# What some clients have instead of a setting.
HARD_CODED = ["api.cloudflare.com", "api.fastly.com"]
AWS = {
    "AWS_ACCESS_KEY_ID": "operator",
    "AWS_SECRET_ACCESS_KEY": TOKENS["operator"][1],
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
WAGTAILS = ["wagtail", "older-wagtail"]


class Proxy:
    """What an operator may put before a client that knows one address alone: it takes what is meant
    for the hosts of a certificate to the worker.
    """

    def __init__(self, directory, port):
        command = [
            sys.executable,
            "-m",
            "trustme",
            "--quiet",
            "-d",
            str(directory),
            "-i",
            *HARD_CODED,
        ]
        subprocess.run(command, env=environment(), check=True, timeout=60)
        self.authority = directory / "client.pem"
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(directory / "server.pem", directory / "server.key")
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        """Ends it."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._take, args=(sock,), daemon=True).start()

    def _take(self, sock):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        client = self._tls.wrap_socket(sock, server_side=True)
        worker = socket.create_connection(("127.0.0.1", self._port))
        threading.Thread(target=self._pipe, args=(worker, client), daemon=True).start()
        self._pipe(client, worker)

    @staticmethod
    def _pipe(source, sink):
        try:
            while piece := source.recv(1 << 16):
                sink.sendall(piece)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def environment(older_wagtail=False, **more):
    """This process's, with the clients before its packages."""
    path = [CLIENTS / "older-wagtail"] if older_wagtail else []
    path.append(CLIENTS / "all")
    # Not the settings of whoever runs this.
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HTTP"))
    }
    return {**plain, "PYTHONPATH": os.pathsep.join(map(str, path)), "NO_PROXY": "127.0.0.1", **more}


@pytest.fixture(scope="module")
def edge(start_worker, origin):
    """A worker that answers other caches' calls, also under their own hosts."""
    config = {
        "trusted_ips": ["127.0.0.1"],
        "control_hosts": HARD_CODED,
        "new_keys_per_second": 10_000,
    }
    return start_worker(origin.url, config=config)


@pytest.fixture(scope="module")
def proxy(edge, tmp_path_factory):
    """A proxy before the hosts that clients have hard-coded."""
    proxy = Proxy(tmp_path_factory.mktemp("proxy"), int(edge.url.rpartition(":")[2]))
    yield {"HTTPS_PROXY": proxy.url, "REQUESTS_CA_BUNDLE": str(proxy.authority)}
    proxy.close()


def purges(edge, origin, path, script, *names, before=(), env):
    """Has a client purge a page for each name: all of them become fresh, and a page beside them
    stays cached.
    """
    pages = {name: f"{path}/{name}/page" for name in names}
    beside = f"{path}/beside"
    for name, at in [*pages.items(), ("beside", beside)]:
        origin.on(at, page("old", tags=f"tag-of-{name}"))
        edge.get(at)
    for at in [*pages.values(), beside]:
        edge.until_hit(at)
        origin.on(at, page("new"))
    urls = json.dumps({name: edge.url + at for name, at in pages.items()})
    command = [sys.executable, str(SCRIPTS / script), *before, edge.url, urls]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, cwd=SCRIPTS)
    assert done.returncode == 0, done.stdout + done.stderr
    for at in pages.values():
        edge.until(lambda answer: answer.text == "new" and answer.hit, at, SEEN_SECONDS + 5)
    answer = edge.get(beside)
    assert answer.hit and answer.text == "old"
    assert origin.count(beside) == 1


@pytest.mark.parametrize("version", WAGTAILS)
class TestWagtail:
    """Its frontend cache module, before and after Wagtail 7.4."""

    def test_http(self, edge, origin, path, version):
        env = environment(version == "older-wagtail")
        purges(edge, origin, path, "with_wagtail.py", "a", "b", before=["HTTPBackend"], env=env)

    def test_cloudfront(self, edge, origin, path, version):
        address = {"AWS_ENDPOINT_URL_CLOUDFRONT": f"{edge.url}/__isr/cloudfront"}
        env = environment(version == "older-wagtail", **AWS, **address)
        purges(
            edge, origin, path, "with_wagtail.py", "a", "b", before=["CloudfrontBackend"], env=env
        )

    def test_cloudflare_by_a_proxy(self, edge, origin, path, version, proxy):
        env = environment(version == "older-wagtail", **proxy)
        purges(
            edge, origin, path, "with_wagtail.py", "a", "b", before=["CloudflareBackend"], env=env
        )


def test_cloudflares_sdk(edge, origin, path):
    names = ["file", "file-of-a-device", "tag", "prefix"]
    purges(edge, origin, path, "with_cloudflare.py", *names, env=environment())


def test_fastlys_sdk(edge, origin, path):
    purges(edge, origin, path, "with_fastly.py", "key", "keys", "soft", "url", env=environment())


def test_boto3(edge, origin, path):
    purges(edge, origin, path, "with_boto3.py", "path", "wildcard", env=environment(**AWS))


def test_django_ultracache(edge, origin, path):
    purges(edge, origin, path, "with_ultracache.py", "varnish", "nginx", env=environment())


@pytest.mark.parametrize("provider", ["none", "cloudfront", "cloudflare"])
def test_django_edge_isr(edge, origin, path, provider, request):
    more = {}
    if provider == "cloudfront":
        more = {**AWS, "AWS_ENDPOINT_URL_CLOUDFRONT": f"{edge.url}/__isr/cloudfront"}
    elif provider == "cloudflare":
        more = request.getfixturevalue("proxy")
    env = environment(**more)
    purges(edge, origin, path, "with_django_edge_isr.py", "a", "b", before=[provider], env=env)


def test_the_backends_of_django_custom_cache_pages_readme(edge, origin, path, proxy):
    names = ["fastly", "cloudflare"]
    purges(edge, origin, path, "with_custom_cache_page.py", *names, env=environment(**proxy))


KEY = {"authorization": f"Bearer {TOKENS['operator'][1]}"}
# What is wrong of each call, and what its API says to it: status, content type, and a text of the
# body.
BAD = {
    "cloudflare": (
        ("POST", "/__isr/cloudflare/client/v4/zones/z/purge_cache", KEY, b'{"files": 7}'),
        (400, "application/json", '"errors":[{"code":1014'),
    ),
    "fastly": (
        ("POST", "/__isr/fastly/service/s/purge", KEY, b""),
        (400, "application/json", '"msg":"Bad request"'),
    ),
    "cloudfront": (
        ("POST", "/__isr/cloudfront/2020-05-31/distribution/D/invalidation", {}, b"<a/>"),
        (403, "text/xml", "<Code>MissingAuthenticationToken</Code>"),
    ),
    "keycdn": (
        ("DELETE", "/__isr/keycdn/zones/purgetag/1.json", KEY, b'{"tags": "a"}'),
        (400, "application/json", '"status":"error"'),
    ),
    "purge": (
        ("POST", "/__isr/purge/www.example.com/", {**KEY, "xkey": "a\u00e9"}, b""),
        (422, "application/problem+json", '"type":'),
    ),
    "ban": (
        ("POST", "/__isr/ban/www.example.com/", {**KEY, "x-cache-tags": "(.*)"}, b""),
        (422, "application/problem+json", '"type":'),
    ),
}


@pytest.mark.parametrize("api", BAD)
def test_bad_input_is_refused_in_the_apis_own_words(edge, api):
    (method, target, headers, body), (status, content_type, text) = BAD[api]
    headers = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = edge.request(method, target, headers, content=body)
    assert (answer.status, answer.headers["content-type"]) == (status, content_type)
    assert text in answer.text
