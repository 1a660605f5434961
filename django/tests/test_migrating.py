"""A site's first `migrate`, by every name: nobody is sent to do what is being done."""

import os
import subprocess
import sys

import pytest
from conftest import FakeWorker
from processes import TESTS

# Its label comes before edge_isr's, and so do its migrations.
FILES = {
    "site_of_test.py": """
SECRET_KEY = "tests-only"
INSTALLED_APPS = ["django.contrib.contenttypes", "edge_isr", "aaa"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
MIDDLEWARE = ["edge_isr.middleware.EdgeISRMiddleware"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
EDGE_ISR = {
    "WORKER_URL": "%s",
    "WEBHOOK_SECRET": "whsec_dGVzdHMgb25seTogMzIgYnl0ZXMgb2Yga2V5ISEhISE=",
    "AUTO_TAGS": True,
}
""",
    "aaa/__init__.py": "",
    "aaa/models.py": """
from django.db import models


class Thing(models.Model):
    name = models.CharField(max_length=80)
""",
    "aaa/migrations/__init__.py": "",
    "aaa/migrations/0001_things.py": """
from django.db import migrations, models


def fill(apps, schema_editor):
    apps.get_model("aaa", "Thing").objects.create(name="first")


class Migration(migrations.Migration):
    operations = [
        migrations.CreateModel(
            "Thing",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("name", models.CharField(max_length=80)),
            ],
        ),
        migrations.RunPython(fill),
    ]
""",
    "aaa/management/__init__.py": "",
    "aaa/management/commands/__init__.py": "",
    "aaa/management/commands/deploy.py": """
from django.core.management import call_command
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    def handle(self, **options):
        call_command("migrate", verbosity=0, skip_checks=False)
""",
    "aaa/management/commands/migrate_all.py": """
from django.core.management.commands.migrate import Command
""",
}


@pytest.fixture
def worker():
    fake = FakeWorker()
    yield fake
    fake.stop()


@pytest.mark.parametrize("arguments", [["migrate", "-v0"], ["deploy"], ["migrate_all", "-v0"]])
def test_the_first_migrate_is_silent(arguments, worker, tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text.replace("%s", worker.url))
    path = [str(tmp_path), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "site_of_test",
        "PYTHONPATH": os.pathsep.join(path),
    }

    def django(*more):
        done = subprocess.run(
            [sys.executable, "-m", "django", *more],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    assert "W004" in django("check", "--database", "default")[2]
    assert django(*arguments) == (0, "", "")
    assert worker.tags == {"aaa.thing", "aaa.thing:*"}
    assert "W004" not in django("check", "--database", "default")[2]
