"""A view whose result changed and whose tags were not sent is a lost invalidation."""

import json
import os
from pathlib import Path

import django
import pytest

from . import run as oracle
from .known import KNOWN, UNCACHED

# For the database; the run itself commits what it writes, and puts it back.
pytestmark = pytest.mark.django_db
# Of Django 4.2 there are fewer views, and so other shares.
FLOOR = Path(__file__).parent / f"floor{'-4.2' if django.VERSION < (5, 0) else ''}.json"


@pytest.fixture(scope="module")
def run(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock():
        return oracle.run()


def known(view, write):
    """The rows of the list of defects that excuse a pair."""
    return [
        entry for entry in KNOWN
        if (entry[1] is None or entry[1].search(view))
        and (entry[2] is None or entry[2].search(write))
    ]  # fmt: skip


def test_the_run_is_large_and_steady(run):
    assert len(run.pages) >= 150 and len(run.outcomes) >= 100
    assert run.unsteady == []
    assert {name: one.error for name, one in run.outcomes.items() if one.error} == {}
    idle = [name for name, one in run.outcomes.items() if not one.changed]
    assert idle == [], "writes that change nothing that any view shows"


def test_what_is_not_cached(run):
    assert {name for name, page in run.pages.items() if not page.public} == UNCACHED


def test_nothing_is_lost(run):
    lost = [(v, w) for w, views in run.lost().items() for v in sorted(views)]
    unexcused = [pair for pair in lost if not known(*pair)]
    pairs = sum(len(run.pages) for _ in run.outcomes)
    print(
        f"\noracle: {len(run.pages)} views, {len(run.outcomes)} writes, {pairs} pairs, "
        f"{sum(len(one.changed) for one in run.outcomes.values())} changed, "
        f"{len(lost)} lost, {len(unexcused)} of them unexcused, {run.seconds:.0f} s"
    )
    if os.environ.get("EDGE_ISR_ORACLE_LIST"):
        Path(os.environ["EDGE_ISR_ORACLE_LIST"]).write_text(
            "".join(f"{v}\t{w}\t{sorted(run.outcomes[w].tags)[:9]}\n" for v, w in lost)
        )
    assert unexcused == []


def test_what_is_excused_is_still_lost(run):
    """Strict: an entry that no pair needs any more is removed."""
    lost = [(v, w) for w, views in run.lost().items() for v in views]
    assert [e for e in KNOWN if not any(e in known(*pair) for pair in lost)] == []


def test_needless_invalidations_do_not_grow(run):
    floor = json.loads(FLOOR.read_text())
    shares = {
        kind: round(100 * invalidated / of, 1) for kind, (invalidated, of) in run.needless().items()
    }
    print("\noracle: sent without need, in per cent of the unchanged views, by kind of write:")
    print("  " + ", ".join(f"{kind} {share}" for kind, share in shares.items()))
    assert {k: (s, floor[k]) for k, s in shares.items() if s > floor[k]} == {}


def test_what_a_new_django_brings_is_known():
    from .writes_of_models import unknown_methods

    assert unknown_methods() == set()
