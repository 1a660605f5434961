"""What wrangler.toml must hold for edge-isr to work: one function per rule, each adds to a report.

Pure: no process, no network, no file. What the settings in EDGE_ISR mean is for the worker's own
parser.
"""

import fnmatch
import ipaddress
import json
import re
from urllib.parse import urlsplit

REQUIRED_SECRETS = {
    "WEBHOOK_SECRETS": "what webhooks are signed with",
    "TOKENS": "who may call the control API",
}
SECRETS = {*REQUIRED_SECRETS, "ORIGIN_SECRET", "FRONT_CACHE_SECRETS"}
OBJECTS = {"JOURNAL": "Journal", "SHARDS": "IndexShard"}
# Cloudflare's limit of one variable; EDGE_ISR alone can be compiled in.
MAX_VARIABLE_BYTES = 5_000
# Keys that an environment does not take over from the top of the file (Wrangler: non-inheritable
# keys).
NOT_INHERITED = {"vars", "durable_objects", "kv_namespaces", "r2_buckets"}
# Names that stand for "yours" (RFC 2606, RFC 6761), and those that only this machine knows.
PLACEHOLDER = re.compile(r"(^|\.)(example(\.(com|net|org))?|invalid|test)$|^your|<|>")
LOCAL = re.compile(r"(^|\.)(localhost|local|internal)$")
KV_ID = re.compile(r"[0-9a-f]{32}")


class Report:
    """Problems, which prevent a deployment, and notes, which don't."""

    def __init__(self):
        self.problems = []
        self.notes = []

    def problem(self, text):
        """Adds a problem, once."""
        if text not in self.problems:
            self.problems.append(text)

    def note(self, text):
        """Adds a note."""
        self.notes.append(text)


def effective(config, environment, key):
    """The value of a key for an environment, by Wrangler's rules of inheritance."""
    own = config["env"][environment]
    if key in own or key in NOT_INHERITED:
        return own.get(key, {})
    return config.get(key)


def check_file(report, config, environment):
    """The environment's variables and the hosts it serves; None if there is no such environment."""
    environments = config.get("env", {})
    if not isinstance(environments.get(environment), dict):
        known = ", ".join(sorted(environments)) or "none"
        report.problem(f"there is no [env.{environment}] (environments in the file: {known})")
        return None
    own = f"env.{environment}"
    if effective(config, environment, "workers_dev") is not False:
        report.problem(
            "workers_dev must be false: on the workers.dev domain the edge cache does nothing"
        )
    cache = effective(config, environment, "cache")
    if (
        isinstance(cache, dict)
        and cache.get("enabled")
        and not has_workers_cache(config, environment)
    ):
        report.problem(
            "cache.enabled must not be set without a front cache of the provider workers-cache: "
            "nothing would invalidate what Workers Caching keeps before the worker"
        )
    for key in ("name", "main", "compatibility_date"):
        if not effective(config, environment, key):
            report.problem(f"{key} is missing")
    hosts = check_routes(report, config, environment)
    variables = effective(config, environment, "vars")
    if not isinstance(variables, dict):
        report.problem(f"{own}.vars must be a table")
        variables = {}
    check_variables(report, own, variables)
    check_origin(report, own, variables.get("ORIGIN"), hosts)
    check_objects(report, own, effective(config, environment, "durable_objects"))
    check_migrations(report, effective(config, environment, "migrations"))
    check_pages(report, config, environment)
    check_assets(report, effective(config, environment, "assets"))
    return variables, [host for host in hosts if "*" not in host]


