"""Names the lines that are longer than 100 columns: of documents, of comments in src/, of tests,
scripts, the dashboard, TOML and YAML.

Rows of tables, code in documents and what can't be broken (an address, a name in code) may be
longer; so may, in Rust, a row of a table and a line with nothing but a text. In TOML and YAML a
value without a space, as an address, may be.
"""

import re
import subprocess
import sys

WIDTH = 100
CODE = re.compile(r"(tests|benches|fuzz|scripts|dashboard|\.ci)/")
# A row of a table, and what is nothing but a text: written, or a line of one that has several.
ROW = re.compile(r'\s*(row\(|\(\s*"|json!\(|b?r?#*"|[<{|]|let golden = |const \w+: &\S+ = b?")')
NO_CODE = re.compile(r".*(\.md|\.json|\.txt|\.css|\.svg|\.html|\.lock)$|fuzz/corpus/|tests/golden/")


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


def long_code(text, rows):
    """The numbers of the lines of code that are too long; rows of tables may be, and texts."""
    for number, line in enumerate(text.split("\n"), 1):
        text_alone = rows and (ROW.match(line) or line.endswith("\\"))
        if len(line) > WIDTH and not text_alone:
            yield number


def long_settings(text):
    """The numbers of the lines of TOML or YAML that could be broken and are not."""
    for number, line in enumerate(text.split("\n"), 1):
        value = re.sub(r"^\s*(- )?([\w.-]+\s*[:=]\s*)?", "", line)
        if len(line) > WIDTH and " " in value:
            yield number


def comments(source):
    """The comments of Rust as text, each on the line where it stands and as long as that is."""
    for line in source.split("\n"):
        found = re.match(r"\s*//[/!]? ?", line)
        text = line[found.end() :] if found else ""
        yield line if text and not text.startswith(("|", "```")) else text


def found_in(path, text):
    """The numbers of the lines of a file that are too long."""
    if path.endswith(".md"):
        return long_lines(text)
    if path.startswith("src/"):
        return long_lines("\n".join(comments(text))) if path.endswith(".rs") else []
    if path.endswith((".toml", ".yml", ".yaml")):
        return long_settings(text)
    if CODE.match(path) and not NO_CODE.match(path):
        return long_code(text, path.endswith(".rs"))
    return []


def main():
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, check=True)
    found = 0
    for path in filter(None, listed.stdout.split("\0")):
        try:
            with open(path, encoding="utf-8") as document:
                text = document.read()
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        for number in found_in(path, text):
            print(f"{path}:{number}: longer than {WIDTH} columns")
            found += 1
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
