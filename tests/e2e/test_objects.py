"""What Durable Objects are built on, on the local runtime: calls answered in turns, and statements
as one call each.
"""

import json
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def seen():
    """What came of each story of objects.mjs."""
    command = [ROOT / "node_modules/.bin/node", ROOT / "tests/e2e/objects.mjs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_call_that_is_alone_has_a_turn_of_its_own(seen):
    assert seen["alone"] == [[200, "0"], [200, "1"]]


def test_calls_that_come_together_share_a_turn(seen):
    assert [status for status, _ in seen["together"]] == [200] * 16
    turns = {int(turn) for _, turn in seen["together"]}
    assert len(turns) < 8, turns


def test_one_that_fails_in_a_turn_fails_for_itself(seen):
    assert [status for status, _ in seen["mixed"]] == [200, 0, 400, 200, 200]
    assert seen["mixed"][1] == [0, "thrown"]


def test_no_call_of_a_turn_is_answered_if_its_alarm_could_not_be_set(seen):
    assert seen["unset"] == [[0, "no alarm"], [0, "no alarm"]]


def test_a_call_whose_text_stalls_holds_no_other_up(seen):
    (first, before), (second, after) = seen["stalled"]
    assert (first, second) == (200, 200)
    assert int(after) < int(before)


def test_statements(seen):
    made, put, found, kinds, none, unknown, unbound = seen["rows"]
    assert (made, put, none) == ("no rows",) * 3
    # A name that stands twice is two columns.
    assert json.loads(found) == [[None, -(2**53 - 1), "ä'\"\0\n", [0, 255, 7], "blob", None]]
    assert json.loads(kinds) == [[0.5], [[]]]
    assert "no such column: absent" in unknown
    assert "parameter" in unbound
