"""What became of mutants, in words: those that are known to go unnoticed, and the table."""

import sys
from collections import Counter, defaultdict

from mutated_sources import Mutant

# What became of mutants that no test fails for: there are some that enter the function, or none.
UNNOTICED = {"survived", "untested"}


def say(text: str) -> None:
    print(f"mutants: {text}", file=sys.stderr, flush=True)


def why(mutant: Mutant, explained: list[dict]) -> str:
    """Why it goes unnoticed, if that is known."""
    for entry in explained:
        if (mutant.file, mutant.line) == (
            entry["file"],
            entry["line"],
        ) and mutant.change() in entry["changes"]:
            return entry["why"]
    return ""


def explain(mutants: list[Mutant], explained: list[dict], whole: bool) -> bool:
    """Marks what is known to go unnoticed; false if some of that is noticed, or no longer there."""
    right = True
    for mutant in mutants:
        reason = why(mutant, explained)
        if reason and mutant.outcome in UNNOTICED:
            mutant.outcome, mutant.by = "explained", reason
        elif reason:
            right = False
            say(f"explained, but {mutant.outcome}: {mutant.name}")
    places = {(mutant.file, mutant.line, mutant.change()) for mutant in mutants}
    files = {mutant.file for mutant in mutants} if whole else set()
    for entry in explained:
        for change in entry["changes"] if entry["file"] in files else []:
            if (entry["file"], entry["line"], change) not in places:
                right = False
                say(f"explained, but not there: {entry['file']}: {entry['line']}: {change}")
    return right


def report(mutants: list[Mutant], seconds: float) -> str:
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for mutant in mutants:
        rows[f"`{mutant.file}`"][mutant.outcome] += 1
    rows["all"] = sum(rows.values(), Counter())
    kinds = ["caught", "timeout", "explained", "survived", "untested", "unviable"]
    lines = ["| file | mutants | " + " | ".join(kinds) + " |", "| --- " * (len(kinds) + 2) + "|"]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row.total()} | " + " | ".join(str(row[kind]) for kind in kinds) + " |"
        )
    found, viable = (
        rows["all"]["caught"] + rows["all"]["timeout"],
        rows["all"].total() - rows["all"]["unviable"],
    )
    share = 100 * found / max(viable, 1)
    lines.append(f"\nnoticed: {found} of {viable} that compile, {share:.1f} %; {seconds:.0f} s")
    return "\n".join(
        lines
        + [f"{mutant.outcome}: {mutant.name}" for mutant in mutants if mutant.outcome in UNNOTICED]
    )
