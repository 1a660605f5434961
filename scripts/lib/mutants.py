"""Mutation testing in one build: mutants.py [--only PATTERN] FILE …

cargo-mutants names the mutants. Each stands in a copy of its function's body, all copies are
compiled together, and an environment variable says which one runs: a mutant then costs the run of
its tests, and no build. Which tests those are is seen in a run without mutants: the ones that enter
the function.
"""

import argparse
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

# A mutant that takes this many times as long as the tests do without it, and a pause for the start,
# runs for ever.
SLOWER, PAUSE_SECONDS = 5, 5
# Tests that take longer than this come in a second round, for the mutants that the others did not
# notice.
QUICK_SECONDS = 1.0
# One that builds an endless list ends at this much memory.
MOST_BYTES = 8 << 30
# What became of mutants that no test fails for: there are some that enter the function, or none.
UNNOTICED = {"survived", "untested"}
# Constants, and functions that they call, cannot ask which mutant is on. Each of their mutants is a
# build of its own, with the programs that noticed most of the file's others, and so many seconds
# for each.
PROGRAMS_ALONE, ALONE_SECONDS = 4, 10
BUILD_SECONDS = 600

SWITCH = """//! Which mutant is on.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Mutex, OnceLock};

static ON: OnceLock<u32> = OnceLock::new();
static TRACE: OnceLock<Option<Mutex<(Vec<u32>, std::fs::File)>>> = OnceLock::new();

/// The mutant that is on, and a line for a function that is entered.
pub fn on(function: u32) -> u32 {
    let trace = TRACE.get_or_init(|| {
        let path = std::env::var("EDGE_ISR_TRACE").ok()?;
        let file = OpenOptions::new().append(true).create(true).open(path).ok()?;
        Some(Mutex::new((Vec::new(), file)))
    });
    if let Some(Ok(mut trace)) = trace.as_ref().map(Mutex::lock)
        && !trace.0.contains(&function)
    {
        trace.0.push(function);
        let _ = writeln!(trace.1, "{function}");
    }
    *ON.get_or_init(|| {
        std::env::var("EDGE_ISR_MUTANT").ok().and_then(|id| id.parse().ok()).unwrap_or(0)
    })
}
"""


def say(text: str) -> None:
    print(f"mutants: {text}", file=sys.stderr, flush=True)


def die(text: str) -> None:
    say(f"error: {text}")
    sys.exit(1)


@dataclass
class Mutant:
    """A change of one place, and what became of it."""

    id: int
    name: str
    file: str
    start: int
    end: int
    replacement: str
    line: str
    outcome: str = ""
    by: str = ""

    def edits(self) -> list[tuple[int, int, str]]:
        """Where it changes the text, and what stands there then."""
        return [(self.start, self.end, self.replacement)]

    def change(self) -> str:
        """What it changes, without where."""
        return self.name.split(": ", 1)[1].rsplit(" in ", 1)[0]


@dataclass
class Function:
    """A function's body, and the mutants in it."""

    id: int
    file: str
    start: int
    open: int
    close: int
    constant: int | None
    mutants: list[Mutant] = field(default_factory=list)
    alone: bool = False


@dataclass(frozen=True)
class Test:
    program: str
    name: str
    seconds: float


