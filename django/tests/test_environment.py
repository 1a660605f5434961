"""What the tests run on is what the script says they run on."""

import os

import django
from conftest import IS_POSTGRES
from django.db import connection


def test_the_versions():
    wanted = os.environ.get("EDGE_ISR_TEST_DJANGO")
    assert wanted is None or django.get_version().startswith(wanted + ".")
    assert connection.vendor == ("postgresql" if IS_POSTGRES else "sqlite")
