"""Writes the tables of docs/scale.md from the kept figures: scale_tables.py RESULTS DOCUMENT
[--check].

With --check nothing is written: it fails if the document has other tables than the figures make.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import costs

WORDS = {">=": "at least", "<=": "at most"}
LOAD = [
    "asked",
    "who answers",
    "answers a second",
    "errors, of them its own",
    "median and 99 % (ms)",
    "origin requests for 100 answers",
    "memory (MB)",
]
FIGURES = ["figure", "bound", "median", "lowest to highest"]


def number(value: float) -> str:
    """A figure for people, in three digits or more."""
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f}"


def figures(part: dict) -> list[str]:
    """The table of what one part measured."""
    rows = []
    for one in part["figures"]:
        sign, _, least = one["bound"].partition(" ")
        bound = f"{WORDS[sign]} {least}" if sign else ""
        spread = (
            f"{number(one['lowest'])} to {number(one['highest'])}" if one["of"] > 1 else "one value"
        )
        rows.append([one["name"], bound, f"{number(one['median'])} {one['unit']}", spread])
    return costs.table(FIGURES, rows)


def load(part: dict) -> list[str]:
    """The table of what was measured under load: for each cell a row of each that was asked."""
    rows = []
    for cell in part["cells"]:
        asked = f"{cell['name']}; {cell['readers']} readers, origin {cell['origin_ms']} ms"
        for one in cell["found"]:
            memory = one["memory_bytes"]
            rows.append(
                [
                    asked,
                    one["by"],
                    number(one["answers_a_second"]),
                    f"{one['errors']:,}, {one['own_errors']:,}",
                    f"{number(one['median_ms'])}, {number(one['percentile_99_ms'])}",
                    number(100 * one["origin_requests"] / one["answers"]),
                    "" if memory is None else f"{memory / 1e6:,.0f}",
                ]
            )
            asked = ""
    return costs.table(LOAD, rows)


def tables(results: dict) -> Iterator[list[str]]:
    """All of them, in their order."""
    yield figures(results["native"])
    yield figures(results["runtime"])
    yield load(results["load"])
    yield from costs.tables(results["runtime"]["operations"])


def written(document: str, wanted: Iterator[list[str]]) -> str:
    """The document with these tables in the places of those that have the same heads."""
    lines, at = document.split("\n"), 0
    for table in wanted:
        try:
            at = lines.index(table[0], at)
        except ValueError:
            raise SystemExit(f"scale_tables: no table begins with {table[0]}") from None
        end = next(
            n for n in range(at, len(lines) + 1) if n == len(lines) or not lines[n].startswith("|")
        )
        lines[at:end] = table
        at += len(table)
    return "\n".join(lines)


def write_or_check(figures: Callable[[dict], Iterator[list[str]]]) -> None:
    """Puts the tables of the kept figures into the document, or checks that they stand there."""
    results, document = (Path(argument) for argument in sys.argv[1:3])
    before = document.read_text()
    after = written(before, figures(json.loads(results.read_text())))
    if sys.argv[3:] != ["--check"]:
        document.write_text(after)
    elif after != before:
        wanted = f"run {sys.argv[0]} {results} {document}"
        raise SystemExit(f"{document} does not have the figures of {results}: {wanted}")


if __name__ == "__main__":
    write_or_check(tables)