def blank(text: str) -> str:
    """The source with comments, strings and characters blanked out, of the same length."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\[^\']+|[^\\\'])\'',
        re.DOTALL,
    )
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text)


def offsets(text: str) -> list[int]:
    """Where each line begins."""
    return [0] + [found.end() for found in re.finditer("\n", text)]


def read(tree: Path, listed: list[dict]) -> tuple[list[Function], list[Mutant]]:
    """The functions of the listed mutants; and the mutants that stand in none."""
    functions: dict[tuple[str, int, int], Function] = {}
    loose = []
    texts = {file: (tree / file).read_text() for file in {item["file"] for item in listed}}
    blanks = {file: blank(text) for file, text in texts.items()}
    lines = {file: offsets(text) for file, text in texts.items()}

    def place(file: str, at: dict) -> int:
        return lines[file][at["line"] - 1] + at["column"] - 1

    def spans(item: dict) -> tuple[str, int, int]:
        span = item["function"]["span"]
        return item["file"], place(item["file"], span["start"]), place(item["file"], span["end"])

    whole = {spans(item) for item in listed if item["function"]}
    for number, item in enumerate(listed, 1):
        file = item["file"]
        span = item["span"]
        start, end = place(file, span["start"]), place(file, span["end"])
        line = texts[file].splitlines()[span["start"]["line"] - 1].strip()
        mutant = Mutant(number, item["name"], file, start, end, item["replacement"], line)
        if not item["function"]:
            loose.append(mutant)
            continue
        # One function inside another is copied with it.
        key = min(
            (
                other
                for other in whole
                if other[0] == file and other[1] <= mutant.start and mutant.end <= other[2]
            ),
            key=lambda other: other[1],
        )
        if key not in functions:
            functions[key] = function(len(functions) + 1, key, blanks[file])
        inside = functions[key]
        if inside.open < mutant.start and mutant.end <= inside.close:
            inside.mutants.append(mutant)
        else:
            loose.append(mutant)
    return list(functions.values()), loose


def function(number: int, key: tuple[str, int, int], text: str) -> Function:
    file, start, end = key
    close = text.rindex("}", start, end)
    depth, at = 1, close
    while depth:
        at -= 1
        depth += {"}": 1, "{": -1}.get(text[at], 0)
    constant = re.compile(r"\bconst\s+(?=(unsafe\s+)?fn\b)").search(text, start, at)
    return Function(number, file, start, at, close, constant.start() if constant else None)


def mutated(text: str, mutant: Mutant, start: int = 0, end: int | None = None) -> str:
    """A piece of the text with the mutant in it."""
    pieces = []
    for first, last, replacement in sorted(mutant.edits()):
        pieces += [text[start:first], replacement, " "]
        start = last
    return "".join(pieces) + text[start:end]


def write(
    source: Path, tree: Path, functions: list[Function], switch: str = SWITCH
) -> dict[str, list[tuple[int, int, Mutant]]]:
    """Writes every file with all copies; says on which lines each mutant stands."""
    where: dict[str, list[tuple[int, int, Mutant]]] = defaultdict(list)
    by_file = defaultdict(list)
    for one in functions:
        if not one.alone:
            by_file[one.file].append(one)
    for path in sorted((source / "src").rglob("*.rs")):
        file = str(path.relative_to(source))
        text = path.read_text()
        pieces: list[str] = []
        at = 0
        for one in sorted(by_file[file], key=lambda one: one.start):
            head = text[at : one.open + 1]
            if one.constant is not None:
                head = (
                    text[at : one.constant]
                    + " " * len("const")
                    + text[one.constant + len("const") : one.open + 1]
                )
            pieces.append(head + f"\nmatch crate::mutant_switch::on({one.id}) {{\n")
            line = "".join(pieces).count("\n") + 1
            for mutant in one.mutants:
                if mutant.outcome:
                    continue
                arm = f"{mutant.id} => {{\n{mutated(text, mutant, one.open + 1, one.close)}\n}}\n"
                where[file].append((line, line + arm.count("\n"), mutant))
                line += arm.count("\n")
                pieces.append(arm)
            pieces.append(f"_ => {{{text[one.open + 1 : one.close]}}}\n}}\n")
            at = one.close
        pieces.append(text[at:])
        if file == "src/lib.rs":
            pieces.append("\n#[doc(hidden)]\npub mod mutant_switch;\n")
        put(tree / file, "".join(pieces).encode())
    put(tree / "src/mutant_switch.rs", switch.encode())
    return where


def cargo(tree: Path, *arguments: str) -> tuple[list[dict], list[str], bool]:
    """Errors, test programs, and whether it compiled."""
    command = ["cargo", "test", "--no-run", "--message-format=json", *arguments]
    done = subprocess.run(
        command,
        check=False,
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        timeout=BUILD_SECONDS * 4,
    )
    errors, programs = [], []
    for line in done.stdout.splitlines():
        said = json.loads(line)
        if said["reason"] == "compiler-message" and said["message"]["level"] == "error":
            errors.append(said["message"])
        elif (
            said["reason"] == "compiler-artifact"
            and said.get("executable")
            and said["profile"]["test"]
        ):
            programs.append(said["executable"])
    return errors, programs, done.returncode == 0


def compile_all(source: Path, tree: Path, functions: list[Function]) -> None:
    """Takes out what does not compile, until the rest does."""
    for turn in range(1, 40):
        where = write(source, tree, functions)
        errors, _, compiled = cargo(tree, "--lib")
        if compiled:
            return
        out = apart = 0
        for error in errors:
            primary = [span for span in error["spans"] if span["is_primary"]]
            hits = [
                mutant
                for span in primary
                for start, end, mutant in where.get(span["file_name"], [])
                if start <= span["line_start"] < end
            ]
            if hits and (error["code"] or {}).get("code") != "E0015":
                for mutant in hits:
                    out += not mutant.outcome
                    mutant.outcome = "unviable"
                continue
            # A constant calls it, so it stays as it is.
            named = re.search(
                r"non-const (?:fn|function|associated function|method) `(?:\w+::|<[^>]*>::)*(\w+)",
                error["message"],
            )
            for one in functions:
                text = (source / one.file).read_text()
                head = text[one.start : one.open]
                if (
                    named
                    and one.constant is not None
                    and not one.alone
                    and re.search(rf"\bfn {named[1]}\b", head)
                ):
                    one.alone = True
                    apart += 1
        say(f"build {turn}: {out} mutants do not compile, {apart} functions stay constant")
        if not out + apart:
            print("\n".join(error["rendered"] for error in errors[:5]), file=sys.stderr)
            die(
                "the mutated sources do not compile, and it is no mutant's fault; the messages "
                "are above"
            )
    die("the mutated sources do not compile after 40 builds")


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run(
    tree: Path, program: str, arguments: list[str], variables: dict[str, str], seconds: float
) -> str:
    """`passed`, `failed`, or `timeout`."""
    started = subprocess.Popen(
        [program, *arguments],
        cwd=tree,
        env={
            **os.environ,
            "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "1",
            "RUST_BACKTRACE": "0",
            **variables,
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=limit,  # noqa: PLW1509  # one thread
        start_new_session=True,
    )
    try:
        return "passed" if started.wait(timeout=seconds) == 0 else "failed"
    except subprocess.TimeoutExpired:
        return "timeout"
    finally:
        try:
            os.killpg(started.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        started.wait()


def trace(tree: Path, programs: list[str]) -> dict[int, list[Test]]:
    """Which tests enter each function."""
    enters: dict[int, list[Test]] = defaultdict(list)
    said = tree.parent / "trace"
    for program in programs:
        listed = subprocess.run(
            [program, "--list"], cwd=tree, stdout=subprocess.PIPE, text=True, check=True
        )
        names = [
            line.removesuffix(": test")
            for line in listed.stdout.splitlines()
            if line.endswith(": test")
        ]
        began = time.monotonic()
        for name in names:
            said.unlink(missing_ok=True)
            start = time.monotonic()
            variables = {"EDGE_ISR_TRACE": str(said)}
            ended = run(tree, program, ["--exact", name], variables, BUILD_SECONDS)
            test = Test(program, name, time.monotonic() - start)
            entered = set(said.read_text().split()) if said.exists() else set()
            # Those that enter nothing read the sources, which are not as they were.
            if ended != "passed" and entered:
                die(f"{name} of {Path(program).name} fails without a mutant")
            for line in entered:
                enters[int(line)].append(test)
        say(f"{Path(program).name}: {len(names)} tests, {time.monotonic() - began:.0f} s")
    return enters


def short(program: str) -> str:
    """A test program's name without Cargo's hash."""
    return re.sub(r"-[0-9a-f]{16}$", "", Path(program).name)


# How often a program noticed a mutant of a file: it is asked first about the next.
NOTICED: dict[tuple[str, str], int] = defaultdict(int)


def judge(tree: Path, mutant: Mutant, tests: list[Test], tested: bool = True) -> None:
    """Runs a mutant's tests until one fails: the likeliest program first, then the quickest."""
    by_program: dict[str, list[Test]] = defaultdict(list)
    for test in tests:
        by_program[test.program].append(test)

    def order(program: str) -> float:
        return sum(test.seconds for test in by_program[program]) / (
            1 + NOTICED[mutant.file, program]
        )

    for program in sorted(by_program, key=order):
        own = by_program[program]
        seconds = PAUSE_SECONDS + SLOWER * sum(test.seconds for test in own)
        names = [test.name for test in own]
        variables = {"EDGE_ISR_MUTANT": str(mutant.id)}
        ended = run(tree, program, ["--exact", *names] if all(names) else [], variables, seconds)
        if ended != "passed":
            mutant.outcome = "caught" if ended == "failed" else "timeout"
            mutant.by = short(program)
            NOTICED[mutant.file, program] += 1
            return
    mutant.outcome = "survived" if tested else "untested"


