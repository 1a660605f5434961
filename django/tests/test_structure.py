"""How the package is built: no circle of imports, no function and no file that is too long."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import edge_isr

ROOT = Path(edge_isr.__file__).parent
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400


def _module(path):
    name = ".".join(("edge_isr", *path.relative_to(ROOT).with_suffix("").parts))
    return name.removesuffix(".__init__")


FILES = {_module(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(), str(path)) for name, path in FILES.items()}


def imported(name, tree, known):
    """The modules of the package that one needs, wherever in it the import stands."""
    package = name if known[name].name == "__init__.py" else name.rpartition(".")[0]
    named = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            base = ".".join(filter(None, (base, node.module)))
            named |= {
                full if (full := f"{base}.{alias.name}") in known else base for alias in node.names
            }
    # Importing a.b.c from outside of a.b runs a.b first.
    for full in list(named):
        parts = full.split(".")
        named |= {".".join(parts[:at]) for at in range(2, len(parts))}
    return {one for one in named & set(known) if not f"{name}.".startswith(f"{one}.")}


def circle(graph):
    """The modules of a circle of imports, or none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_no_circle_of_imports():
    assert circle({name: imported(name, tree, FILES) for name, tree in TREES.items()}) is None


@pytest.mark.parametrize(
    "source",
    [
        "from .b import x",
        "from . import b",
        "from edge_isr.b import x",
        "import edge_isr.b",
        "def f():\n    from .b import x",
        "if TYPE_CHECKING:\n    from . import b",
        "from .c.d import x",
    ],
)
def test_the_test_sees_a_circle(source):
    """In every form that an import has."""
    known = {
        "edge_isr": Path("__init__.py"),
        "edge_isr.a": Path("a.py"),
        "edge_isr.b": Path("b.py"),
        "edge_isr.c": Path("c/__init__.py"),
        "edge_isr.c.d": Path("c/d.py"),
    }
    sources = {
        "edge_isr": "from .a import x",
        "edge_isr.a": source,
        "edge_isr.b": "from .a import x",
        "edge_isr.c": "from ..a import x",
        "edge_isr.c.d": "",
    }
    assert circle({n: imported(n, ast.parse(s), known) for n, s in sources.items()})


@pytest.mark.parametrize("name", TREES)
def test_no_function_is_too_long(name):
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(TREES[name])
        if isinstance(node, functions) and node.end_lineno - node.lineno >= MAX_FUNCTION_LINES
    }
    assert long == {}


def test_no_file_is_too_long():
    lines = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name: count for name, count in lines.items() if count > MAX_FILE_LINES} == {}
