"""A real Django site: its pages are cached, what is one visitor's own never, its edits arrive.

How pages are composed for visitors who are logged in has a file of its own: test_composed_blog.py.
"""

import gzip
import random
import re
from http.cookies import SimpleCookie

import httpx
import pytest
from conftest import SEEN_SECONDS
from stack import KEEPALIVE_SECONDS, cache_status, wait_until

ANALYTICS = "_ga=GA1.1.{0}; _gid=GA1.2.{0}; cookieconsent=yes; csrftoken=tok{0}; theme=dark"


class Browser:
    """A visitor with a cookie jar, who fills in forms."""

    def __init__(self, site):
        self.client = httpx.Client(
            base_url=site.url, timeout=30, limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS)
        )

    def get(self, path):
        """A page."""
        return self.client.get(path)

    def post(self, path, fields):
        """Sends the form of a page with its CSRF token."""
        form = self.client.get(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form.text)
        assert token, form.text[:500]
        headers = {
            "referer": str(self.client.base_url) + path,
            "origin": str(self.client.base_url).rstrip("/"),
        }
        fields = {**fields, "csrfmiddlewaretoken": token.group(1)}
        return self.client.post(path, data=fields, headers=headers)

    def log_in(self):
        """As the administrator."""
        answer = self.post("/login/", {"username": "admin", "password": "admin", "next": "/"})
        assert answer.status_code == 302 and "sessionid" in self.client.cookies
        return self


def test_the_front_page_is_cached(site, blog):
    site.get("/")
    hit = site.until_hit("/")
    assert "Latest posts" in hit.text
    assert "x-edge-isr-tags" not in hit.headers
    # It is composed: for this visitor without any part of their own, but with tokens that are.
    assert hit.headers["set-cookie"].startswith("csrftoken=")
    assert hit.headers["cache-control"] == "private, no-cache"
    assert blog.renders("/") == 1


@pytest.mark.parametrize(
    "path",
    [
        "/post/debugging-slow-queries/",
        "/category/caching/",
        "/?page=2",
        "/search/?q=packets",
        "/feed.xml",
        "/feed.json",
    ],
)
def test_public_pages_are_rendered_once(site, blog, path):
    assert site.get(path).status == 200
    site.until_hit(path)
    for number in range(5):
        assert site.get(path, cookie=ANALYTICS.format(number)).hit
    assert blog.renders(path) == 1


def test_an_edit_arrives_and_nothing_else_is_rendered(site, blog):
    mine, other = "/post/how-we-measured-cold-starts/", "/post/debugging-cold-starts/"
    for path in (mine, other):
        site.get(path)
        site.until_hit(path)
    before = blog.renders(other)
    said = blog.orm(
        "p = Post.objects.get(slug='how-we-measured-cold-starts'); p.title = 'Edited title'; "
        "p.save()"
    )
    assert "at epoch" in said
    fresh = site.until(lambda answer: "Edited title" in answer.text, mine, SEEN_SECONDS + 5)
    assert fresh.status == 200
    assert site.until_hit(mine).text.count("Edited title") == 2
    assert site.get(other).hit and blog.renders(other) == before
    assert blog.renders(mine) == 2


def test_a_move_refreshes_both_categories(site, blog):
    old, new = "/category/caching/", "/category/networks/"
    for path in (old, new):
        site.get(path)
        site.until_hit(path)
    blog.orm(
        "p = Post.objects.filter(category__slug='caching', status='published').first()\n"
        "p.title = 'The moved one'\np.category = Category.objects.get(slug='networks')\np.save()"
    )
    site.until(lambda answer: "The moved one" in answer.text, new, SEEN_SECONDS + 5)
    site.until(
        lambda answer: "The moved one" not in answer.text and answer.hit, old, SEEN_SECONDS + 5
    )


def test_a_rollback_invalidates_nothing(site, blog):
    said = blog.orm(
        "from django.db import transaction\n"
        "try:\n"
        "    with transaction.atomic():\n"
        "        p = Post.objects.first(); p.title = 'Never'; p.save()\n"
        "        raise RuntimeError\n"
        "except RuntimeError:\n"
        "    pass"
    )
    assert "epoch" not in said


def test_publishing_ends_a_cached_404(site, blog):
    slug = (
        blog.orm("print(Post.objects.filter(status='draft').first().slug)").strip().splitlines()[-1]
    )
    path = f"/post/{slug}/"
    assert site.get(path).status == 404
    site.until_hit(path)
    blog.orm(f"p = Post.objects.get(slug='{slug}'); p.status = 'published'; p.save()")
    site.until(lambda answer: answer.status == 200, path, SEEN_SECONDS + 5)


def test_pages_of_someone_logged_in_are_never_stored(site, blog):
    browser = Browser(site).log_in()
    for path in ("/drafts/", "/login/", "/feed.json", "/admin/", "/admin/posts/post/"):
        for _ in range(2):
            answer = browser.get(path)
            assert answer.status_code == 200
            seen = cache_status(answer.headers["cache-status"])
            assert seen["fwd"] and "hit" not in seen and "stored" not in seen
            assert "admin" in answer.text or path == "/feed.json"
        assert "Log out" not in site.get(path).text
    assert site.get("/drafts/").status == 302


