"""The README says what is there: every row's test, every setting, every argument."""

import re
from pathlib import Path

import pytest
from test_settings import WRONG

from edge_isr.policy import POLICY_KEYS

TESTS = Path(__file__).parent
README = (TESTS.parent / "README.md").read_text()
ROWS = re.findall(r"`(test_\w+\.py(?:::\w+)+)` \|$", README, re.MULTILINE)


def test_every_feature_has_its_test():
    table = README.split("## Coming from another package")[1].split("## Limits")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ") and "| --- |" not in line]
    features = [line for line in rows if not line.startswith(("| **", "| theirs"))]
    assert len(features) == len(ROWS) > 45


@pytest.mark.parametrize("name", ROWS)
def test_the_named_test_exists(name):
    file, *parts = name.split("::")
    source = (TESTS / file).read_text()
    *classes, function = parts
    for cls in classes:
        assert f"\nclass {cls}:" in source
    indent = "    " if classes else ""
    assert re.search(rf"^{indent}def {function}\(", source, re.MULTILINE), name


@pytest.mark.parametrize("key", sorted(set(WRONG) - {"CDN"}))
def test_every_setting_is_sent(key):
    assert f"`{key}`" in README.split("## Settings")[1] or f"`{key}`," in README


@pytest.mark.parametrize("key", POLICY_KEYS)
def test_every_argument_is_sent(key):
    assert f"`{key}`" in README


def test_every_source_is_short_enough():
    sources = [*TESTS.parent.rglob("*.py")]
    assert len(sources) > 50
    assert [str(p) for p in sources if len(p.read_text().splitlines()) > 400] == []
