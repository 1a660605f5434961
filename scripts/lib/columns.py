"""Names the lines of documents, and of comments in src/, that are longer than 100 columns.

Rows of tables, code and what can't be broken (an address, a name in code) may be longer.
"""

import re
import subprocess
import sys

WIDTH = 100


def long_lines(text):
    """The numbers of the lines that could be broken and are not."""
    code = False
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("```"):
            code = not code
        if len(line) <= WIDTH or code or line.startswith("|"):
            continue
        start = len(line) - len(re.sub(r"^\s*([-*>]|\d+\.)?\s*", "", line))
        words = re.sub(
            r"`[^`]*`|\]\([^)]*\)", lambda found: found[0].replace(" ", "_"), line[start:]
        )
        if " " in words[: WIDTH - start]:
            yield number


def comments(source):
    """The comments of Rust as text, each on the line where it stands and as long as that is."""
    for line in source.split("\n"):
        found = re.match(r"\s*//[/!]? ?", line)
        text = line[found.end() :] if found else ""
        yield line if text and not text.startswith(("|", "```")) else text


def main():
    listed = subprocess.run(
        ["git", "ls-files", "*.md", "src/*.rs"], capture_output=True, text=True, check=True
    )
    found = 0
    for path in listed.stdout.split():
        with open(path, encoding="utf-8") as document:
            text = document.read()
            for number in long_lines("\n".join(comments(text)) if path.endswith(".rs") else text):
                print(f"{path}:{number}: longer than {WIDTH} columns")
                found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
