"""The README says what is there: every row's test, every setting, every argument."""

import re
from itertools import zip_longest
from pathlib import Path

import pytest
from test_settings import WRONG

from edge_isr import conf
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
def test_every_setting_is_documented(key):
    assert f"`{key}`" in README.split("## Settings")[1] or f"`{key}`," in README


@pytest.mark.parametrize("key", POLICY_KEYS)
def test_every_argument_is_documented(key):
    assert f"`{key}`" in README


def test_every_source_is_short_enough():
    sources = [*TESTS.parent.rglob("*.py")]
    assert len(sources) > 50
    assert [str(p) for p in sources if len(p.read_text().splitlines()) > 400] == []


def documented_settings():
    """Each setting of the table with what it says of its default."""
    for line in README.split("## Settings\n")[1].split("\n## ")[0].splitlines():
        if line.startswith("| `"):
            names, default = (cell.strip() for cell in line.split("|")[1:3])
            keys = re.findall(r"`(\w+)`", names)
            defaults = default.split(", ") if len(keys) > 1 else [default]
            yield from zip_longest(keys, defaults, fillvalue="")


def test_every_documented_setting_exists():
    assert {key for key, _ in documented_settings()} == set(conf.KEYS) - {"CDN"}


def test_documented_defaults_are_right():
    settings = conf.Settings()
    said = dict(documented_settings())
    policy = re.findall(r"`(\w+)` (\d+)", said.pop("DEFAULTS"))
    assert len(policy) == 4
    assert policy == [(name, str(getattr(settings.defaults, name))) for name, _ in policy]
    stated = {key: text.strip("`") for key, text in said.items() if re.match(r"`|\d", text)}
    assert len(stated) >= 18
    fields = {key: getattr(settings, conf._FIELDS[key][0]) for key in stated}
    shown = {k: f"{v:g}" if type(v) is float else str(v) for k, v in fields.items()}
    assert stated == shown
