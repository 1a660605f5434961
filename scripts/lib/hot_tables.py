"""Writes the table of docs/performance.md from the kept figures: hot_tables.py RESULTS DOCUMENT [--check].

With --check nothing is written: it fails if the document has another table than the figures make.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import costs
from scale_tables import number, written

ANSWERS = [
    "asked",
    "who answers",
    "answers a second",
    "of the first",
    "median and 99 % (ms)",
    "processor (µs)",
]
# Who answers less often in a turn has no time of the machine: nothing can be said of them.
LEAST = 20


def answers(rows: list[dict]) -> list[str]:
    """A line for each who answers; what is asked stands in the first of them."""
    lines = []
    for row in rows:
        asked = row["name"]
        for one in row["found"]:
            if one["lowest"] < LEAST:
                continue
            spread = f"{number(one['rate'])} ({number(one['lowest'])} to {number(one['highest'])})"
            beside = one.get("of_the_first")
            lines.append([
                asked,
                one["who"],
                spread,
                "" if beside is None else f"{beside:.2f}",
                f"{number(one['median_us'] / 1_000)}, {number(one['late_us'] / 1_000)}",
                number(one["processor_us"]),
            ])
            asked = ""
    return costs.table(ANSWERS, lines)


def tables(hot: dict) -> Iterator[list[str]]:
    """The one there is."""
    yield answers(hot["rows"])


def main() -> None:
    """Writes or checks."""
    results, document = (Path(argument) for argument in sys.argv[1:3])
    before = document.read_text()
    after = written(before, tables(json.loads(results.read_text())["hot"]))
    if sys.argv[3:] == ["--check"]:
        if after != before:
            raise SystemExit(f"{document} does not have the figures of {results}: run {sys.argv[0]} {results} {document}")
    else:
        document.write_text(after)


if __name__ == "__main__":
    main()