def judge_alone(source: Path, tree: Path, mutant: Mutant) -> None:
    """A mutant that has to be compiled by itself, for the tests that noticed most of its file's
    others.
    """
    counts = {
        short(program): count for (file, program), count in NOTICED.items() if file == mutant.file
    }
    programs = sorted(counts, key=lambda program: -counts[program])[:PROGRAMS_ALONE]
    text = (source / mutant.file).read_text()
    (tree / mutant.file).write_text(mutated(text, mutant))
    arguments = [part for program in programs for part in ("--test", program)]
    _, built, compiled = cargo(tree, *arguments)
    if not compiled:
        mutant.outcome = "unviable"
    else:
        judge(tree, mutant, [Test(program, "", ALONE_SECONDS) for program in built])
    (tree / mutant.file).write_text(text)


def put(path: Path, content: bytes) -> None:
    """Writes a file if it differs: what did not change is not compiled again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != content:
        path.write_bytes(content)


def tracked(source: Path) -> set[str]:
    """The tracked and new files of the project."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=source,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.splitlines()
    return {name for name in listed if (source / name).is_file()}


def copy(source: Path, tree: Path, names: set[str], kept: frozenset[str] = frozenset()) -> None:
    """Copies files but for `src`, without the crate's lints: copies of bodies have warnings.

    What else is there goes, but for what is to be kept.
    """
    for old in [path for path in tree.rglob("*") if path.is_file()]:
        if str(old.relative_to(tree)) not in names | kept:
            old.unlink()
    for name in names:
        if not name.startswith("src/") or not name.endswith(".rs"):
            content = (source / name).read_bytes()
            if name == "Cargo.toml":
                content = content[: content.index(b"[lints.")].replace(
                    b'["cdylib", "rlib"]', b'["rlib"]'
                )
                content += b'[lints.rust]\nwarnings = "allow"\n'
            put(tree / name, content)


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


