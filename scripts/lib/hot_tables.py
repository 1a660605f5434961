"""Writes the tables of docs/performance.md from the kept figures.

    hot_tables.py RESULTS DOCUMENT [--check]

With --check nothing is written: it fails if the document has other tables than the figures make.
"""

from collections.abc import Iterator

import costs
from scale_tables import number, write_or_check

ANSWERS = [
    "asked",
    "who answers",
    "answers a second",
    "of the first",
    "median and 99 % (ms)",
    "processor (µs)",
]
MOMENTS = ["what", "who", "median (ms)", "highest (ms)", "origin requests"]
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
            lines.append(
                [
                    asked,
                    one["who"],
                    spread,
                    "" if beside is None else f"{beside:.2f}",
                    f"{number(one['median_us'] / 1_000)}, {number(one['late_us'] / 1_000)}",
                    number(one["processor_us"]),
                ]
            )
            asked = ""
    return costs.table(ANSWERS, lines)


def moments(found: list[dict]) -> list[str]:
    """A line for each who was measured once a round."""
    lines = []
    for one in found:
        origin = one.get("origin")
        lines.append(
            [
                one["name"],
                one["who"],
                number(one["median_ms"]),
                number(one["highest_ms"]),
                "" if origin is None else number(origin),
            ]
        )
    return costs.table(MOMENTS, lines)


def tables(results: dict) -> Iterator[list[str]]:
    """All of them, in their order."""
    yield answers(results["hot"]["rows"])
    yield moments(results["moments"]["moments"])


if __name__ == "__main__":
    write_or_check(tables)
