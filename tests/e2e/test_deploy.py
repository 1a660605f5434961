"""What scripts/deploy refuses, and what it hands on: each row is the deployment file with one thing
wrong.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

import deploy  # noqa: E402
from stack import WEBHOOK_SECRET  # noqa: E402

KV_ID = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
SECRETS = (
    f'WEBHOOK_SECRETS="{WEBHOOK_SECRET}"\nTOKENS=ci:read:0123456789abcdef\nORIGIN_SECRET=s3cret\n'
)


def own_file():
    """The deployment file as an operator has it: own hosts, own namespaces, built already."""
    text = (ROOT / "wrangler.toml").read_text()
    text = text.replace("origin.example.com", "origin.edge-isr-site.net").replace(
        "example.com", "edge-isr-site.net"
    )
    text = text.replace("# routes = ", "routes = ")
    text = text.replace('main = "build/index.js"', f'main = "{ROOT}/build/index.js"')
    text = text.replace('directory = "build/', f'directory = "{ROOT}/build/')
    return text.replace('command = "scripts/build"', 'command = "true"')


def in_production(text, old, new):
    """The file with something replaced in the part of production alone."""
    before, mark, production = text.partition("[env.production]")
    assert old in production, f"wrangler.toml no longer has {old!r} for production"
    return before + mark + production.replace(old, new, 1)


@pytest.fixture
def check(tmp_path):
    """Runs the checks on a file's text; the exit status, and all that was printed."""

    def run(text, *arguments, secrets=SECRETS, mode="--check", env=None):
        file = tmp_path / "wrangler.toml"
        file.write_text(text)
        if secrets is not None:
            (tmp_path / ".dev.vars").write_text(secrets)
        given = [mode, "--env", "production", "--config", file, *arguments]
        clean = {n: v for n, v in os.environ.items() if n not in ("WEBHOOK_SECRETS", "TOKENS")}
        done = subprocess.run(
            [sys.executable, ROOT / "scripts" / "lib" / "deploy.py", *given],
            env={**clean, **(env or {})},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.mark.parametrize("environment", ["staging", "production"])
def test_the_file_with_own_names_has_nothing_wrong(check, environment):
    status, said = check(own_file(), "--env", environment)
    assert (status, said) == (
        0,
        f"deploy: wrangler.toml, environment {environment}: nothing is wrong\n",
    )


def test_the_file_as_it_comes_is_refused_for_its_placeholders(check):
    status, said = check((ROOT / "wrangler.toml").read_text())
    assert status == 1
    assert "ORIGIN: origin.example.com is a placeholder" in said
    assert "env.production.routes is missing" in said


ORIGIN = 'ORIGIN = "https://origin.edge-isr-site.net"'
ROUTES = 'routes = [{ pattern = "www.edge-isr-site.net/*", zone_name = "edge-isr-site.net" }]'
DEFAULTS = "[env.production.vars.EDGE_ISR.defaults]"
JOURNAL = 'name = "JOURNAL"\nclass_name = "Journal"'

# id, what to replace in production's part, by what, what is reported
PRODUCTION_ROWS = [
    ("origin missing", ORIGIN, "", "vars.ORIGIN is missing"),
    ("origin empty", ORIGIN, 'ORIGIN = ""', "vars.ORIGIN is missing"),
    (
        "origin a placeholder",
        ORIGIN,
        'ORIGIN = "https://www.example.org"',
        "www.example.org is a placeholder",
    ),
    ("origin to be filled in", ORIGIN, 'ORIGIN = "https://<your-origin>"', "ORIGIN: "),
    ("origin not a URL", ORIGIN, 'ORIGIN = "origin"', "ORIGIN: not a URL"),
    (
        "origin of another scheme",
        ORIGIN,
        'ORIGIN = "ftp://origin.edge-isr-site.net"',
        "http:// or https://",
    ),
    (
        "origin with credentials",
        ORIGIN,
        'ORIGIN = "https://u:p@o.edge-isr-site.net"',
        "no user name or password",
    ),
    (
        "origin of this machine",
        ORIGIN,
        'ORIGIN = "http://localhost:8000"',
        "can't be reached from Cloudflare",
    ),
    ("origin an address", ORIGIN, 'ORIGIN = "http://192.168.1.10"', "192.168.1.10 is an address"),
    (
        "origin the worker",
        ORIGIN,
        'ORIGIN = "https://www.edge-isr-site.net"',
        "is the worker itself",
    ),
    (
        "origin the worker, in capitals",
        ORIGIN,
        'ORIGIN = "https://WWW.edge-isr-site.net/"',
        "is the worker itself",
    ),
    (
        "origin below a wildcard route",
        '"www.edge-isr-site.net/*"',
        '"*.edge-isr-site.net/*"',
        "is the worker itself",
    ),
    ("no routes", ROUTES, "", "env.production.routes is missing"),
    (
        "a route of a placeholder",
        "www.edge-isr-site.net/*",
        "www.example.com/*",
        "www.example.com is a placeholder",
    ),
    (
        "a route without pattern",
        ROUTES,
        'routes = [{ zone_name = "edge-isr-site.net" }]',
        "has no pattern",
    ),
    (
        "a route of a part",
        "www.edge-isr-site.net/*",
        "www.edge-isr-site.net/blog/*",
        "does not cover the whole host",
    ),
    ("workers.dev", ROUTES, f"{ROUTES}\nworkers_dev = true", "workers_dev must be false"),
    (
        "Workers Caching",
        ROUTES,
        f"{ROUTES}\ncache = {{ enabled = true }}",
        "cache.enabled must not be set",
    ),
    (
        "a secret in the file",
        ORIGIN,
        f'{ORIGIN}\nTOKENS = "ci:read:0123456789"',
        "vars.TOKENS is a secret",
    ),
    (
        "a variable too large",
        ORIGIN,
        f'{ORIGIN}\nNOTE = "{"x" * 5001}"',
        "vars.NOTE has 5001 bytes",
    ),
    (
        "no journal",
        JOURNAL,
        'name = "OTHER"\nclass_name = "Journal"',
        "the binding JOURNAL (class Journal) is missing",
    ),
    (
        "the journal of another class",
        JOURNAL,
        'name = "JOURNAL"\nclass_name = "IndexShard"',
        "must be of the class",
    ),
    (
        "the journal of another worker",
        JOURNAL,
        f'{JOURNAL}\nscript_name = "other"',
        "without script_name",
    ),
    (
        "no shards",
        'name = "SHARDS"',
        'name = "SHARD"',
        "the binding SHARDS (class IndexShard) is missing",
    ),
    ("no pages", 'binding = "PAGES"', 'binding = "PAGE"', "the binding PAGES is missing"),
    (
        "an example's id",
        'binding = "PAGES"',
        'binding = "PAGES"\nid = "your-namespace-id"',
        "not a namespace's",
    ),
    (
        "an id of zeros",
        'binding = "PAGES"',
        f'binding = "PAGES"\nid = "{"0" * 32}"',
        "not a namespace's",
    ),
    ("a wrong setting", DEFAULTS, f'{DEFAULTS}\nttl = "abc"', "EDGE_ISR.defaults.ttl: "),
    ("an unknown setting", DEFAULTS, f"{DEFAULTS}\nttll = 5", "EDGE_ISR.defaults.ttll"),
    (
        "an unknown location",
        DEFAULTS,
        f'[env.production.vars.EDGE_ISR]\nlocation_hint = "moon"\n{DEFAULTS}',
        "EDGE_ISR.location_hint: ",
    ),
    (
        "an unknown jurisdiction",
        DEFAULTS,
        f'[env.production.vars.EDGE_ISR]\njurisdiction = "us"\n{DEFAULTS}',
        "EDGE_ISR.jurisdiction: ",
    ),
]


@pytest.mark.parametrize(
    "old, new, want", [row[1:] for row in PRODUCTION_ROWS], ids=[row[0] for row in PRODUCTION_ROWS]
)
def test_a_wrong_environment_is_refused(check, old, new, want):
    status, said = check(in_production(own_file(), old, new))
    assert status == 1
    assert "environment production:" in said
    assert want in said


def test_workers_caching_may_be_set_where_it_is_purged(check):
    front_cache = (
        '[[env.production.vars.EDGE_ISR.front_caches]]\nname = "before"\nprovider = "workers-cache"'
    )
    text = in_production(own_file(), ROUTES, f"{ROUTES}\ncache = {{ enabled = true }}")
    status, said = check(f"{text}\n{front_cache}\n")
    assert (status, "cache.enabled" in said) == (0, False), said


SHARED = [
    (
        "no migration",
        'new_sqlite_classes = ["Journal", "IndexShard"]',
        'new_sqlite_classes = ["Journal"]',
        "no new_sqlite_classes creates IndexShard",
    ),
    (
        "a migration without SQLite",
        "new_sqlite_classes",
        "new_classes",
        "Journal stands in new_classes",
    ),
    ("workers_dev left out", "workers_dev = false", "", "workers_dev must be false"),
    (
        "no date",
        'compatibility_date = "',
        '# compatibility_date = "',
        "compatibility_date is missing",
    ),
    (
        "Workers Caching for all",
        "workers_dev = false",
        "workers_dev = false\ncache = { enabled = true }",
        "cache.enabled must not be set",
    ),
    (
        "assets in front of the site",
        "run_worker_first = true",
        "run_worker_first = false",
        "files would be served in place of the site's pages",
    ),
    (
        "assets that the worker can't ask for",
        'binding = "ASSETS"',
        'binding = "FILES"',
        "assets: the binding must be ASSETS",
    ),
    (
        "routes for all environments",
        "workers_dev = false",
        'workers_dev = false\nroutes = ["www.edge-isr-site.net/*"]',
        "every environment would serve them",
    ),
]


@pytest.mark.parametrize(
    "old, new, want", [row[1:] for row in SHARED], ids=[row[0] for row in SHARED]
)
def test_a_wrong_top_of_the_file_is_refused(check, old, new, want):
    text = own_file()
    assert old in text
    text = text.replace(old, new)
    if "every environment" in want:
        text = in_production(text, ROUTES, "")
    status, said = check(text)
    assert status == 1
    assert want in said


def test_a_file_without_assets_is_deployed_without_the_dashboard(check):
    before, _, after = own_file().partition("[assets]")
    status, said = check(before + after[after.index("[observability]") :])
    assert (status, "there is no dashboard" in said) == (0, True), said


def test_two_environments_may_not_share_a_namespace(check):
    text = own_file().replace('binding = "PAGES"', f'binding = "PAGES"\nid = "{KV_ID}"')
    status, said = check(text)
    assert status == 1
    assert "PAGES is the namespace of env.staging too" in said
    assert (
        check(in_production(own_file(), 'binding = "PAGES"', f'binding = "PAGES"\nid = "{KV_ID}"'))[
            0
        ]
        == 0
    )


def test_pages_may_be_a_bucket(check):
    """L2 is a KV namespace or an R2 bucket."""
    bucket = '[[env.production.r2_buckets]]\nbucket_name = "pages"\nbinding = "PAGES"'
    assert (
        check(
            in_production(own_file(), '[[env.production.kv_namespaces]]\nbinding = "PAGES"', bucket)
        )[0]
        == 0
    )


def test_all_problems_are_reported_at_once_and_nothing_is_built(check):
    text = in_production(own_file(), ORIGIN, 'ORIGIN = "https://www.edge-isr-site.net"')
    text = in_production(text, 'name = "SHARDS"', 'name = "SHARD"')
    text = in_production(text, DEFAULTS, f"{DEFAULTS}\nttl = -1\nttll = 5")
    status, said = check(text, secrets="", mode="--dry-run")
    assert status == 1
    assert re.search(r"error: 6 problems in wrangler\.toml, environment production:", said), said
    assert "build" not in said
    for want in (
        "is the worker itself",
        "SHARDS",
        "ttl: ",
        "ttll",
        "WEBHOOK_SECRETS is missing",
        "TOKENS is missing",
    ):
        assert want in said


def test_missing_and_broken_secrets_are_named_and_never_printed(check):
    status, said = check(own_file(), secrets='TOKENS="ci:everything:hunter2hunter2"\n')
    assert status == 1
    assert "secret WEBHOOK_SECRETS is missing in .dev.vars" in said
    assert "wrangler secret put WEBHOOK_SECRETS --env production" in said
    assert "TOKENS: number 1 has a scope other than" in said
    assert "hunter2" not in said


def test_secrets_that_cannot_be_seen_are_a_note(check):
    status, said = check(own_file(), secrets=None)
    assert status == 0
    assert "note: secrets can't be checked" in said


def test_secrets_of_the_environment_count(check):
    status, said = check(own_file(), secrets=None, env={"WEBHOOK_SECRETS": WEBHOOK_SECRET})
    assert status == 1
    assert "secret TOKENS is missing in the environment" in said
    assert "secret WEBHOOK_SECRETS" not in said


def large_rules(count):
    """Many route rules, as TOML."""
    rule = '\n[[env.production.vars.EDGE_ISR.routes]]\npath = "/part-{}/*"\nttl = 60\nswr = 600\n'
    return "".join(rule.format(number) for number in range(count))


def test_settings_too_large_for_a_variable_are_compiled_in(check):
    text = own_file() + large_rules(200)
    status, said = check(text)
    assert status == 0
    assert re.search(
        r"EDGE_ISR has \d+ bytes, and a variable at most 5000: it is compiled into the worker", said
    )
    status, said = check(
        text + '\n[[env.production.vars.EDGE_ISR.routes]]\npath = "/x/*"\nttl = "long"\n'
    )
    assert status == 1
    assert "EDGE_ISR.routes[201].ttl" in said


def test_compiled_in_settings_leave_the_file_and_reach_the_build(tmp_path, monkeypatch):
    file = tmp_path / "wrangler.toml"
    file.write_text(own_file() + large_rules(200))
    (tmp_path / ".dev.vars").write_text(SECRETS)
    runs = []

    def record(command, env):
        config = Path(command[command.index("--config") + 1]) if "--config" in command else None
        runs.append(
            (Path(command[0]).name, env.get("EDGE_ISR_RULES"), config and config.read_text())
        )

    monkeypatch.setattr(deploy, "run", record)
    monkeypatch.setenv("EDGE_ISR_RULES", "{}")
    assert deploy.main(["--dry-run", "--env", "production", "--config", str(file)]) == 0
    (build, built_with, _), (wrangler, deployed_with, config) = runs
    assert (build, wrangler) == ("build", "wrangler")
    assert built_with == deployed_with
    assert len(json.loads(built_with)["routes"]) == 201
    production = json.loads(config)["env"]["production"]
    assert production["vars"] == {"ORIGIN": "https://origin.edge-isr-site.net"}
    assert not list(tmp_path.glob(".wrangler-*")), "the reduced file was left behind"

    runs.clear()
    file.write_text(own_file())
    assert deploy.main(["--dry-run", "--env", "production", "--config", str(file)]) == 0
    assert [run[1] for run in runs] == [None, None], (
        "rules of an earlier deployment were compiled in"
    )


@pytest.mark.parametrize(
    "text, want",
    [("[vars\n", "is not TOML"), (None, "cannot read")],
    ids=["not TOML", "no file"],
)
def test_a_file_that_cannot_be_read_is_an_error(check, tmp_path, text, want):
    arguments = [] if text else ["--config", str(tmp_path / "nothing.toml")]
    status, said = check(text or "", *arguments)
    assert status == 1
    assert want in said


def test_an_unknown_environment_names_the_known_ones(check):
    status, said = check(own_file(), "--env", "live")
    assert status == 1
    assert "there is no [env.live] (environments in the file: production, staging)" in said


def test_a_wrong_command_line_is_a_usage_error(check):
    assert check(own_file(), "--dryrun")[0] == 2
    assert check(own_file(), "--dry-run")[0] == 2, "--check and --dry-run exclude each other"


def test_a_dry_run_goes_through_wrangler(check):
    """The one test that builds and bundles: no account, no network."""
    status, said = check(own_file(), mode="--dry-run", env={"WRANGLER_SEND_METRICS": "false"})
    assert status == 0, said
    for binding in ("env.JOURNAL", "env.SHARDS", "env.PAGES", "env.ASSETS", "env.ORIGIN"):
        assert binding in said
    assert "--dry-run: exiting now" in said