def main() -> None:
    began = time.monotonic()
    options = argparse.ArgumentParser()
    options.add_argument("--only", default="")
    options.add_argument("files", nargs="+")
    given = options.parse_args()
    # What it started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    source = Path(__file__).resolve().parents[2]
    own, tool = source / "target/mutants", source / ".tools/cargo-mutants/bin/cargo-mutants"
    tree = own / "tree"
    copy(source, tree, tracked(source))
    command = [str(tool), "mutants", "--list", "--json"]
    command += [part for file in given.files for part in ("--file", file)]
    command += ["--re", given.only] if given.only else []
    said = subprocess.run(command, check=False, cwd=source, capture_output=True, text=True)
    if said.returncode:
        die(said.stderr)
    explained = json.loads((source / "scripts/lib/mutants.json").read_text())
    functions, loose = read(source, json.loads(said.stdout))
    mutants = sorted(
        [one for inside in functions for one in inside.mutants] + loose, key=lambda one: one.id
    )
    if not mutants:
        die("no mutants there")
    say(f"{len(mutants)} mutants in {len(functions)} functions")
    compile_all(source, tree, functions)
    _, programs, compiled = cargo(tree, "--tests")
    if not compiled:
        die("the tests do not compile: cargo test --no-run")
    say(f"built after {time.monotonic() - began:.0f} s; which tests enter which function?")
    enters = trace(tree, programs)
    none = Mutant(0, "no mutant", "", 0, 0, "", "")
    judge(tree, none, list({test for tests in enters.values() for test in tests}))
    if none.outcome != "survived":
        die(f"without a mutant, {none.by} ends as {none.outcome}")
    later = list(loose)
    open_ends: list[tuple[Mutant, list[Test]]] = []
    for inside in functions:
        if inside.alone:
            later += [mutant for mutant in inside.mutants if not mutant.outcome]
        else:
            open_ends += [
                (mutant, enters[inside.id]) for mutant in inside.mutants if not mutant.outcome
            ]
    for turn, slow in enumerate([False, True], 1):
        left = [
            (mutant, tests)
            for mutant, tests in open_ends
            if not mutant.outcome or (mutant.outcome == "survived" and not why(mutant, explained))
        ]
        say(f"round {turn}: {len(left)} mutants")
        for count, (mutant, tests) in enumerate(left, 1):
            judge(
                tree,
                mutant,
                [test for test in tests if (test.seconds > QUICK_SECONDS) == slow],
                bool(tests),
            )
            if mutant.outcome != "caught":
                say(f"{count}: {mutant.outcome} {mutant.by}: {mutant.name}")
            elif count % 50 == 0:
                say(f"{count} of {len(left)}, {time.monotonic() - began:.0f} s")
    if later:
        say(f"{len(later)} mutants of constants, each a build of its own")
        for path in (source / "src").rglob("*.rs"):
            put(tree / path.relative_to(source), path.read_bytes())
        for mutant in later:
            judge_alone(source, tree, mutant)
            say(f"{mutant.outcome}: {mutant.name}")
    right = explain(mutants, explained, whole=not given.only)
    (own / "outcomes.json").write_text(
        json.dumps([vars(mutant) for mutant in mutants], indent=1) + "\n"
    )
    print(report(mutants, time.monotonic() - began))
    if not right or any(mutant.outcome in UNNOTICED for mutant in mutants):
        sys.exit(1)


if __name__ == "__main__":
    main()
