"""The blog behind a worker that composes: readers who are logged in, and forms, are hits; each
visitor's own parts reach that visitor alone.
"""

import random
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import SEEN_SECONDS
from stack import BLOG_CONFIG, Blog, cache_status, free_port, wait_until
from test_blog import Browser

READERS = ("ada", "grace", "joan")
MANY = 200
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([A-Za-z0-9]{64})"')
# Readers with a session each. No log-in: a password takes half a second of processor time.
SESSIONS = """
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
for number in range({many}):
    user = User(username=f"reader{{number:03}}")
    user.set_unusable_password()
    user.save()
    store = SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.create()
    print("session", user.username, store.session_key)
"""


@pytest.fixture(scope="module")
def both(start_worker, tmp_path_factory):
    """The blog and its worker, with nothing stored by other tests."""
    port = free_port()
    site = start_worker(f"http://127.0.0.1:{port}", config=BLOG_CONFIG)
    blog = Blog(tmp_path_factory.mktemp("composed"), port, edge_url=site.url)
    blog.orm(
        "from django.contrib.auth.models import User\n"
        f"for name in {READERS!r}:\n"
        "    User.objects.create_user(name, password=name)"
    )
    yield blog, site
    blog.stop()


@pytest.fixture(scope="module")
def blog(both):
    """The blog."""
    return both[0]


@pytest.fixture(scope="module")
def site(both):
    """The worker in front of it."""
    return both[1]


@pytest.fixture(scope="module")
def pages(site):
    """The addresses that the front page shows, each in the cache."""
    front = site.get("/").text
    found = [
        "/",
        "/?page=2",
        *sorted(set(re.findall(r'href="(/(?:post|category)/[^"/]+/)"', front))),
    ]
    for path in found:
        site.get(path)
        site.until_hit(path)
    return found


@pytest.fixture(scope="module")
def a_post(pages):
    """The address of a post."""
    return next(page for page in pages if page.startswith("/post/"))


def log_in(site, name):
    """A reader's browser. Where the log-in leads to comes from the site for a moment, as after any
    form that was sent: it is none of the pages here.
    """
    browser = Browser(site)
    answer = browser.post("/login/", {"username": name, "password": name, "next": "/search/"})
    assert answer.status_code == 302 and "sessionid" in browser.client.cookies
    return browser


def without_what_is_new(text):
    """A page without its time and its tokens, which differ from answer to answer."""
    return re.sub(r'<time.*?</time>|value="[A-Za-z0-9]{64}"', "", text)


def own_answers(blog):
    """How often the edge has asked for somebody's own parts."""
    return blog.render_log.read_text().count(" GET /_edge_isr/personal?")


def test_a_crawl_of_a_reader_is_nearly_all_hits(site, blog, pages):
    reader, dice, hits = log_in(site, "ada"), random.Random(3), 0
    asked = own_answers(blog)
    for _ in range(100):
        answer = reader.get(dice.choice(pages))
        hit = "hit" in cache_status(answer.headers["cache-status"])
        hits += hit
        assert answer.status_code == 200 and "<span>ada</span>" in answer.text
        assert "eIsR" not in answer.text
        assert "x-edge-isr-compose" not in answer.headers
        assert answer.headers["cache-control"] == (
            "private, no-store" if hit else "private, no-cache"
        )
    assert hits >= 95, f"{hits} hits of 100"
    assert own_answers(blog) == asked + hits


def test_it_is_the_page_of_the_origin(site, blog, pages):
    reader = log_in(site, "ada")
    cookie = "; ".join(f"{name}={value}" for name, value in reader.client.cookies.items())
    host = {"host": site.url.removeprefix("http://")}
    for path in pages:
        inline = Browser(blog).client.get(path, headers={"cookie": cookie, **host})
        assert "<span>ada</span>" in inline.text and inline.headers["cache-control"].startswith(
            "private"
        )
        composed = reader.get(path)
        assert "hit" in cache_status(composed.headers["cache-status"])
        assert without_what_is_new(composed.text) == without_what_is_new(inline.text)
        # Nobody in particular, by both ways.
        inline = Browser(blog).client.get(path, headers=host)
        assert without_what_is_new(site.get(path).text) == without_what_is_new(inline.text)


def test_who_asks_the_origin_gets_the_page_whole(blog):
    visitor = Browser(blog)
    for path in ("/", "/post/debugging-cold-starts/comment/"):
        answer = visitor.get(path)
        assert answer.status_code == 200 and "Log in</button>" in answer.text
        assert "eIsR" not in answer.text and "x-edge-isr-compose" not in answer.headers
    assert TOKEN.search(answer.text) and "csrftoken" in visitor.client.cookies
    sent = visitor.post(path, {"name": "Ann", "text": "Straight to the site."})
    assert sent.status_code == 302
    shown = visitor.get(sent.headers["location"])
    assert "your comment is online" in shown.text and "Straight to the site." in shown.text
    assert visitor.log_in().get("/").text.count("Log out") == 1


