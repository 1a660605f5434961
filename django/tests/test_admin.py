"""The status page: for staff; what it shows, and what it does."""

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse

import edge_isr
from edge_isr.conf import get_settings
from edge_isr.delivery.outbox import Deliverer
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)

PAGE = {
    "url": "https://a.example/1/", "tags": ["post:1", "posts"], "variants": [{"status": 200}],
    "last_warm": None,
}  # fmt: skip
READY = (200, {"ready": True, "reasons": []})


@pytest.fixture
def url():
    return reverse("admin:edge_isr_status")


@pytest.fixture
def staff(django_user_model, client):
    user = django_user_model.objects.create_user("ada", is_staff=True)
    client.force_login(user)
    OutboxMessage.objects.all().delete()
    return user


@pytest.fixture
def may_revalidate(staff):
    staff.user_permissions.add(Permission.objects.get(codename="revalidate"))
    OutboxMessage.objects.all().delete()


def test_for_staff_only(client, url, django_user_model):
    for address in (url, reverse("edge_isr_status")):
        assert client.get(address).status_code == 302
        client.force_login(django_user_model.objects.create_user(f"bob{len(address)}"))
        assert client.get(address).status_code == 302
        client.logout()


def test_the_worker_and_the_outbox(client, url, staff, worker):
    worker.answers = [READY]
    edge_isr.revalidate_by_tags("waiting-tag", reason="a reason")
    OutboxMessage.objects.update(last_error="503 not recorded", attempts=3)
    text = client.get(url).content.decode()
    assert "Ready" in text and worker.url in text
    assert f'href="{worker.url}/__isr/"' in text
    assert "pending: 1" in text and "503 not recorded" in text
    assert "Revalidate</button>" not in text


def test_a_urls_tags_and_a_tags_pages(client, url, staff, worker):
    worker.answers = [(200, {"pages": [PAGE]}), READY]
    text = client.get(url, {"url": "https://a.example/1/"}).content.decode()
    assert "post:1" in text and "?tag=posts" in text
    worker.answers = [(200, {"pages": [PAGE], "next": "c"}), READY]
    text = client.get(url, {"tag": "b\u00fc x"}).content.decode()
    assert "https://a.example/1/" in text and "There are more" in text
    assert worker.calls[-3].path == "/__isr/v1/tags/b%25C3%25BC%2520x/pages?limit=100"


def test_as_json(client, staff, worker):
    worker.answer = (200, {"pages": [PAGE], "next": None})
    address = reverse("edge_isr_status")
    answer = client.get(address, {"tag": "posts", "format": "json"}).json()
    assert answer["urls"] == ["https://a.example/1/"]
    answer = client.get(
        address, {"url": PAGE["url"]}, headers={"accept": "application/json"}
    ).json()
    assert answer["tags"] == ["post:1", "posts"]
    assert client.get(address, {"format": "json"}).json() == {"ok": True}


def test_jobs(client, url, staff, worker):
    edge_isr.revalidate_by_tags("posts", reason="post 1 edited")
    worker.answers = [(202, {"id": "msg_1", "epoch": 41})]
    Deliverer().round("default", get_settings())
    worker.answer = READY
    text = client.get(url).content.decode()
    assert "?job=msg_1" in text and "post 1 edited" in text and "41" in text
    worker.answers = [(200, {"id": "msg_1", "state": "running", "done": 2}), READY]
    assert "msg_1: running" in client.get(url, {"job": "msg_1"}).content.decode()


def test_refetches_that_brought_nothing_new(client, url, staff, worker):
    job = {"id": "msg_1", "state": "done", "done": 3, "changed": 1, "unchanged": 2}
    worker.answers = [(200, job), READY]
    text = client.get(url, {"job": "msg_1"}).content.decode()
    assert "Of 3 refetches 2 brought what was stored already." in text
    variants = [{"changed": 1, "unchanged": 4}, {"changed": 0, "unchanged": 0}]
    worker.answers = [(200, {"pages": [{**PAGE, "variants": variants}], "next": None}), READY]
    text = client.get(url, {"tag": "posts"}).content.decode()
    assert "Of 5 refetches 4 brought what was stored already." in text
    # A worker of before does not count, and what was never refetched has nothing to show.
    for answer in ({"id": "msg_1", "state": "done"}, {**job, "changed": 0, "unchanged": 0}):
        worker.answers = [(200, answer), READY]
        assert "refetches" not in client.get(url, {"job": "msg_1"}).content.decode()


