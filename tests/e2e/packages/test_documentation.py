"""docs/django-packages.md has every package of requirements.txt, with its version, and no other."""

import re
from pathlib import Path

from stack import ROOT

REQUIREMENTS = Path(__file__).parent / "requirements.txt"
# What the sites run on, and what only other packages need.
OTHERS = {"Django", "gunicorn", "crispy-bootstrap5", "tablib"}


def test_the_list_in_the_docs():
    rows = (ROOT / "docs" / "django-packages.md").read_text()
    documented = set(re.findall(r"^\| ([\w-]+) \| (\d[\w.]*) \|", rows, re.MULTILINE))
    pinned = set(
        re.findall(r"^([\w-]+)(?:\[\w+\])?==(\S+)$", REQUIREMENTS.read_text(), re.MULTILINE)
    )
    assert documented == {(name, version) for name, version in pinned if name not in OTHERS}
