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
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from mutant_report import UNNOTICED, explain, report, say, why
from mutated_sources import Function, Mutant, copy, mutated, put, read, tracked, write

# A mutant that takes this many times as long as the tests do without it, and a pause for the start,
# runs for ever.
SLOWER, PAUSE_SECONDS = 5, 5
# Tests that take longer than this come in a second round, for the mutants that the others did not
# notice.
QUICK_SECONDS = 1.0
# One that builds an endless list ends at this much memory.
MOST_BYTES = 8 << 30
# Constants, and functions that they call, cannot ask which mutant is on. Each of their mutants is a
# build of its own, with the programs that noticed most of the file's others, and so many seconds
# for each.
PROGRAMS_ALONE, ALONE_SECONDS = 4, 10
BUILD_SECONDS = 600


def die(text: str) -> None:
    say(f"error: {text}")
    sys.exit(1)


@dataclass(frozen=True)
class Test:
    program: str
    name: str
    seconds: float


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


def listed(source: Path, files: list[str], only: str) -> list[dict]:
    """The mutants that cargo-mutants names."""
    command = [
        str(source / ".tools/cargo-mutants/bin/cargo-mutants"),
        "mutants",
        "--list",
        "--json",
    ]
    command += [part for file in files for part in ("--file", file)]
    command += ["--re", only] if only else []
    said = subprocess.run(command, check=False, cwd=source, capture_output=True, text=True)
    if said.returncode:
        die(said.stderr)
    return json.loads(said.stdout)


def traced(tree: Path, began: float) -> dict[int, list[Test]]:
    """Which tests enter each function; all of them pass where no mutant is on."""
    _, programs, compiled = cargo(tree, "--tests")
    if not compiled:
        die("the tests do not compile: cargo test --no-run")
    say(f"built after {time.monotonic() - began:.0f} s; which tests enter which function?")
    enters = trace(tree, programs)
    none = Mutant(0, "no mutant", "", 0, 0, "", "")
    judge(tree, none, list({test for tests in enters.values() for test in tests}))
    if none.outcome != "survived":
        die(f"without a mutant, {none.by} ends as {none.outcome}")
    return enters


def judge_round(
    tree: Path, left: list[tuple[Mutant, list[Test]]], slow: bool, began: float
) -> None:
    """Runs the quick tests of each mutant, or the slow ones."""
    for count, (mutant, tests) in enumerate(left, 1):
        chosen = [test for test in tests if (test.seconds > QUICK_SECONDS) == slow]
        judge(tree, mutant, chosen, bool(tests))
        if mutant.outcome != "caught":
            say(f"{count}: {mutant.outcome} {mutant.by}: {mutant.name}")
        elif count % 50 == 0:
            say(f"{count} of {len(left)}, {time.monotonic() - began:.0f} s")


def judge_constants(source: Path, tree: Path, mutants: list[Mutant]) -> None:
    """The mutants that are a build of their own each."""
    say(f"{len(mutants)} mutants of constants, each a build of its own")
    for path in (source / "src").rglob("*.rs"):
        put(tree / path.relative_to(source), path.read_bytes())
    for mutant in mutants:
        judge_alone(source, tree, mutant)
        say(f"{mutant.outcome}: {mutant.name}")


def judge_all(
    source: Path,
    tree: Path,
    functions: list[Function],
    loose: list[Mutant],
    explained: list[dict],
    began: float,
) -> None:
    """What becomes of each mutant."""
    enters = traced(tree, began)
    undecided = [
        (mutant, enters[inside.id])
        for inside in functions
        if not inside.alone
        for mutant in inside.mutants
        if not mutant.outcome
    ]
    for turn, slow in enumerate([False, True], 1):
        left = [
            (mutant, tests)
            for mutant, tests in undecided
            if not mutant.outcome or (mutant.outcome == "survived" and not why(mutant, explained))
        ]
        say(f"round {turn}: {len(left)} mutants")
        judge_round(tree, left, slow, began)
    constants = loose + [
        mutant
        for inside in functions
        if inside.alone
        for mutant in inside.mutants
        if not mutant.outcome
    ]
    if constants:
        judge_constants(source, tree, constants)


def main() -> None:
    began = time.monotonic()
    options = argparse.ArgumentParser()
    options.add_argument("--only", default="")
    options.add_argument("files", nargs="+")
    given = options.parse_args()
    # What it started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    source = Path(__file__).resolve().parents[2]
    own = source / "target/mutants"
    tree = own / "tree"
    copy(source, tree, tracked(source))
    explained = json.loads((source / "scripts/lib/mutants.json").read_text())
    functions, loose = read(source, listed(source, given.files, given.only))
    mutants = sorted(
        [one for inside in functions for one in inside.mutants] + loose, key=lambda one: one.id
    )
    if not mutants:
        die("no mutants there")
    say(f"{len(mutants)} mutants in {len(functions)} functions")
    compile_all(source, tree, functions)
    judge_all(source, tree, functions, loose, explained, began)
    right = explain(mutants, explained, whole=not given.only)
    (own / "outcomes.json").write_text(
        json.dumps([vars(mutant) for mutant in mutants], indent=1) + "\n"
    )
    print(report(mutants, time.monotonic() - began))
    if not right or any(mutant.outcome in UNNOTICED for mutant in mutants):
        sys.exit(1)


if __name__ == "__main__":
    main()
