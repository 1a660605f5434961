"""Checks a deployment, builds it, and hands it to wrangler.

What the worker would refuse at run time is refused here first: the settings go through the worker's
own parser (`edge-isr-check`), and `deploy_checks` knows what wrangler.toml must hold. Settings too
large for a variable are compiled into the worker instead, and left out of the file that wrangler
gets.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

from deploy_checks import REQUIRED_SECRETS, Report, check_file, effective

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "node_modules" / ".bin"
WRANGLER = TOOLS / "wrangler"
# Cloudflare takes variables of up to 5 KB.
MAX_VARIABLE_BYTES = 5_000


def process_environment(**changes):
    """The environment of the programs run here. Wrangler needs the pinned Node.js, whichever the
    machine has.
    """
    own = {
        name: value
        for name, value in os.environ.items()
        if name not in ("EDGE_ISR_RULES", *REQUIRED_SECRETS)
    }
    return {**own, "PATH": f"{TOOLS}{os.pathsep}{os.environ.get('PATH', '')}", **changes}


class DeployError(Exception):
    """The deployment can't go on; the message says why and what to do."""


def read(file):
    """The parsed file."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DeployError(f"cannot read {file}: {error}") from None
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DeployError(f"{file} is not TOML: {error}") from None


def settings_text(variables):
    """The content of EDGE_ISR, as the worker gets it."""
    settings = variables.get("EDGE_ISR", {})
    if isinstance(settings, str):
        return settings
    return json.dumps(settings, separators=(",", ":"), ensure_ascii=False, default=str)


def check_settings(report, settings, origin, hosts, secrets):
    """What the worker's own parser says of the settings, the origin and the secrets at hand."""
    command = ["cargo", "run", "--quiet", "--bin", "edge-isr-check", "--", "-"]
    if isinstance(origin, str):
        command += ["--origin", origin]
    for host in hosts:
        command += ["--worker-host", host]
    run = subprocess.run(
        command,
        cwd=ROOT,
        env=process_environment(**secrets),
        input=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode == 1:
        for line in filter(None, run.stdout.splitlines()):
            own = line.startswith(("EDGE_ISR", "ORIGIN", *REQUIRED_SECRETS))
            report.problem(line if own else f"EDGE_ISR.{line}")
    elif run.returncode != 0:
        raise DeployError(f"the settings could not be checked:\n{run.stderr.strip()}")
    for line in run.stderr.splitlines():
        if line.startswith("warning: ") and run.returncode in (0, 1):
            report.note(line.removeprefix("warning: "))


def local_secrets(file, environment):
    """The secrets that a dry run can see, and where they come from; None where there is nothing to
    look at.
    """
    for name in (f".dev.vars.{environment}", ".dev.vars"):
        path = file.parent / name
        if path.is_file():
            return parse_dotenv(path.read_text(encoding="utf-8")), name
    known = {name: os.environ[name] for name in REQUIRED_SECRETS if os.environ.get(name)}
    return (known, "the environment") if known else (None, None)


def parse_dotenv(text):
    """NAME=value lines, values optionally quoted."""
    secrets = {}
    for line in text.splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if separator and not name.startswith("#"):
            secrets[name.strip()] = value.strip().strip("\"'")
    return secrets


def deployed_secrets(arguments):
    """The names of the secrets that Cloudflare has for the worker."""
    command = [WRANGLER, "secret", "list", "--format", "json", "--env", arguments.env]
    command = [*map(str, command), "--config", str(arguments.config)]
    run = subprocess.run(
        command, cwd=ROOT, env=process_environment(), capture_output=True, text=True, check=False
    )
    try:
        return {secret["name"] for secret in json.loads(run.stdout[run.stdout.index("[") :])}
    except (ValueError, KeyError, TypeError):
        said = (run.stderr or run.stdout).strip()
        if "10007" in said:
            return set()  # the worker does not exist yet: `wrangler secret put` creates it
        raise DeployError(
            f"wrangler secret list failed; are you logged in (wrangler login)?\n{said}"
        ) from None


def check_secrets(report, arguments, names, where):
    """Names what is missing. `names` is None where nothing can be known."""
    if names is None:
        report.note(
            f"secrets can't be checked in a dry run without .dev.vars.{arguments.env}: "
            f"{', '.join(REQUIRED_SECRETS)} must be set"
        )
        return
    for name, purpose in REQUIRED_SECRETS.items():
        if name not in names:
            report.problem(
                f"secret {name} is missing in {where} ({purpose}): "
                f"wrangler secret put {name} --env {arguments.env}"
            )
    if "ORIGIN_SECRET" not in names:
        report.note(
            "without the secret ORIGIN_SECRET the origin can't refuse requests that bypass the edge"
        )


def check(arguments):
    """The report, the parsed file, and the settings' text."""
    config = read(arguments.config)
    report = Report()
    found = check_file(report, config, arguments.env)
    if found is None:
        return report, config, "{}"
    variables, hosts = found
    settings = settings_text(variables)
    if arguments.dry_run or arguments.check:
        secrets, where = local_secrets(arguments.config, arguments.env)
        values = {name: (secrets or {}).get(name, "") for name in REQUIRED_SECRETS}
        names = None if secrets is None else {name for name, value in secrets.items() if value}
    else:
        values, names, where = {}, deployed_secrets(arguments), "Cloudflare"
    check_secrets(report, arguments, names, where)
    check_settings(report, settings, variables.get("ORIGIN"), hosts, values)
    if is_large(settings):
        report.note(
            f"EDGE_ISR has {len(settings.encode())} bytes, and a variable at most "
            f"{MAX_VARIABLE_BYTES}: "
            "it is compiled into the worker"
        )
    return report, config, settings


def is_large(settings):
    """Whether the settings exceed what a variable holds."""
    return len(settings.encode()) > MAX_VARIABLE_BYTES


def without_settings(config, environment):
    """The file without EDGE_ISR, for settings that are compiled in."""
    reduced = json.loads(json.dumps(config, default=str))
    for variables in (reduced.get("vars", {}), effective(reduced, environment, "vars")):
        variables.pop("EDGE_ISR", None)
    return reduced


def deploy(arguments, config, settings):
    """Builds, and runs wrangler."""
    env = process_environment()
    command = [str(WRANGLER), "deploy", "--env", arguments.env]
    if arguments.dry_run:
        command.append("--dry-run")
    if not is_large(settings):
        run([str(ROOT / "scripts" / "build")], env)
        run([*command, "--config", str(arguments.config)], env)
        return
    env["EDGE_ISR_RULES"] = settings
    run([str(ROOT / "scripts" / "build")], env)
    # Beside the file that it stands for: wrangler takes paths in it relative to it.
    reduced = without_settings(config, arguments.env)
    with tempfile.NamedTemporaryFile(
        "w", dir=arguments.config.parent, prefix=".wrangler-", suffix=".json", encoding="utf-8"
    ) as file:
        json.dump(reduced, file)
        file.flush()
        run([*command, "--config", file.name], env)


def run(command, env):
    """Runs a program whose output is the user's."""
    sys.stdout.flush()
    done = subprocess.run(command, cwd=ROOT, env=env, check=False)
    if done.returncode != 0:
        raise DeployError(f"{Path(command[0]).name} failed; its messages are above")


def parse_arguments(words):
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/deploy", add_help=False, allow_abbrev=False)
    parser.add_argument("--env", default="staging", metavar="NAME")
    parser.add_argument("--config", default=ROOT / "wrangler.toml", type=Path, metavar="FILE")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true")
    mode.add_argument("--check", action="store_true")
    arguments = parser.parse_args(words)
    arguments.config = arguments.config.resolve()
    return arguments


def main(words=None):
    """Checks, and deploys what has no problem."""
    arguments = parse_arguments(words)
    try:
        report, config, settings = check(arguments)
        for note in report.notes:
            print(f"deploy: note: {note}", file=sys.stderr)
        if report.problems:
            count = len(report.problems)
            raise DeployError(
                f"{count} problem{'s' if count > 1 else ''} in {arguments.config.name}, "
                "environment "
                f"{arguments.env}:\n" + "\n".join(f"  - {problem}" for problem in report.problems)
            )
        print(
            f"deploy: {arguments.config.name}, environment {arguments.env}: nothing is wrong",
            flush=True,
        )
        if not arguments.check:
            deploy(arguments, config, settings)
    except DeployError as error:
        print(f"deploy: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
