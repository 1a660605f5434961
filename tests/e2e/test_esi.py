"""Edge Side Includes: pages that the worker puts together of fragments, each stored as a page of
its own.
"""

import threading

import pytest
from conftest import SEEN_SECONDS
from origin import Reply, page

ESI = ("Surrogate-Control", 'max-age=300, content="ESI/1.0"')
HTML = ("Content-Type", "text/html; charset=utf-8")


@pytest.fixture(scope="module")
def esi(start_worker, origin):
    """A worker that processes ESI, but for what lies below /text, and bypasses /admin."""
    routes = [
        {"path": "/text/*", "esi": False},
        {"path": "/admin/*", "action": "bypass"},
    ]
    config = {
        "new_keys_per_second": 10_000,
        "defaults": {"esi": True},
        "routes": routes,
        "compose_timeout": 2,
    }
    return start_worker(origin.url, config=config)


def composed(body, fields=()):
    """A page that asks for ESI."""
    return Reply(body.encode(), [ESI, HTML, ("ETag", '"1"'), *fields])


def test_a_changed_menu_on_many_pages_refetches_one_entry(esi, origin, path, tag):
    origin.on(f"{path}-menu", page("[menu one]", tag, fields=[HTML]))
    pages = [f"{path}-{n}" for n in range(40)]
    for one in pages:
        origin.on(one, composed(f"<h1>grüße {one}</h1><esi:include src='{path}-menu'/><p>"))
        answer = esi.get(one)
        assert answer.text == f"<h1>grüße {one}</h1>[menu one]<p>"
        assert "etag" not in answer.headers and "content-length" not in answer.headers
        assert answer.headers["cdn-cache-control"] == "no-store"
    for one in pages:
        assert esi.until_hit(one).text.endswith("</h1>[menu one]<p>")
    asked = origin.count(f"{path}-menu")
    origin.on(f"{path}-menu", page("[menu two]", tag, fields=[HTML]))
    esi.revalidate({"tags": [tag], "mode": "hard"})
    esi.until(lambda answer: "[menu two]" in answer.text, pages[0], timeout=SEEN_SECONDS + 5)
    for one in pages:
        answer = esi.get(one)
        assert answer.hit and "[menu two]" in answer.text, answer
    assert origin.count(f"{path}-menu") == asked + 1
    assert all(origin.count(one) == 1 for one in pages)


def test_esi_in_user_text_is_text(esi, origin, path):
    body = f"<p>a comment: <esi:include src='{path}-secret'/><!--esi x --></p>"
    origin.on(f"/text{path}", composed(body))
    origin.on(path, page(body, fields=[HTML]))
    for one in (f"/text{path}", path):
        assert esi.get(one).text == body
        assert esi.until_hit(one).text == body
    assert origin.count(f"{path}-secret") == 0


def test_a_fragment_is_asked_for_without_cookies(esi, origin, path):
    origin.on(f"{path}-f", page("[f]", fields=[HTML]))
    origin.on(
        f"{path}-own",
        Reply(b"[own]", [HTML, ("Set-Cookie", "a=b"), ("Cache-Control", "no-store")]),
    )
    origin.on(
        path,
        composed(f"a<esi:include src='{path}-f'/><esi:include src='{path}-own'/>b"),
    )
    answer = esi.get(
        path,
        cookie="sessionid=secret; theme=dark",
        authorization="Basic c2VjcmV0",
        x_api_key="secret",
    )
    assert answer.status == 200 and answer.text == "a[f][own]b"
    assert "set-cookie" not in answer.headers
    for one in (f"{path}-f", f"{path}-own"):
        for request in origin.requests(one):
            assert not request.names & {"cookie", "authorization", "x-api-key"}, request.head
            assert b"secret" not in request.head
    assert (
        origin.requests(path)[0].get("surrogate-capability") == 'edge-isr="Surrogate/1.0 ESI/1.0"'
    )


def test_what_stands_before_a_slow_fragment_is_sent_at_once(esi, origin, path):
    released = threading.Event()

    def slow(connection, request):
        released.wait(10)
        page("[slow]", fields=[HTML])(connection, request)

    origin.on(f"{path}-slow", slow)
    origin.on(path, composed(f"before<esi:include src='{path}-slow'/>after"))
    with esi.client.stream("GET", path, headers={"accept-encoding": "identity"}) as response:
        pieces = response.iter_raw()
        seen = next(pieces)
        while len(seen) < len(b"before"):
            seen += next(pieces)
        assert seen == b"before" and not released.is_set()
        released.set()
        assert seen + b"".join(pieces) == b"before[slow]after"


def test_a_page_goes_on_without_a_fragment_that_fails_or_never_comes(esi, origin, path):
    released, ended = threading.Event(), []

    def never(_connection, request):
        released.wait(20)
        ended.append(request)

    origin.on(f"{path}-never", never)
    origin.on(f"{path}-500", Reply(b"[bad]", [HTML], 500))
    origin.on(f"{path}-302", Reply(b"[bad]", [HTML, ("Location", "/login")], 302))
    origin.on(f"{path}-large", page("x" * (2 << 20), fields=[HTML]))
    origin.on(f"{path}-good", page("[good]", fields=[HTML]))
    wanted = [f"{path}-{name}" for name in ("500", "302", "large", "never", "good")]
    wanted += [
        "https://evil.example/x",
        "/__isr/healthz",
        f"/x/%2e%2e/admin{path}",
        path,
    ]
    origin.on(
        path,
        composed("a" + "".join(f"<esi:include src='{src}'/>" for src in wanted) + "b"),
    )
    answer = esi.get(path)
    assert answer.status == 200 and answer.text == "a[good]b"
    assert ended == [], "the one that never comes is still at it"
    released.set()


def test_head_fetches_no_fragment_and_conditions_and_ranges_are_not_heard(esi, origin, path):
    origin.on(f"{path}-f", page("[f]", fields=[HTML]))
    origin.on(path, composed(f"a<esi:include src='{path}-f'/>b"))
    assert esi.request("HEAD", path).body == b""
    assert origin.count(f"{path}-f") == 0
    esi.until_hit(path)
    for answer in (
        esi.get(path, if_none_match='"1"'),
        esi.get(path, range="bytes=0-0"),
    ):
        assert answer.status == 200 and answer.text == "a[f]b"
