"""What a hit costs on the runtime, counted: calls across the boundary of WebAssembly in either
direction, awaits, and reads of the colo's cache. The allocations are counted by tests/hit_costs.rs.
What is counted here is raised on purpose only.
"""

import json
import os
import shutil

import pytest
from conftest import Edge
from origin import page
from stack import ROOT, Process, free_port, wait_until

COUNTER = """
globalThis.boundaryCalls = 0;
const countedOne = (one) => typeof one !== "function" ? one : function (...given) {
  globalThis.boundaryCalls += 1;
  return one.apply(this, given);
};
const counted = (functions) =>
  Object.fromEntries(Object.entries(functions).map(([name, one]) => [name, countedOne(one)]));
const { Instance } = WebAssembly;
WebAssembly.Instance = function (module, imports) {
  const rooms = Object.entries(imports).map(([name, functions]) => [name, counted(functions)]);
  return { exports: counted(new Instance(module, Object.fromEntries(rooms)).exports) };
};
"""
VISITOR = {
    "accept": "text/html",
    "accept_language": "de",
    "cookie": "_ga=GA1.2.3",
    "user_agent": "Mozilla/5.0",
}


class Counted(Edge):
    """A worker that reports what each answer took."""

    def __init__(self, directory, origin, **settings):
        build = directory / "build"
        shutil.copytree(os.environ.get("EDGE_ISR_BUILD") or ROOT / "build", build)
        worker = build / "index.js"
        worker.write_text(COUNTER + worker.read_text())
        port = free_port()
        given = {
            "around": str(ROOT / "tests/e2e/counted_worker.mjs"),
            "bindings": {"ORIGIN": origin.url, "EDGE_ISR": settings},
            "build": str(build),
            "persist": str(directory / "state"),
            "port": port,
        }
        arguments = [
            ROOT / "node_modules/.bin/node",
            ROOT / "tests/e2e/wrapped.mjs",
            json.dumps(given),
        ]
        self.process = Process("counted", arguments, directory / "counted.log")
        self.process.wait_for(lambda: "ready\n" in self.process.output(), 60, "ready")
        self.url = f"http://127.0.0.1:{port}"
        super().__init__(self)


@pytest.fixture(scope="module")
def counted(tmp_path_factory, origin):
    worker = Counted(tmp_path_factory.mktemp("counted"), origin)
    yield worker
    worker.process.kill()


@pytest.fixture(scope="module")
def without_memory(tmp_path_factory, origin):
    """Every hit is one in the colo."""
    worker = Counted(tmp_path_factory.mktemp("colo"), origin, memory=0)
    yield worker
    worker.process.kill()


VARY = [("Vary", "Accept-Encoding, Accept-Language, Cookie")]


@pytest.mark.parametrize(
    ("what", "size", "fields", "most"),
    [
        ("a page", 10_000, [], 13),
        ("a variant", 10_000, VARY, 15),
        ("a large page", 10 << 20, [], 13),
    ],
)
def test_a_hit_in_the_colo_reads_its_cache_once_and_no_body(
    without_memory, origin, path, what, size, fields, most
):
    """The calls are as many for a large body as for a small one: none reads it."""
    origin.on(path, page("x" * size, fields=fields))
    ask = lambda: without_memory.get(path, **VISITOR)
    # What the page varies on is known from the first hit on.
    wait_until(lambda: ask().hit and ask().hit, 30, "hits")
    # Now and then one asks for news, too.
    seen = [ask() for _ in range(10)]
    assert all(answer.hit and len(answer.body) == size for answer in seen)
    assert min(int(answer.headers["x-cache-reads"]) for answer in seen) == 1, what
    assert min(int(answer.headers["x-calls"]) for answer in seen) <= most, what
    assert {int(answer.headers["content-length"]) for answer in seen} == {size}


@pytest.mark.parametrize(
    ("what", "fields", "most"),
    [("a page", [], 6), ("a variant", VARY, 8)],
)
def test_a_hit_takes_no_await_and_no_more_calls_than_it_did(
    counted, origin, path, what, fields, most
):
    origin.on(path, page("body", fields=fields))
    ask = lambda: counted.get(path, **VISITOR).headers

    def least():
        """Of many: now and then one goes the longer way, or renews what is said of the age."""
        seen = [ask() for _ in range(10)]
        at_once = [int(headers["x-calls"]) for headers in seen if headers["x-awaited"] == "no"]
        return min(at_once, default=None)

    wait_until(lambda: least() is not None, 10, "hits")
    assert least() <= most, what
