"""Other caches beside the worker: what each is sent; and that none holds up another."""

from datetime import datetime, timezone

import pytest
from conftest import FakeWorker
from django.http import HttpResponse

import edge_isr
from edge_isr import isr
from edge_isr.conf import get_settings
from edge_isr.delivery.outbox import Deliverer
from edge_isr.models import OutboxMessage
from edge_isr.retry import Failed
from edge_isr.targets import make_target
from edge_isr.targets.cloudfront import CloudFrontTarget

# Of botocore, for the request in the test.
SIGNATURE = "0579511df37dfd007a365ded500d8e246d8635b712e044c411abf73deb89cbd8"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other():
    """Another cache's API."""
    fake = FakeWorker()
    fake.answer = (200, {"success": True})
    yield fake
    fake.stop()


@pytest.fixture
def only(edge, other):
    """One target, and no worker."""

    def configure(**options):
        edge(TARGETS=[options], WORKER_URL="", SITE_URLS=["https://a.example"])

    return configure


def deliver():
    return Deliverer().round("default", get_settings())


def new_tags(other):
    return [(call.method, call.path) for call in other.calls]


class TestCloudflare:
    @pytest.fixture(autouse=True)
    def _only(self, only, other):
        only(provider="cloudflare", zone_id="Z", api_token="secret", api=other.url)

    def test_by_tags(self, other):
        edge_isr.revalidate_by_tags(["post:1", "posts"])
        deliver()
        (call,) = other.calls
        assert (call.method, call.path) == ("POST", "/client/v4/zones/Z/purge_cache")
        assert call.headers["authorization"] == "Bearer secret"
        assert call.json == {"tags": ["post:*", "post:1", "posts"]}

    def test_names_go_thirty_at_a_time(self, other):
        edge_isr.revalidate_by_urls(f"https://a.example/{n}/" for n in range(70))
        deliver()
        assert [len(call.json["files"]) for call in other.calls] == [30, 30, 10]

    def test_paths_prefixes_everything(self, other):
        edge_isr.revalidate_by_paths("/x/")
        edge_isr.revalidate_by_prefixes("/blog/")
        deliver()
        assert [call.json for call in other.calls] == [
            {"files": ["https://a.example/x/"]}, {"prefixes": ["a.example/blog/"]},
        ]  # fmt: skip
        edge_isr.revalidate_all()
        deliver()
        assert other.calls[-1].json == {"purge_everything": True}

    def test_an_error_in_a_good_answer(self, other):
        other.answer = (200, {"success": False, "errors": [{"message": "rate"}]})
        edge_isr.revalidate_by_tags("x")
        assert deliver().failed == 1
        assert "rate" in OutboxMessage.objects.get().last_error

    def test_pages_carry_its_field(self, site):
        response = site(isr(tags=["a", "b"])(lambda r: HttpResponse("x"))).get("/page/")
        assert response["Cache-Tag"] == "a,b,path:/page/"
        assert response["X-Edge-ISR-Tags"] == "a b path:/page/"


class TestFastly:
    @pytest.fixture(autouse=True)
    def _only(self, only, other):
        only(provider="fastly", service_id="S", api_token="secret", api=other.url)

    def test_by_keys_softly(self, other):
        edge_isr.revalidate_by_tags(["post:1", "posts"])
        deliver()
        (call,) = other.calls
        assert (call.method, call.path) == ("POST", "/service/S/purge")
        assert call.headers["surrogate-key"] == "post:* post:1 posts"
        assert call.headers["fastly-soft-purge"] == "1" and call.headers["fastly-key"] == "secret"

    def test_hard_urls_and_all(self, other):
        edge_isr.revalidate_by_urls("https://a.example/x/?q=1", hard=True)
        deliver()
        assert new_tags(other) == [("POST", "/purge/a.example/x/?q=1")]
        assert "fastly-soft-purge" not in other.calls[0].headers
        edge_isr.revalidate_by_prefixes("/blog/")
        deliver()
        assert new_tags(other)[-1] == ("POST", "/service/S/purge_all")

    def test_256_keys_at_a_time(self, other):
        edge_isr.revalidate_by_tags(f"t{n}" for n in range(600))
        deliver()
        keys = [call.headers["surrogate-key"].split() for call in other.calls]
        assert [len(k) for k in keys] == [256, 256, 88]
        assert len({key for some in keys for key in some}) == 600

    def test_pages_carry_its_field(self, site):
        response = site(isr(tags=["a", "b"])(lambda r: HttpResponse("x"))).get("/page/")
        assert response["Surrogate-Key"] == "a b path:/page/"