class TestFigures:
    HEALTH = (200, {"ready": True, "reasons": [], "view_age_ms": 1234})
    STATS = {
        "totals": {"hit": {"requests": 900}, "stale": {"requests": 50}, "miss": {"requests": 50}},
        "origin": {"/*": {"requests": 60, "millis": 6600}, "/x/*": {"requests": 40, "millis": 0}},
        "isolates": 3,
    }

    @staticmethod
    def shown(client, url):
        text = client.get(url).content.decode()
        return " ".join(text.split("The last hour")[1].split("Look up")[0].split())

    def test_are_those_of_the_dashboard(self, client, url, staff, worker):
        worker.answers = [self.HEALTH, (200, self.STATS)]
        text = self.shown(client, url)
        for row in (
            "Requests: 1000<", "Hit ratio: 95.0%<", "Stale share: 5.0%<",
            "Origin requests: 100, 66 ms each<", "in the last two minutes: 3<",
            "Journal heard: 1.2 s ago",
        ):  # fmt: skip
            assert row in text, text
        assert worker.calls[-1].path == "/__isr/v1/stats?by=result"
        assert f'href="{worker.url}/__isr/"' in client.get(url).content.decode()

    def test_of_nothing_there_is_no_share(self, client, url, staff, worker):
        worker.answers = [READY, (200, {"totals": {}, "origin": {}, "isolates": 0})]
        text = self.shown(client, url)
        assert "Requests: 0<" in text and "Hit ratio: none yet<" in text
        assert "Origin requests: 0<" in text and "Journal heard: not known" in text

    def test_of_a_version_before(self, client, url, staff, worker):
        worker.answers = [READY, (200, {"totals": {"hit": {"requests": 1}}})]
        assert "Origin requests: not known<" in self.shown(client, url)

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            ((503, {"title": "Not recorded", "detail": "journal away"}), "503 journal away"),
            ((403, {"title": "No", "detail": "scope read"}), "403 scope read"),
            ((200, {"totals": {"hit": {}}}), "the answer can&#x27;t be read: KeyError"),
            ((200, {"totals": [1]}), "the answer can&#x27;t be read: AttributeError"),
            (
                (200, {"totals": {"<b>": {"requests": "<i>"}}}),
                "the answer can&#x27;t be read: ValueError",
            ),
        ],
    )
    def test_what_is_not_known_is_said(self, client, url, staff, worker, answer, why):
        worker.answers = [self.HEALTH, answer]
        text = self.shown(client, url)
        assert f"Figures are not known: {why}" in text, text
        # What it did say is there all the same.
        assert "Journal heard: 1.2 s ago" in text and "<i>" not in text

    def test_a_worker_that_is_away_is_asked_once(self, client, url, staff, worker):
        worker.stop()
        text = self.shown(client, url)
        assert "Figures are not known:" in text and "Journal heard" not in text


def test_a_worker_that_does_not_answer(client, url, staff, worker):
    worker.stop()
    text = client.get(url, {"tag": "x"}).content.decode()
    assert text.count("errornote") == 2 and "refused" in text


def test_without_a_token(client, url, staff, edge, worker):
    worker.answer = READY
    edge(TOKEN="")
    assert "TOKEN" in client.get(url, {"tag": "x"}).content.decode()
    edge(WORKER_URL="")
    assert "WORKER_URL" in client.get(url).content.decode()


class TestRevalidate:
    def test_needs_the_permission(self, client, url, staff):
        assert client.post(url, {"names": "x"}).status_code == 403
        assert not OutboxMessage.objects.exists()

    @pytest.mark.parametrize(
        ("sent", "payload"),
        [
            ({"names": "a b:1"}, {"tags": ["a", "b:1"]}),
            ({"kind": "urls", "names": "https://a.example/"}, {"urls": ["https://a.example/"]}),
            ({"kind": "paths", "names": "/x/"}, {"paths": ["/x/"]}),
            ({"kind": "all"}, {"everything": True}),
            ({"names": "a", "mode": "hard"}, {"tags": ["a"], "hard": True}),
        ],
    )
    def test_records(self, client, url, may_revalidate, sent, payload, worker):
        worker.answer = READY
        response = client.post(url, sent, follow=True)
        assert "Recorded" in response.content.decode()
        (row,) = OutboxMessage.objects.all()
        assert row.payload.items() >= payload.items()
        assert row.payload["reason"] == "by ada"

    @pytest.mark.parametrize("sent", [{}, {"kind": "urls", "names": "/x/"}, {"kind": "no"}])
    def test_shows_what_is_wrong(self, client, url, may_revalidate, sent, worker):
        worker.answer = READY
        assert "errorlist" in (text := client.post(url, sent, follow=True).content.decode()) or (
            'class="error"' in text
        )
        assert not OutboxMessage.objects.exists()

    def test_is_guarded_against_forgery(self, may_revalidate, staff, url):
        from django.test import Client

        strict = Client(enforce_csrf_checks=True)
        strict.force_login(staff)
        assert strict.post(url, {"names": "x"}).status_code == 403


class TestOutboxList:
    def test_is_looked_at_and_not_edited(self, admin_client, worker):
        edge_isr.revalidate_by_tags("x")
        row = OutboxMessage.objects.latest("pk")
        listing = reverse("admin:edge_isr_outboxmessage_changelist")
        assert "Edge cache" in admin_client.get(listing).content.decode()
        change = reverse("admin:edge_isr_outboxmessage_change", args=[row.pk])
        assert b'name="_save"' not in admin_client.get(change).content
        assert admin_client.get(reverse("admin:edge_isr_outboxmessage_add")).status_code == 403

    def test_delivers_again(self, admin_client):
        edge_isr.revalidate_by_tags("x")
        OutboxMessage.objects.update(status="dead")
        row = OutboxMessage.objects.latest("pk")
        listing = reverse("admin:edge_isr_outboxmessage_changelist")
        admin_client.post(listing, {"action": "queue_again", "_selected_action": [row.pk]})
        assert OutboxMessage.objects.latest("pk").status == "pending"