def test_readers_see_themselves_alone(site, pages):
    readers = {name: log_in(site, name) for name in READERS}
    dice = random.Random(5)
    for _ in range(60):
        path, name = dice.choice(pages), dice.choice([*READERS, None])
        text = readers[name].get(path).text if name else site.get(path).text
        assert {one for one in READERS if f"<span>{one}</span>" in text} == (
            {name} if name else set()
        )


def test_two_hundred_at_once_see_themselves_alone(site, blog, pages, a_post):
    said = blog.orm(SESSIONS.format(many=MANY))
    sessions = re.findall(r"^session (\S+) (\S+)$", said, re.MULTILINE)
    assert len(sessions) == MANY
    form = a_post + "comment/"
    site.get(form)
    site.until_hit(form)

    def visit(number):
        name, key = sessions[number]
        dice, seen = random.Random(number), []
        with site.visitor() as client:
            for path in (dice.choice(pages), form):
                seen.append(
                    site.request("GET", path, {"cookie": f"sessionid={key}"}, client=client)
                )
        return name, seen

    with ThreadPoolExecutor(8) as pool:
        visits = list(pool.map(visit, range(MANY)))
    hits, secrets, tokens = 0, [], []
    for name, seen in visits:
        for answer in seen:
            # A token of 64 letters may have these four by chance, in its midst.
            assert answer.status == 200 and not re.search(r"\beIsR", answer.text), answer
            assert re.findall(r"<span>(reader\d+)</span>", answer.text) == [name]
            secrets += re.findall(r"csrftoken=([^;]+)", answer.headers["set-cookie"])
            tokens += TOKEN.findall(answer.text)
            hits += answer.hit
    assert hits >= 0.95 * 2 * MANY, f"{hits} hits of {2 * MANY}"
    # One secret for each answer to somebody who came without; a token in each form to log out, in
    # the newsletter's on each page, and in the comment's.
    assert len(secrets) == len(set(secrets)) == 2 * MANY
    assert len(tokens) == len(set(tokens)) == 5 * MANY


def test_the_form_to_log_out_is_taken(site, pages):
    reader = log_in(site, "grace")
    page = reader.get(pages[2])
    assert "hit" in cache_status(page.headers["cache-status"])
    headers = {"referer": site.url + pages[2], "origin": site.url}
    fields = {"csrfmiddlewaretoken": TOKEN.search(page.text)[1]}
    answer = reader.client.post("/logout/", data=fields, headers=headers)
    assert answer.status_code == 302
    gone = reader.get(pages[2]).text
    assert "<span>grace</span>" not in gone and "Log in</button>" in gone


def test_a_page_with_a_form_is_a_hit_and_its_tokens_cost_no_request(site, blog, a_post):
    form = a_post + "comment/"
    site.get(form)
    site.until_hit(form)
    rendered, asked = blog.renders(form), own_answers(blog)
    visitors = [Browser(site) for _ in range(25)]
    answers = [visitor.get(form) for visitor in visitors for _ in range(4)]
    assert all("hit" in cache_status(answer.headers["cache-status"]) for answer in answers)
    tokens = [TOKEN.search(answer.text)[1] for answer in answers]
    assert len(set(tokens)) == 100
    assert len({visitor.client.cookies["csrftoken"] for visitor in visitors}) == 25
    assert (blog.renders(form), own_answers(blog)) == (rendered, asked)
    # What the edge made is what Django takes: of somebody new, and again with the cookie that they
    # have by then.
    for text in ("Put simply.", "Put twice."):
        sent = visitors[0].post(form, {"name": "Grace", "text": text})
        assert sent.status_code == 302 and sent.headers["location"] == a_post
    # One visitor's token with another's cookie is refused.
    cookies = {"cookie": f"csrftoken={visitors[1].client.cookies['csrftoken']}"}
    headers = {"referer": site.url + form, "origin": site.url, **cookies}
    fields = {"name": "Mallory", "text": "Forged.", "csrfmiddlewaretoken": tokens[-1]}
    assert site.request("POST", form, headers, data=fields).status == 403
    assert "Forged." not in site.get(a_post).text


def test_a_tab_of_before_a_log_in_is_refused(site, a_post):
    """A log-in makes a new secret: what the edge made of the one before is none any more."""
    form = a_post + "comment/"
    reader = Browser(site)
    old = TOKEN.search(reader.get(form).text)[1]
    fields = {"username": "ada", "password": "ada", "next": "/search/"}
    assert reader.post("/login/", fields).status_code == 302
    assert "sessionid" in reader.client.cookies
    headers = {"referer": site.url + form, "origin": site.url}
    fields = {"name": "Ada", "text": "Of an old tab.", "csrfmiddlewaretoken": old}
    assert reader.client.post(form, data=fields, headers=headers).status_code == 403
    new = TOKEN.search(reader.get(form).text)[1]
    fields = {**fields, "text": "Of a new tab.", "csrfmiddlewaretoken": new}
    assert reader.client.post(form, data=fields, headers=headers).status_code == 302
    assert "Of an old tab." not in reader.get(a_post).text