class TestCloudFront:
    @pytest.fixture
    def front(self, only, other):
        def configure(**more):
            only(provider="cloudfront", distribution_id="D", access_key="AKID",
                 secret_key="SECRET", api=other.url, **more)  # fmt: skip

        return configure

    def test_paths(self, front, other):
        front()
        edge_isr.revalidate_by_urls("https://a.example/x/?a=1&b=2")
        edge_isr.revalidate_by_prefixes("/blog/")
        deliver()
        (call,) = other.calls
        assert call.path == "/2020-05-31/distribution/D/invalidation"
        assert b"<Path>/blog/*</Path><Path>/x/?a=1&amp;b=2</Path>" in call.body
        assert b"<Quantity>2</Quantity>" in call.body
        assert call.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")

    def test_a_signature_as_amazon_makes_it(self):
        """The values were made by botocore's SigV4Auth for the same request."""
        target = CloudFrontTarget(
            get_settings(), "D", "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
        )
        fields = target.signed(b"<x/>", datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc))
        assert fields["authorization"].endswith(f"Signature={SIGNATURE}")

    def test_tags_that_nobody_can_resolve_invalidate_all(self, front, other):
        front()
        edge_isr.revalidate_by_tags("posts")
        deliver()
        assert b"<Path>/*</Path>" in other.calls[0].body

    def test_unless_sent_to_ignore_them(self, front, other):
        front(unknown_tags="ignore")
        edge_isr.revalidate_by_tags("posts")
        assert deliver().delivered == 1
        assert other.calls == []

    def test_tags_become_urls_by_the_workers_index(self, edge, worker, other):
        edge(TARGETS=[{"provider": "cloudfront", "distribution_id": "D", "access_key": "A",
                       "secret_key": "S", "api": other.url}])  # fmt: skip
        pages = {"pages": [{"url": "https://a.example/1/"}], "next": "more"}
        rest = {"pages": [{"url": "https://a.example/2/"}], "next": None}
        worker.answers = [(202, {"epoch": 1}), (200, pages), (200, rest)]
        edge_isr.revalidate_by_tags("posts")
        deliver()
        assert b"<Path>/1/</Path><Path>/2/</Path>" in other.calls[0].body
        assert worker.calls[1].path == "/__isr/v1/tags/posts/pages?limit=1000"
        assert worker.calls[1].headers["authorization"] == "Bearer read-token"


class TestPurge:
    def test_urls_with_their_host(self, only, other):
        only(provider="purge", urls=other.url)
        edge_isr.revalidate_by_urls(["https://a.example/x/?q=1", "https://b.example/"])
        deliver()
        assert [(c.method, c.path, c.headers["host"]) for c in other.calls] == [
            ("PURGE", "/x/?q=1", "a.example"), ("PURGE", "/", "b.example"),
        ]  # fmt: skip

    def test_tags_by_header_at_every_cache(self, only, other):
        only(provider="purge", urls=[other.url, other.url + "/"], tag_header="xkey")
        edge_isr.revalidate_by_tags(["b", "a"])
        deliver()
        assert [c.headers["xkey"] for c in other.calls] == ["a b", "a b"]

    def test_everything(self, only, other):
        only(provider="purge", urls=other.url, purge_all="/.*")
        edge_isr.revalidate_by_tags("unknown")
        deliver()
        assert new_tags(other) == [("PURGE", "/.*")]

    def test_not_found_is_done_and_a_failure_is_not(self, only, other):
        only(provider="purge", urls=other.url)
        other.answers = [(404, b""), (500, b"")]
        edge_isr.revalidate_by_urls("https://a.example/x/")
        assert deliver().delivered == 1
        edge_isr.revalidate_by_urls("https://a.example/y/")
        assert deliver().failed == 1


class Recording:
    """A target of one's own."""

    seen = []

    def __init__(self, settings, colour):
        self.colour = colour

    def send(self, invalidation, message_id):
        from edge_isr.targets import Receipt

        self.seen.append((self.colour, sorted(invalidation.tags)))
        return Receipt()


class Broken:
    """A target that is always down."""

    def __init__(self, settings):
        pass

    def send(self, invalidation, message_id):
        raise Failed("down")


class TestSeveral:
    def test_each_has_its_own_rows_and_retries(self, edge, worker):
        Recording.seen.clear()
        edge(TARGETS=[
            {"provider": "test_targets.Broken", "name": "down"},
            {"provider": "test_targets.Recording", "colour": "red"},
        ])  # fmt: skip
        edge_isr.revalidate_by_tags("x")
        outcome = deliver()
        assert (outcome.delivered, outcome.failed) == (2, 1)
        assert worker.tags == {"x"} and Recording.seen == [("red", ["x"])]
        (row,) = OutboxMessage.objects.filter(status="pending")
        assert (row.target, row.last_error) == ("down", "down")

    def test_the_setting_of_django_edge_isr(self, edge, other):
        edge(WORKER_URL="", CDN={"provider": "cloudflare", "zone_id": "Z", "api_token": "t"})
        assert make_target("cloudflare", get_settings())

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"provider": "akamai"}, "expected one of cloudflare, fastly"),
            ({"provider": "no.such.Thing"}, "No module named"),
            ({"provider": "cloudflare"}, "zone_id"),
            ({"provider": "cloudflare", "zone_id": "Z", "api_token": "t", "by": "x"}, "by: "),
            ({"provider": "cloudfront", "distribution_id": "D"}, "neither in the options nor"),
            ({"provider": "purge", "urls": "127.0.0.1"}, "the caches' addresses"),
            ({"provider": "purge", "urls": "http://h", "unknown_tags": "x"}, "unknown_tags"),
            ({"provider": "fastly", "service_id": "S", "api_token": "t", "zone": 1}, "zone"),
        ],
    )
    def test_wrong_options_are_named(self, edge, options, message, monkeypatch):
        monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
        from edge_isr.checks import check_settings

        edge(TARGETS=[options])
        (error,) = [e for e in check_settings() if e.id == "edge_isr.E005"]
        assert message in error.msg
