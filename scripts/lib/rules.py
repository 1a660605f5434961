"""The rules of the invalidation protocol, switched off: rules.py --check | --write TREE [--rules
FILE]

tests/simulation/rules.txt has the source edits that take each rule out. `--write` makes a copy of
the sources in which all of them are compiled in one build, as the mutation tool does it
(mutated_sources.py), with a switch for each thread. `--check` only looks whether each edit's text
stands exactly once in the sources.
"""

import argparse
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

from mutated_sources import Function, Mutant, blank, copy, put, write

SWITCH = """//! Which rule is off.

use std::cell::Cell;

thread_local! {
    static OFF: Cell<u32> = const { Cell::new(0) };
}

/// The rule that is off in this thread, by its number; 0: none.
#[inline]
pub fn on(_function: u32) -> u32 {
    OFF.get()
}

/// Switches a rule off in this thread, or none.
pub fn switch_off(rule: u32) {
    OFF.set(rule);
}
"""
# What stands in the copy instead of tests/simulation/switch.rs.
CALL = "pub(crate) fn switch_off(rule: u32) {\n    edge_isr::mutant_switch::switch_off(rule);\n}\n"
WRITTEN = frozenset({"tests/simulation/switch.rs", "src/mutant_switch.rs"})
COPIED = ("Cargo.toml", "Cargo.lock", "src", "tests", "benches")


@dataclass
class Edit:
    """Lines that stand once in the sources, in the function named if one is, and what is there
    without the rule.
    """

    function: str = ""
    find: list[str] = field(default_factory=list)
    replace: list[str] = field(default_factory=list)


@dataclass
class Rule:
    name: str
    says: str = ""
    edits: list[Edit] = field(default_factory=list)


class Off(Mutant):
    """A rule's edits in one function."""

    def __init__(self, number: int, name: str, file: str):
        super().__init__(number, name, file, 0, 0, "", "")
        self.spans: list[tuple[int, int, str]] = []

    def edits(self) -> list[tuple[int, int, str]]:
        return self.spans


class Wrong(Exception):
    """What is wrong with the rules' file, in words."""


def parse(text: str) -> list[Rule]:
    rules: list[Rule] = []
    edit = None
    for number, line in enumerate(text.splitlines(), 1):
        kind, _, rest = line.partition(" ")
        if not line or kind == "#" or (not rules and line.startswith("#")):
            continue
        if kind == "rule":
            rules.append(Rule(rest))
            edit = None
        elif not rules:
            raise Wrong(f"line {number} stands before the first rule: {line}")
        elif kind == "fn":
            edit = Edit(rest)
            rules[-1].edits.append(edit)
        elif kind == "-":
            if edit is None or edit.replace:
                edit = Edit()
                rules[-1].edits.append(edit)
            edit.find.append(rest)
        elif kind == "+":
            if edit is None:
                raise Wrong(f"line {number} replaces nothing: {line}")
            edit.replace.append(rest)
        else:
            rules[-1].says = f"{rules[-1].says} {line}".strip()
    for rule in rules:
        if not rule.says or not rule.edits or not all(edit.find for edit in rule.edits):
            raise Wrong(
                f"{rule.name}: a rule says what it is, and has edits, each with lines to find"
            )
    if len({rule.name for rule in rules}) != len(rules):
        raise Wrong("a rule's name stands twice")
    return rules


@dataclass
class Body:
    """A function's name, and where it and its body begin and end."""

    name: str
    start: int
    open: int
    close: int


def bodies(text: str) -> list[Body]:
    """The functions of a source without comments and strings."""
    found = []
    for head in re.finditer(r"\bfn\s+(\w+)", text):
        at, depth = head.end(), 0
        while depth or text[at] not in "{;":
            depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(text[at], 0)
            at += 1
        if text[at] == ";":
            continue
        end, depth = at + 1, 1
        while depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        found.append(Body(head[1], head.start(), at, end - 1))
    return found


@dataclass
class Source:
    """A file of the crate; `code` is its text without comments, of the same length."""

    file: str
    code: str
    blank: str
    bodies: list[Body]


def read(root: Path) -> list[Source]:
    sources = []
    for path in sorted((root / "src").rglob("*.rs")):
        text = path.read_text()
        code = re.sub(r"(?m)^( *)//.*$", lambda line: " " * len(line.group()), text)
        sources.append(Source(str(path.relative_to(root)), code, blank(text), bodies(blank(text))))
    return sources


def places(sources: list[Source], edit: Edit) -> list[tuple[Source, int, int]]:
    """Where an edit's lines stand, however they are broken."""
    characters = re.sub(r"\s", "", "".join(edit.find))
    pattern = re.compile(r"\s*".join(re.escape(character) for character in characters))
    found = []
    for source in sources:
        for hit in pattern.finditer(source.code):
            around = [
                one for one in source.bodies if one.open < hit.start() and hit.end() <= one.close
            ]
            if any(one.name == edit.function or not edit.function for one in around):
                found.append((source, hit.start(), hit.end()))
    return found


def functions(sources: list[Source], rules: list[Rule]) -> list[Function]:
    """The functions with edits in them. Fails for edits whose text does not stand exactly once."""
    found: dict[tuple[str, int], Function] = {}
    offs: dict[tuple[str, int, int], Off] = {}
    wrong = []
    for number, rule in enumerate(rules, 1):
        for edit in rule.edits:
            hits = places(sources, edit)
            if len(hits) != 1:
                where = f"fn {edit.function}" if edit.function else "src/"
                lines = "\n      ".join(edit.find)
                wrong.append(f"{rule.name}: stands {len(hits)} times in {where}:\n      {lines}")
                continue
            source, start, end = hits[0]
            # One function inside another is copied with it.
            outer = min(
                (one for one in source.bodies if one.start < start <= one.close),
                key=lambda one: one.start,
            )
            key = (source.file, outer.start)
            if key not in found:
                constant = re.compile(r"\bconst\s+$").search(source.blank[: outer.start])
                found[key] = Function(
                    len(found) + 1,
                    source.file,
                    constant.start() if constant else outer.start,
                    outer.open,
                    outer.close,
                    constant.start() if constant else None,
                )
            if (*key, number) not in offs:
                offs[*key, number] = Off(number, rule.name, source.file)
                found[key].mutants.append(offs[*key, number])
            offs[*key, number].spans.append((start, end, "\n".join(edit.replace)))
    if wrong:
        raise Wrong("edits that don't fit the sources any more:\n  " + "\n  ".join(wrong))
    return list(found.values())


def copied(root: Path) -> set[str]:
    names = set()
    for name in COPIED:
        path = root / name
        inside = path.rglob("*") if path.is_dir() else [path]
        names |= {str(one.relative_to(root)) for one in inside if one.is_file()}
    return {name for name in names if "__pycache__" not in name}


def main() -> int:
    root = Path(__file__).resolve().parents[2]
    options = argparse.ArgumentParser()
    options.add_argument("--rules", type=Path, default=root / "tests/simulation/rules.txt")
    options.add_argument("--check", action="store_true")
    options.add_argument("--write", type=Path)
    given = options.parse_args()
    try:
        rules = parse(given.rules.read_text())
        found = functions(read(root), rules)
    except Wrong as error:
        print(f"{given.rules}: {error}", file=sys.stderr)
        return 1
    if given.write:
        copy(root, given.write, copied(root) - WRITTEN, WRITTEN)
        put(given.write / "tests/simulation/switch.rs", CALL.encode())
        write(root, given.write, found, SWITCH)
    print(
        f"{len(rules)} rules, {sum(len(rule.edits) for rule in rules)} edits, "
        f"{len(found)} functions"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
