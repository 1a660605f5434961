"""Packages that set cookies and fields, or answer each visitor differently: the edge says what the
origin would."""

import re

import httpx
import pytest

CONFIG = {
    "new_keys_per_second": 10_000,
    # What `manage.py edge_isr_routes` prints for this site.
    "routes": [{"path": "/django-htmx/", "forward_headers": ["hx-request"]}],
}


@pytest.fixture(scope="module")
def site(start_site):
    """The site of all these packages."""
    site = start_site("answers", config=CONFIG)
    yield site
    site.stop()


def write(package, title):
    """Gives a package's page another title."""
    return f"Note.objects.create(of={package!r}, title={title!r})"


def cookies_of(answer):
    """The cookies that an answer sets, as a request carries them."""
    return "; ".join(one.split(";")[0] for one in answer.headers.get_list("set-cookie"))


def log_in(site, name, password):
    """Through allauth's form, as a browser does; the answer, and the cookies from then on."""
    form = site.edge.get("/accounts/login/")
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)[1]
    fields = {"login": name, "password": password, "csrfmiddlewaretoken": token}
    headers = {"cookie": cookies_of(form)}
    answer = site.edge.request("POST", "/accounts/login/", headers=headers, data=fields)
    return answer, cookies_of(answer)


def test_allauth(site):
    site.run("User.objects.create_user('ada', password='a long secret')")
    path = "/django-allauth/"
    assert site.stored(path).text == "nobody"
    tokens = set()
    for _ in range(3):
        form = site.edge.get("/accounts/login/")
        assert form.status == 200 and not form.hit and "csrftoken" in cookies_of(form)
        tokens.add(cookies_of(form))
    assert len(tokens) == 3
    answer, _ = log_in(site, "ada", "wrong")
    assert answer.status == 200 and site.edge.get(path).text == "nobody"
    answer, session = log_in(site, "ada", "a long secret")
    assert answer.status == 302 and "sessionid" in session, answer
    for _ in range(2):
        mine = site.edge.get(path, cookie=session)
        assert mine.text == "ada" and not mine.hit
        assert site.edge.get(path).text == "nobody"


def test_axes(site):
    site.run("User.objects.create_user('eve', password='a long secret')")
    beside = site.stored("/beside/")
    statuses = []
    for password in ("a", "b", "a long secret"):
        fields = {"username": "eve", "password": password}
        answer = site.edge.request("POST", "/django-axes/", data=fields)
        assert not answer.hit
        statuses.append(answer.status)
    assert statuses == [200, 429, 429]
    assert site.edge.get("/django-axes/").status == 200
    assert site.edge.get("/beside/").text == beside.text


@pytest.mark.parametrize(
    "origin", [None, "https://a.example", "https://b.example", "https://evil.example"]
)
def test_cors_headers(site, origin):
    path = "/django-cors-headers/"
    headers = {"origin": origin} if origin else {}
    allowed = origin if origin and "evil" not in origin else None
    for title in ("first", "second"):
        site.run(write("django-cors-headers", title + str(origin)))
        wanted = title + str(origin)
        site.edge.until(lambda answer, wanted=wanted: answer.text == wanted, path, **headers)
        for _ in range(2):
            answer = site.edge.get(path, **headers)
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert "origin" in answer.headers["vary"].lower()


def test_a_preflight(site):
    fields = {"origin": "https://a.example", "access-control-request-method": "GET"}
    for _ in range(2):
        answer = site.edge.request("OPTIONS", "/django-cors-headers/", headers=fields)
        direct = httpx.options(site.url + "/django-cors-headers/", headers=fields)
        assert answer.status == direct.status_code == 200 and not answer.hit
        for name in ("access-control-allow-origin", "access-control-allow-methods", "vary"):
            assert answer.headers[name] == direct.headers[name]


def test_csp(site):
    """A page with a nonce is one visitor's, in its field and its text; without one it is kept."""
    nonces = set()
    for _ in range(3):
        answer = site.edge.get("/django-csp/nonce/")
        nonce = re.search(r'nonce="(.+?)"', answer.text)[1]
        assert f"'nonce-{nonce}'" in answer.headers["content-security-policy"] and not answer.hit
        nonces.add(nonce)
    assert len(nonces) == 3
    policy = site.stored("/django-csp/").headers["content-security-policy"]
    assert policy == httpx.get(site.url + "/django-csp/").headers["content-security-policy"]


def test_debug_toolbar(site):
    for title in ("a", "b"):
        site.run(write("toolbar", title))
        site.edge.until(
            lambda answer, title=title: f">{title}" in re.sub(r"\s", "", answer.text),
            "/django-debug-toolbar/",
        )
        assert "djDebug" in site.stored("/django-debug-toolbar/").text
    assert "djDebug" not in site.edge.get("/django-csp/").text


def test_compressor(site):
    """Another style is another file, and both pages and files are kept."""
    path = "/django-compressor/"
    before = site.stored(path).text
    for color in ("red", "blue"):
        site.run(write("compressor", color))
        page = site.edge.until(lambda answer, before=before: answer.text != before, path)
        style = site.stored(re.search(r'href="(.+?)"', page.text)[1])
        assert style.status == 200 and f"color:{color}" in style.text
        before = page.text


def test_whitenoise(site):
    kept = site.stored("/static/plain.css")
    assert kept.text == "body { margin: 0 }\n"
    assert kept.headers["cache-control"] == "max-age=600, public"
    direct = httpx.get(site.url + "/static/plain.css")
    for name in ("etag", "last-modified", "content-type"):
        assert kept.headers.get(name) == direct.headers.get(name)
    validators = {"if_modified_since": kept.headers["last-modified"]}
    assert site.edge.get("/static/plain.css", **validators).status == 304


def test_htmx(site):
    path = "/django-htmx/"
    for title in ("a", "b"):
        site.run(write("htmx", title))
        site.edge.until(lambda answer, title=title: answer.text == f"<html>{title}</html>", path)
        site.edge.until(lambda answer, title=title: answer.text == title, path, hx_request="true")
        assert site.stored(path).text == f"<html>{title}</html>"
        assert site.stored(path, hx_request="true").text == title
