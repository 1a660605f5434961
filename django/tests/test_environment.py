"""What the tests run on is what the script says they run on."""

import os

import django
import pytest
from conftest import IS_MARIADB, IS_POSTGRES
from django.db import connection


def test_the_versions():
    wanted = os.environ.get("EDGE_ISR_TEST_DJANGO")
    assert wanted is None or django.get_version().startswith(wanted + ".")
    vendor = "postgresql" if IS_POSTGRES else "mysql" if IS_MARIADB else "sqlite"
    assert connection.vendor == vendor


@pytest.mark.django_db
def test_the_journal_of_sqlite():
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode")
            wanted = "wal" if os.environ.get("EDGE_ISR_TEST_WAL") else "delete"
            assert cursor.fetchone() == (wanted,)