def test_a_draft_is_for_staff_only(site, blog):
    slug = (
        blog.orm("print(Post.objects.filter(status='draft').last().slug)").strip().splitlines()[-1]
    )
    browser = Browser(site).log_in()
    assert browser.get(f"/post/{slug}/").status_code == 200
    assert site.get(f"/post/{slug}/").status == 404
    assert browser.get(f"/post/{slug}/").status_code == 200


def test_the_admin_edits_through_the_edge(site, blog):
    pk = (
        blog.orm("print(Post.objects.get(slug='six-rules-for-lost-packets').pk)")
        .strip()
        .splitlines()[-1]
    )
    path = "/post/six-rules-for-lost-packets/"
    site.get(path)
    site.until_hit(path)
    browser = Browser(site).log_in()
    form = browser.get(f"/admin/posts/post/{pk}/change/").text
    category = re.search(r'<option value="(\d+)" selected', form).group(1)
    fields = {
        "title": "Edited in the admin",
        "slug": "six-rules-for-lost-packets",
        "category": category,
        "body": "New words.",
        "status": "published",
        "published_at_0": "2026-01-01",
        "published_at_1": "12:00:00",
    }
    saved = browser.post(f"/admin/posts/post/{pk}/change/", fields)
    assert saved.status_code == 302, saved.text[:2000]
    site.until(lambda answer: "Edited in the admin" in answer.text, path, SEEN_SECONDS + 5)


def test_a_comment_appears_and_its_message_is_for_one(site, blog):
    path = "/post/a-short-history-of-slow-queries/"
    site.get(path)
    site.until_hit(path)
    browser = Browser(site)
    sent = browser.post(path + "comment/", {"name": "Grace", "text": "Nicely put."})
    assert sent.status_code == 302 and sent.headers["location"] == path
    thanks = browser.get(path)
    assert "your comment is online" in thanks.text and "Nicely put." in thanks.text
    shown = site.until(lambda answer: "Nicely put." in answer.text, path, SEEN_SECONDS + 5)
    assert "your comment is online" not in shown.text


def test_forms_are_never_stored(site, blog):
    tokens = set()
    for _ in range(3):
        answer = site.get("/login/")
        assert not answer.hit and "stored" not in answer.cache
        tokens.add(SimpleCookie(answer.headers["set-cookie"])["csrftoken"].value)
    assert len(tokens) == 3


def test_a_permalink_redirects(site, blog):
    site.get("/p/3/")
    hit = site.until_hit("/p/3/")
    assert hit.status == 301 and hit.headers["location"].startswith("/post/")


def test_a_missing_page_is_cached_for_a_moment(site, blog):
    assert site.get("/no/such/page/").status == 404
    hit = site.until_hit("/no/such/page/")
    assert hit.status == 404 and int(hit.cache["ttl"]) <= 30


def test_compressed_pages_are_stored_compressed(site, blog):
    path = "/feed.json"
    plain = site.get(path)
    site.until_hit(path)
    site.get(path, accept_encoding="gzip")
    coded = site.until_hit(path, accept_encoding="gzip")
    assert coded.headers["content-encoding"] == "gzip"
    assert gzip.decompress(coded.body).decode() == plain.text
    assert "content-encoding" not in site.get(path).headers


def test_a_large_download_is_whole(site, blog):
    for count in (1, 2):
        answer = site.get("/download/12/")
        assert len(answer.body) == 12 << 20 and not answer.hit
        assert blog.renders("/download/12/") == count
    assert len(site.get("/download/2/").body) == len(site.until_hit("/download/2/").body)


def test_a_crawl_with_cookies_is_nearly_all_hits(site, blog):
    """What visitors really send: analytics, consent and CSRF cookies, and tracking parameters."""
    front = site.get("/").text
    pages = ["/", "/?page=2", "/?page=3", "/feed.xml", "/static/posts/blog.css"]
    pages += sorted(set(re.findall(r'href="(/(?:post|category)/[^"/]+/)"', front)))
    dice = random.Random(7)
    for path in pages:
        site.get(path)
        site.until_hit(path)
    hits = 0
    for number in range(300):
        path = dice.choice(pages)
        if dice.random() < 0.3:
            path += ("&" if "?" in path else "?") + f"utm_source=news&fbclid={number}"
        headers = {
            "cookie": ANALYTICS.format(dice.randrange(10**9)),
            "accept-language": dice.choice(["en", "de-DE,de;q=0.9", "fr"]),
            "referer": "https://search.example/",
            "cache-control": dice.choice(["max-age=0", "no-cache", ""]) or "max-age=0",
        }
        answer = site.request("GET", path, headers)
        assert answer.status == 200
        hits += answer.hit
    assert hits >= 285, f"{hits} hits of 300"


def test_the_feed_names_the_public_host(site, blog):
    answer = site.get("/feed.json", host="news.example")
    assert "http://news.example/post/" in answer.text
    wait_until(lambda: site.get("/feed.json", host="news.example").hit, 10)
    assert "http://other.example/post/" in site.get("/feed.json", host="other.example").text
