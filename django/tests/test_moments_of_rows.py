"""Rows with a time: what is sent when it comes, and when it is another one."""

from datetime import date, datetime, timedelta, timezone

import pytest
from shop.models import Notice
from test_moments import deliver, said, text_of, waiting

import edge_isr
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def notices():
    edge_isr.register(Notice, at=["shown", "last_day"])


@pytest.mark.usefixtures("notices")
class TestRows:
    def test_a_row_is_sent_when_its_time_comes(self, worker, soon):
        notice = Notice.objects.create(text="x", shelf=3, shown=soon)
        deliver()
        timed = [call.json for call in worker.calls if "at" in call.json]
        assert [one["at"] for one in timed] == [text_of(soon)]
        assert {
            "shop.notice", f"shop.notice:{notice.pk}", "shop.notice:shelf=3", "shop.notice:@shown",
        } <= set(timed[0]["tags"])  # fmt: skip
        # A row that is there does not come then.
        assert "shop.notice:@" not in timed[0]["tags"]

    def test_a_date_begins_at_midnight_of_the_site(self, worker, soon, settings):
        settings.TIME_ZONE = "Asia/Kathmandu"
        Notice.objects.create(text="x", last_day=date(2100, 5, 4))
        at = datetime(2100, 5, 3, 18, 15, tzinfo=timezone.utc)
        assert list(waiting().values()) == [at]

    def test_a_save_that_leaves_the_time_alone_is_no_call(self, worker, soon):
        notice = Notice.objects.create(text="x", shown=soon)
        deliver()
        worker.calls.clear()
        notice.text = "y"
        notice.save()
        deliver()
        assert said(worker.calls) == [("POST", None)]

    @pytest.mark.parametrize(
        "write",
        [
            lambda row, at: (setattr(row, "shown", at), row.save()),
            lambda row, at: Notice.objects.filter(pk=row.pk).update(shown=at),
            lambda row, at: Notice.objects.bulk_update(
                [Notice(pk=row.pk, text=row.text, shown=at)], ["shown"]
            ),
            lambda row, at: Notice.objects.bulk_create(
                [Notice(pk=row.pk, text="z", shown=at)], update_conflicts=True,
                update_fields=["shown"],
                unique_fields=["id"] if _takes_names() else None,
            ),
        ],
        ids=["save", "update", "bulk_update", "bulk_create"],
    )  # fmt: skip
    def test_another_time_takes_its_place(self, worker, soon, write):
        notice = Notice.objects.create(text="x", shown=soon)
        name = f"@shop.notice:{notice.pk}:shown"
        deliver()
        assert waiting() == {name: soon}
        worker.calls.clear()
        later = soon + timedelta(hours=3)
        write(notice, later)
        deliver()
        assert waiting() == {name: later}
        assert ("DELETE", None) in said(worker.calls)
        assert ("POST", text_of(later)) in said(worker.calls)
        write(notice, None)
        assert waiting() == {}

    @pytest.mark.parametrize(
        "delete",
        [
            lambda row: row.delete(),
            lambda row: Notice.objects.all().delete(),
            lambda row: Notice.objects.all()._raw_delete("default"),
        ],
    )
    def test_a_row_that_is_gone_has_no_time(self, worker, soon, delete):
        notice = Notice.objects.create(text="x", shown=soon)
        deliver()
        worker.calls.clear()
        delete(notice)
        deliver()
        assert waiting() == {}
        assert ("DELETE", None) in said(worker.calls)

    def test_a_time_that_has_passed_is_none(self, worker, soon):
        Notice.objects.create(text="x", shown=soon - timedelta(hours=2))
        assert waiting() == {}

    def test_only_rows_that_are_sent(self, worker, soon):
        edge_isr.register(Notice, at=["shown"], only_if=lambda row: row.shelf > 0)
        notice = Notice.objects.create(text="x", shown=soon)
        assert waiting() == {}
        notice.shelf = 1
        notice.save()
        assert list(waiting().values()) == [soon]
        notice.shelf = 0
        notice.save()
        assert waiting() == {}

    def test_what_is_registered_is_sent_then_too(self, worker, soon):
        edge_isr.register(
            Notice, at=["shown"], tags=lambda row: f"shelf:{row.shelf}",
            dependent_paths=lambda row: ["/board/"],
        )  # fmt: skip
        Notice.objects.create(text="x", shelf=4, shown=soon)
        (row,) = OutboxMessage.objects.exclude(at=None)
        assert "shelf:4" in row.payload["tags"] and row.payload["paths"] == ["/board/"]

    def test_silenced(self, worker, soon):
        with edge_isr.silence():
            Notice.objects.create(text="x", shown=soon)
        assert waiting() == {}


def _takes_names():
    from django.db import connection

    return connection.features.supports_update_conflicts_with_target


def test_a_field_without_a_time_is_an_error():
    with pytest.raises(TypeError, match="text of Notice has neither a date nor a time"):
        edge_isr.register(Notice, at=["text"])