def test_a_message_is_shown_once(site, pages, a_post):
    reader = Browser(site)
    sent = reader.post(a_post + "comment/", {"name": "Grace", "text": "Nicely put."})
    assert sent.status_code == 302 and "messages" in reader.client.cookies
    # Elsewhere than at the page that they have just changed, which the origin answers.
    assert pages[1] != a_post
    shown = reader.get(pages[1])
    assert "hit" in cache_status(shown.headers["cache-status"])
    assert shown.text.count("your comment is online") == 1
    assert "messages" not in reader.client.cookies
    for path in (pages[1], a_post, "/"):
        assert "your comment is online" not in reader.get(path).text
        assert "your comment is online" not in site.get(path).text


def test_a_message_of_a_reader_is_shown_once(site, pages, a_post):
    reader = log_in(site, "joan")
    reader.post(a_post + "comment/", {"name": "Joan", "text": "Well said."})
    assert "your comment is online" in reader.get(a_post).text
    for path in (a_post, pages[1]):
        again = reader.get(path).text
        assert "your comment is online" not in again and "<span>joan</span>" in again


def test_staff_have_a_link_to_edit_what_others_read(site, a_post):
    staff = Browser(site).log_in()

    def a_hit():
        """Their page, once nothing that was posted before is under way."""
        answer = staff.get(a_post)
        return answer if "hit" in cache_status(answer.headers["cache-status"]) else None

    answer = wait_until(a_hit, 10, "a hit for staff")
    assert re.search(r'<a href="/admin/posts/post/\d+/change/">Edit</a>', answer.text)
    assert "Edit</a>" not in site.get(a_post).text
    assert "Edit</a>" not in log_in(site, "ada").get(a_post).text


def test_a_draft_stays_one_of_staff(site, blog):
    slug = (
        blog.orm("print(Post.objects.filter(status='draft').last().slug)").strip().splitlines()[-1]
    )
    staff = Browser(site).log_in()
    for path in (f"/post/{slug}/", f"/post/{slug}/comment/"):
        for _ in range(2):
            assert staff.get(path).status_code == 200
            assert site.get(path).status == 404
            assert log_in(site, "joan").get(path).status_code == 404


def test_a_changed_navigation_is_one_refetch(site, blog, pages):
    """The pages stay as they are, and have the new one."""
    part = re.compile(r"GET /_edge_isr/f/categories/\S+$", re.MULTILINE)
    log = blog.render_log
    before = len(part.findall(log.read_text()))
    named = [page for page in pages if page.startswith("/post/")]
    rendered = [blog.renders(page) for page in named]
    blog.orm("Category.objects.create(name='Zebras', slug='zebras')")
    link = '<a href="/category/zebras/">Zebras</a>'
    site.until(lambda answer: link in answer.text, named[0], SEEN_SECONDS + 5)
    for page in named:
        for cookie in ("", "_ga=1"):
            answer = site.request("GET", page, {"cookie": cookie} if cookie else {})
            assert answer.hit and link in answer.text, answer
    assert [blog.renders(page) for page in named] == rendered
    # Once, and once more where a refresh and a visitor came at the same time.
    assert before + 1 <= len(part.findall(log.read_text())) <= before + 2


def test_forms_in_the_head_and_in_the_foot(site, blog, a_post):
    """A log-in and the newsletter, on a page that the edge keeps."""
    visitor = Browser(site)
    page = visitor.get(a_post)
    assert "hit" in cache_status(page.headers["cache-status"])
    token = TOKEN.search(page.text)[1]
    headers = {"referer": site.url + a_post, "origin": site.url}
    fields = {"email": "ann@example.net", "csrfmiddlewaretoken": token}
    sent = visitor.client.post("/subscribe/", data=fields, headers=headers)
    assert sent.status_code == 302
    assert visitor.get("/search/").text.count("the next letter is yours") == 1
    assert "the next letter is yours" not in visitor.get("/search/").text
    outcome = blog.orm("from posts.models import Subscriber\nprint(Subscriber.objects.get().email)")
    assert "ann@example.net" in outcome
    fields = {
        "username": "ada",
        "password": "ada",
        "next": a_post,
        "csrfmiddlewaretoken": TOKEN.search(visitor.get(a_post).text)[1],
    }
    sent = visitor.client.post("/login/", data=fields, headers=headers)
    assert sent.status_code == 302 and sent.headers["location"] == a_post
    assert "<span>ada</span>" in visitor.get(a_post).text
