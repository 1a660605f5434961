"""The commands: what they send, what they print, and how they fail."""

import json
from io import StringIO

import pytest
from conftest import SECRET, wait_for
from django.core.management import call_command
from django.core.management.base import CommandError
from django.http import HttpResponse
from django.urls import path, re_path
from django.views.generic import View

import edge_isr
from edge_isr import isr, signing
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)


def run(*arguments, **options):
    out = StringIO()
    call_command(*arguments, stdout=out, **options)
    return out.getvalue()


class TestRevalidateTags:
    def test_at_once(self, worker):
        worker.answer = (202, {"id": "msg_1", "epoch": 9, "pages": 3})
        assert run("revalidate_tags", "post:1", "posts") == (
            "post:1 posts: epoch 9, 3 pages, job msg_1\n"
        )
        (call,) = worker.calls
        signing.verify([SECRET], call.headers, call.body)
        assert call.json == {"tags": ["post:*", "post:1", "posts"], "mode": "soft", "warm": True}

    def test_options(self, worker):
        run("revalidate_tags", "x", "--hard", "--no-warm")
        run("revalidate_tags", "x", "--wait", "2.5")
        assert worker.calls[0].json == {"tags": ["x"], "mode": "hard", "warm": False}
        assert worker.calls[1].json["wait_ms"] == 2500
        worker.answer = (200, {"pages": None})
        assert run("revalidate_tags", "x", "--dry-run") == "an unknown number of pages carry x\n"
        assert worker.calls[2].json["dry_run"] is True

    def test_fails_with_the_workers_words(self, worker):
        worker.answer = (401, {"detail": "No configured secret made the signature."})
        with pytest.raises(CommandError, match="401 No configured secret"):
            run("revalidate_tags", "x")
        worker.stop()
        with pytest.raises(CommandError, match="refused"):
            run("revalidate_tags", "x")

    def test_forgets_fragments(self, worker):
        from edge_isr.fragments import Fragment

        Fragment("a", tags=["x"]).get_or_make(lambda: 1)
        run("revalidate_tags", "x")
        assert Fragment("a", tags=["x"]).get_or_make(lambda: 2) == 2


class TestWarmUrl:
    def test_asks_for_jobs(self, worker):
        worker.answer = (202, {"id": "msg_2"})
        assert run("warm_url", "https://a.example/") == "warming: job msg_2\n"
        assert worker.calls[0].path == "/__isr/v1/warm"
        assert worker.calls[0].json == {"urls": ["https://a.example/"]}

    def test_five_hundred_at_a_time(self, worker):
        run("warm_url", *[f"https://a.example/{n}/" for n in range(501)])
        assert [len(call.json["urls"]) for call in worker.calls] == [500, 1]

    def test_wrong_urls(self):
        with pytest.raises(CommandError, match="expected an absolute URL"):
            run("warm_url", "/relative/")


class TestStatus:
    def test_shows_everything(self, worker):
        worker.answer = (200, {"ready": True, "reasons": []})
        edge_isr.revalidate_by_tags("x")
        printed = run("edge_isr_status")
        assert "health      ready" in printed
        assert "1 pending, the oldest 0 s, 0 delivered, 0 dead" in printed

    def test_fails_when_something_is_wrong(self, worker):
        worker.answer = (503, {"ready": False, "reasons": ["journal-lost"]})
        edge_isr.revalidate_by_tags("x")
        OutboxMessage.objects.update(status="dead")
        with pytest.raises(CommandError, match="the worker is not ready; 1 messages on default"):
            run("edge_isr_status")
        worker.stop()
        with pytest.raises(CommandError, match="can't be asked"):
            run("edge_isr_status")


FINDING = {
    "url": "https://a.example/1/", "vary": [["accept-language", "de"]], "route": "/*",
    "stored_at": 1_785_409_200_000, "found_at": 1_785_412_800_000,
    "first_found_at": 1_785_412_800_000, "times": 2, "colo": "AMS", "cause": "same-tags",
    "explanation": "The page has the same tags.", "tags": ["post:1"], "fresh_tags": ["post:1"],
    "difference": {
        "changes": [{"name": "status", "stored": "200", "fresh": "404"}], "body": True,
        "tags": False,
        "excerpt": {"before": "<h1>", "stored": "old\x1b[2J", "fresh": "new", "after": "</h1>"},
    },
}  # fmt: skip


