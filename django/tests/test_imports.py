"""The package on the Django at hand: it imports, without a warning and without private names."""

import ast
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import edge_isr

PACKAGE = Path(edge_isr.__file__).parent
# Names of Django without a documented way to the same, and where they are needed. Each was looked
# at on every version that is declared; a new one is a reason to look for another way first.
UNDOCUMENTED = {
    "django.db.backends.base.base.BaseDatabaseWrapper",
    "django.db.backends.base.operations.BaseDatabaseOperations",
    "django.db.backends.utils.CursorWrapper",
    "django.db.models.deletion.Collector",
    "django.db.models.query.ModelIterable",
    "django.db.models.query.RawModelIterable",
    "django.db.models.query.RawQuerySet",
    "django.db.models.query_utils.DeferredAttribute",
    "django.db.models.sql.compiler.SQLAggregateCompiler",
    "django.db.models.sql.compiler.SQLCompiler",
    "django.db.models.sql.compiler.SQLInsertCompiler",
    "django.db.models.sql.constants.MULTI",
    "django.db.models.sql.constants.SINGLE",
    "django.db.models.sql.subqueries.DeleteQuery",
    "django.db.models.sql.subqueries.UpdateQuery",
    "django.db.models.sql.where.AND",
    "django.template.base.FilterExpression",
    "django.template.base.NodeList",
    "django.template.base.Parser",
    "django.template.base.Token",
    "django.template.base.token_kwargs",
    "django.utils.crypto.salted_hmac",
    "django.utils.functional.LazyObject",
}
# What the reference of Django describes, of modules whose other names it does not.
DOCUMENTED = {
    "django.utils.cache": {"patch_cache_control", "patch_vary_headers"},
    "django.utils.functional": {"SimpleLazyObject", "cached_property"},
    "django.utils.crypto": {"constant_time_compare", "get_random_string"},
}
INTERNAL = (
    "django.db.backends",
    "django.db.models.deletion",
    "django.db.models.query",
    "django.db.models.sql",
    "django.template.base",
)


# What needs settings of its own: test_wagtail.py, test_queues.py and the Wagtail example import it.
ELSEWHERE = {
    "edge_isr.contrib.userbar",
    "edge_isr.contrib.wagtail",
    "edge_isr.delivery.task",
}


def modules():
    found = pkgutil.walk_packages([str(PACKAGE)], "edge_isr.")
    return [one.name for one in found if one.name not in ELSEWHERE]


def test_every_module_is_imported_without_a_warning():
    names = " ".join(modules())
    code = (
        "import importlib, django; django.setup()\n"
        f"for name in '{names}'.split(): importlib.import_module(name)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env=_environment())


def _environment():
    path = [str(PACKAGE.parent), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        "DJANGO_SETTINGS_MODULE": "site_settings",
    }


def test_no_private_names_of_django():
    used = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("django."):
                used.update((node.module, alias.name) for alias in node.names)
    private = {
        f"{module}.{name}"
        for module, name in used
        if (name.startswith("_") and (module, name) != ("django.utils.translation", "_"))
        or module.startswith(INTERNAL)
        or (module in DOCUMENTED and name not in DOCUMENTED[module])
    }
    assert private <= UNDOCUMENTED, "documented names do the same on every version"
