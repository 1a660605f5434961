"""Puts the machine beside the figures of a benchmark, and both into the results.

bench.py PART FIGURES RESULTS
"""

import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path


def words(*command: str) -> str:
    """What a command prints, or that it is not known."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def field(path: str, name: str) -> str:
    """The first value of a name in one of the system's tables."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return "unknown"
    found = (line.split(":", 1)[1].strip() for line in lines if line.startswith(name))
    return next(found, "unknown")


def main() -> None:
    """Writes the results of one part, leaves the other as it is, and prints a table."""
    part, (figures, results) = sys.argv[1], (Path(argument) for argument in sys.argv[2:])
    known = json.loads(results.read_text()) if results.exists() else {}
    measured = {
        "commit": words("git", "describe", "--always", "--dirty", "--abbrev=7"),
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "machine": {
            "processor": field("/proc/cpuinfo", "model name"),
            "cores": os.cpu_count(),
            "memory": field("/proc/meminfo", "MemTotal"),
            "system": platform.platform(),
            "rustc": words("rustc", "--version"),
            "load_of_the_last_minutes": os.getloadavg(),
        },
        **json.loads(figures.read_text().splitlines()[-1]),
    }
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps({**known, part: measured}, indent=2) + "\n")
    if "pages" in measured:
        print(f"{measured['pages']:,} pages, {measured['tags_per_page']} tags each")
    for figure in measured["figures"]:
        spread = f"{figure['lowest']:,.2f} to {figure['highest']:,.2f}" if figure["of"] > 1 else ""
        bound = f"({figure['bound']})" if figure["bound"] else ""
        print(f"{figure['median']:>14,.2f} {figure['unit']:<13} {figure['name']} {bound} {spread}")
    for cell in measured.get("cells", []):
        print(f"{cell['name']}, {cell['readers']} readers, origin {cell['origin_ms']} ms")
        for one in cell["found"]:
            rate, errors = one["answers_a_second"], one["own_errors"]
            print(f"{rate:>14,.0f} answers/s, {errors} errors of its own: {one['by']}")
    for name, counts in measured.get("operations", {}).items():
        listed = ", ".join(f"{what} {number:.3g}" for what, number in counts.items())
        print(f"{name}: {listed or 'nothing'}")


if __name__ == "__main__":
    main()