def tables(value):
    """The tables of a list of tables; anything else has none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def check_routes(report, config, environment):
    """The hosts that the worker serves."""
    own = config["env"][environment]
    routes = own.get("routes", [own["route"]] if "route" in own else None)
    if routes is None:
        if "routes" in config or "route" in config:
            report.problem(
                "routes stand at the top of the file, so every environment would serve them: "
                f"move them into [env.{environment}]"
            )
        else:
            report.problem(
                f"env.{environment}.routes is missing: without a route the worker serves nothing"
            )
        return []
    hosts = []
    for at, route in enumerate(routes if isinstance(routes, list) else [routes]):
        where = f"env.{environment}.routes[{at}]"
        table = route if isinstance(route, dict) else {"pattern": route}
        pattern = table.get("pattern")
        if not isinstance(pattern, str) or not pattern:
            report.problem(f"{where} has no pattern")
            continue
        host, _, path = re.sub(r"^[a-z*]+://", "", pattern.lower()).partition("/")
        if PLACEHOLDER.search(host):
            report.problem(f"{where}: {host} is a placeholder: name a host of yours")
        elif not table.get("custom_domain") and path != "*":
            report.problem(
                f"{where}: {pattern} does not cover the whole host, so the control API would not "
                "be reached: "
                f"use {host}/* (paths that are not for the cache are a rule with action bypass)"
            )
        hosts.append(host)
    return hosts


def has_workers_cache(config, environment):
    """Whether the worker is set to purge what Workers Caching keeps before it."""
    variables = effective(config, environment, "vars")
    settings = variables.get("EDGE_ISR") if isinstance(variables, dict) else None
    if isinstance(settings, str):
        try:
            settings = json.loads(settings)
        except ValueError:
            return False  # the worker's parser says what is wrong with it
    front_caches = settings.get("front_caches") if isinstance(settings, dict) else None
    named = (
        [one for one in front_caches if isinstance(one, dict)]
        if isinstance(front_caches, list)
        else []
    )
    return any(one.get("provider") == "workers-cache" for one in named)


def check_variables(report, own, variables):
    """Sizes, and secrets that must not stand in the file."""
    for name, value in variables.items():
        if name in SECRETS:
            report.problem(
                f"{own}.vars.{name} is a secret and must not stand in the file: use wrangler "
                f"secret put {name}"
            )
        text = (
            value
            if isinstance(value, str)
            else json.dumps(value, separators=(",", ":"), default=str)
        )
        size = len(text.encode())
        if name != "EDGE_ISR" and size > MAX_VARIABLE_BYTES:
            report.problem(
                f"{own}.vars.{name} has {size} bytes; a variable has at most {MAX_VARIABLE_BYTES}"
            )
    if not isinstance(variables.get("EDGE_ISR", {}), (dict, str)):
        report.problem(f"{own}.vars.EDGE_ISR must be a table (or its JSON text)")


def check_origin(report, own, origin, hosts):
    """An origin that exists, that Cloudflare can reach, and that is not the worker itself."""
    if not isinstance(origin, str) or not origin:
        report.problem(f"{own}.vars.ORIGIN is missing: the URL of the site behind the edge")
        return
    try:
        host = urlsplit(origin).hostname or ""
    except ValueError:
        return  # the worker's parser says what is wrong with it
    if PLACEHOLDER.search(host):
        report.problem(f"ORIGIN: {host} is a placeholder: set the URL of your site")
    elif LOCAL.search(host):
        report.problem(f"ORIGIN: {host} can't be reached from Cloudflare")
    elif is_address(host):
        report.problem(f"ORIGIN: {host} is an address; a Worker fetches by host name only")
    for pattern in hosts:
        if "*" in pattern and fnmatch.fnmatchcase(host, pattern):
            report.problem(
                f"ORIGIN: the route {pattern} covers {host}: it is the worker itself, requests "
                "would loop"
            )
    if origin.lower().startswith("http://"):
        report.note(
            "ORIGIN is plain http: what goes between Cloudflare and the origin can be read on the "
            "way"
        )


def is_address(host):
    """Whether a host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_objects(report, own, objects):
    """The bindings of the Durable Objects."""
    bindings = tables(objects.get("bindings")) if isinstance(objects, dict) else []
    bindings = {binding.get("name"): binding for binding in bindings}
    for name, class_name in OBJECTS.items():
        binding = bindings.get(name)
        if binding is None:
            report.problem(
                f"{own}.durable_objects: the binding {name} (class {class_name}) is missing"
            )
        elif binding.get("class_name") != class_name:
            report.problem(f"{own}.durable_objects: {name} must be of the class {class_name}")
        elif "script_name" in binding:
            report.problem(
                f"{own}.durable_objects: {name} must be this worker's own, without script_name"
            )


def check_migrations(report, migrations):
    """Both classes keep their state in SQLite, from their first migration on."""
    classes, plain = set(), set()
    for migration in tables(migrations):
        classes.update(migration.get("new_sqlite_classes", []))
        plain.update(migration.get("new_classes", []))
        classes.difference_update(migration.get("deleted_classes", []))
    for class_name in OBJECTS.values():
        if class_name in plain:
            report.problem(
                f"migrations: {class_name} stands in new_classes; it needs new_sqlite_classes"
            )
        elif class_name not in classes:
            report.problem(f"migrations: no new_sqlite_classes creates {class_name}")


def check_assets(report, assets):
    """The dashboard's files, which must not stand in front of the site."""
    if assets is None:
        report.note("without [assets] there is no dashboard at the control API's prefix")
    elif not isinstance(assets, dict) or assets.get("binding") != "ASSETS":
        report.problem(
            "assets: the binding must be ASSETS: the worker asks for the dashboard by it"
        )
    elif assets.get("run_worker_first") is not True:
        report.problem(
            "assets.run_worker_first must be true: "
            "files would be served in place of the site's pages"
        )


def check_pages(report, config, environment):
    """The KV namespace, or the R2 bucket. Without an id, wrangler creates the namespace on the
    first deploy.
    """
    own = f"env.{environment}.kv_namespaces"
    buckets = tables(effective(config, environment, "r2_buckets"))
    if any(bucket.get("binding") == "PAGES" for bucket in buckets):
        return
    spaces = tables(effective(config, environment, "kv_namespaces"))
    space = next((space for space in spaces if space.get("binding") == "PAGES"), None)
    if space is None:
        report.problem(f"{own}: the binding PAGES is missing")
        return
    if "id" not in space:
        return
    identifier = space["id"]
    if (
        not isinstance(identifier, str)
        or not KV_ID.fullmatch(identifier)
        or len(set(identifier)) < 4
    ):
        report.problem(
            f"{own}: the id of PAGES ({identifier!r}) is not a namespace's: take it from wrangler "
            "kv namespace list, "
            "or leave it out to have one created"
        )
        return
    for name in config["env"]:
        others = tables(effective(config, name, "kv_namespaces")) if name != environment else []
        if any(other.get("id") == identifier for other in others):
            report.problem(
                f"{own}: PAGES is the namespace of env.{name} too: each environment needs its own"
            )
