"""The worker under load, counted and not timed: `scripts/bench --load` in its short form, beside
the origin alone and beside a hand-written Cache API worker.
"""

import json
import math
import subprocess

import pytest
from stack import ROOT

EDGE, PEER, ALONE = "edge-isr", "a Cache API worker", "the origin alone"


@pytest.fixture(scope="module")
def cells():
    """What was found, by the cell's name and by who answered."""
    command = [ROOT / "node_modules/.bin/node", ROOT / "scripts/lib/bench_load.mjs", "--short"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)["cells"]
    return {cell["name"]: {one["by"]: one for one in cell["found"]} for cell in seen}


def test_no_answer_is_an_error_that_the_origin_alone_would_not_have_given(cells):
    assert {(name, found[EDGE]["own_errors"]) for name, found in cells.items()} == {
        (name, 0) for name in cells
    }
    healthy = [name for name in cells if not name.endswith(("fails", "stops"))]
    assert {found["errors"] for name in healthy for found in cells[name].values()} == {0}


@pytest.mark.parametrize("name", ["all of them, a tenth fails", "all of them, it stops"])
def test_a_failing_origin_shows_less_than_alone_and_never_on_a_stored_page(cells, name):
    found = cells[name]
    assert found[ALONE]["errors"] > 0
    assert found[EDGE]["errors"] < found[ALONE]["errors"]
    assert found[EDGE]["errors_on_stored_pages"] == 0


def test_hits_ask_nothing_of_the_origin(cells):
    assert cells["hits"][EDGE]["origin_requests"] == 0


def test_stale_hits_are_refreshed_once_a_lifetime(cells):
    """Ten pages of one second each; the peer may fetch one as often as it is asked for."""
    found = cells["stale hits"][EDGE]
    assert found["origin_requests"] <= 10 * (
        1 + math.ceil(found["answers"] / found["answers_a_second"])
    )


@pytest.mark.parametrize("name", ["cold pages", "readers who are logged in"])
def test_what_can_not_be_answered_from_the_store_is_asked_once(cells, name):
    assert {(by, one["origin_requests"]) for by, one in cells[name].items()} == {
        (by, one["answers"]) for by, one in cells[name].items()
    }
