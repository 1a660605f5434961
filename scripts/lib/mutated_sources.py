"""Sources with all of their mutants in them, for mutants.py and rules.py.

Each mutant stands in a copy of its function's body; an environment variable says which one runs.
"""

import re
import subprocess
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

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