def audited(*findings, groups=()):
    return 200, {
        "findings": list(findings), "groups": list(groups), "outcomes": {"same": 98, "stale": 2},
        "stale_within": {}, "hits": 100_000, "next": None, "note": "A share of the hits.",
    }  # fmt: skip


class TestAudit:
    def test_shows_what_was_found(self, worker):
        group = {"route": "/*", "tag": "post:1", "stale": 1, "every_render": 0, "latest": 0}
        worker.answer = audited(FINDING, groups=[group])
        out = StringIO()
        with pytest.raises(CommandError, match="1 pages changed without an invalidation"):
            call_command("edge_isr_audit", "--limit", "5", stdout=out)
        assert worker.calls[0].path == "/__isr/v1/audit?limit=5"
        printed = out.getvalue()
        assert printed.startswith("100 of 100000 hits audited, 2 out of date\n")
        assert "post:1 (/*): 1 out of date\n" in printed
        assert "https://a.example/1/ (accept-language: de)\n" in printed
        assert "same-tags, stored 2026-07-30 11:00:00 UTC, found 2026-07-30 12:00:00 UTC" in printed
        assert "status: 200, now 404\n" in printed
        assert "    - <h1>old\\x1b[2J</h1>\n    + <h1>new</h1>\n" in printed, "no terminal obeys it"
        assert printed.endswith("A share of the hits.\n")

    def test_a_clock_is_no_failure(self, worker):
        worker.answer = audited({**FINDING, "cause": "differs-at-every-render"})
        assert "differs-at-every-render" in run("edge_isr_audit")

    def test_json_is_the_workers(self, worker):
        worker.answer = audited()
        assert json.loads(run("edge_isr_audit", "--json")) == audited()[1]

    def test_fails_with_the_workers_words(self, worker):
        worker.answer = (403, {"detail": "The token has another scope."})
        with pytest.raises(CommandError, match="another scope"):
            run("edge_isr_audit")


class TestDeliver:
    def test_one_round(self, worker):
        edge_isr.revalidate_by_tags("x")
        assert run("edge_isr_deliver") == "1 delivered, 0 failed, 0 refused\n"
        assert run("edge_isr_deliver") == "0 delivered, 0 failed, 0 refused\n"

    def test_watching_ends_with_a_signal(self, worker):
        import os
        import signal
        import threading

        edge_isr.revalidate_by_tags("x")
        before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}

        def end():
            wait_for(lambda: worker.tags == {"x"})
            os.kill(os.getpid(), signal.SIGTERM)

        # Until the command has its handler, the signal must not end the tests.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ender = threading.Thread(target=end)
        ender.start()
        try:
            assert run("edge_isr_deliver", "--watch", "--interval", "0.01") == "delivering\n"
        finally:
            ender.join()
            for number, handler in before.items():
                signal.signal(number, handler)


def test_routes(site):
    class Listing(View):
        def get(self, request):
            return HttpResponse("x")

    view = isr(query=["page", "q"], vary_on=["device"])(Listing.as_view())
    plain = isr(lambda request: HttpResponse("x"))
    client = site(view, more=1)
    import sys

    from django.conf import settings

    module = sys.modules[settings.ROOT_URLCONF]
    module.urlpatterns += [
        path("plain/", plain),
        path("c/<slug:a>/<int:b>/", isr(vary_on="language")(lambda request: 0)),
        re_path(r"^y/(?P<year>[0-9]{4})/$", isr(query=[])(lambda request, year: 0)),
    ]
    assert client
    assert json.loads(run("edge_isr_routes"))["routes"] == [
        {"path": "/page/", "query": {"allow": ["page", "q"]}, "vary_on": ["device"]},
        {"path": "/page/*/", "query": {"allow": ["page", "q"]}, "vary_on": ["device"]},
        {"path": "/c/*/*/", "vary_on": ["language"]},
        {"path": "/y/*/", "query": {"allow": []}},
    ]
