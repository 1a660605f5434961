"""A process that delivers is killed in the middle of a call: what it held is delivered soon."""

import time

import pytest
from conftest import the_row, wait_for
from processes import SiteProcess, site_environment

import edge_isr
from edge_isr.models import OutboxMessage

pytestmark = pytest.mark.django_db(transaction=True)
DELIVER = ["-m", "django", "edge_isr_deliver", "--watch", "--interval", "0.1"]
# The docs promise it.
SOON = 30


def test_what_a_killed_process_held_is_delivered_within_half_a_minute(worker, settings):
    process = SiteProcess(DELIVER, site_environment(settings.EDGE_ISR))
    try:
        worker.hold.clear()
        edge_isr.revalidate_by_tags("held")
        wait_for(lambda: worker.calls, 60)
        process.kill()
        killed = time.monotonic()
        worker.hold.set()
        row = the_row()
        assert row.status == "pending" and row.claimed_until is not None
        process.start()
        edge_isr.revalidate_by_tags("later")
        wait_for(lambda: not OutboxMessage.objects.filter(status="pending").exists(), 60)
        assert time.monotonic() - killed < SOON
        # Whether the first call came through is not known: it is sent again.
        assert worker.tags == {"held", "later"}
        assert len([call for call in worker.calls if "held" in call.json["tags"]]) == 2
    finally:
        worker.hold.set()
        process.kill()
