"""What a hit in memory costs on the runtime, counted: calls across the boundary of WebAssembly in
either direction, and awaits. The allocations are counted by tests/hit_costs.rs. What is counted
here is raised on purpose only.
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
    """A worker that tells what each answer took."""

    def __init__(self, directory, origin):
        build = directory / "build"
        shutil.copytree(os.environ.get("EDGE_ISR_BUILD") or ROOT / "build", build)
        worker = build / "index.js"
        worker.write_text(COUNTER + worker.read_text())
        port = free_port()
        given = {
            "around": str(ROOT / "tests/e2e/counted_worker.mjs"),
            "bindings": {"ORIGIN": origin.url},
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


@pytest.mark.parametrize(
    ("what", "fields", "most"),
    [("a page", [], 6), ("a variant", [("Vary", "Accept-Encoding, Accept-Language, Cookie")], 11)],
)
def test_a_hit_takes_no_await_and_no_more_calls_than_it_did(
    counted, origin, path, what, fields, most
):
    origin.on(path, page("body", fields=fields))
    ask = lambda: counted.get(path, **VISITOR).headers

    def least():
        """Of many: now and then one goes the longer way, or renews what is said of the age."""
        told = [ask() for _ in range(10)]
        at_once = [int(headers["x-calls"]) for headers in told if headers["x-awaited"] == "no"]
        return min(at_once, default=None)

    wait_until(lambda: least() is not None, 10, "hits")
    assert least() <= most, what
