"""SQLite, Django's default: no write of the site fails that would not fail without the package."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FakeWorker

import edge_isr

TESTS = Path(__file__).parent
PACKAGE = Path(edge_isr.__file__).parent.parent
PATH = [str(PACKAGE), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]

# Seconds that SQLite waits for a lock: Django's default; and where the whole suite runs, beside
# others, on few processors. What the package must not cause, a refusal at once, is one with any.
TIMEOUT = 5
PATIENT = 60


@pytest.fixture(params=["up", "down"])
def address(request):
    if request.param == "down":
        yield "http://127.0.0.1:9"
        return
    worker = FakeWorker()
    yield worker.url
    worker.stop()


@pytest.fixture(params=["wal", "delete"])
def site(request, tmp_path, address):
    """The environment of a site's processes; its tables are there."""
    database = tmp_path / "site.sqlite3"
    with sqlite3.connect(database) as connection:
        assert connection.execute(f"PRAGMA journal_mode = {request.param}").fetchone() == (
            request.param,
        )
    connection.close()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(PATH),
        "DJANGO_SETTINGS_MODULE": "sqlite_settings",
        "SITE_DATABASE": str(database),
        "SITE_WORKER": address,
        "SITE_TIMEOUT": str(TIMEOUT if request.config.getoption("sqlite_runs") > 1 else PATIENT),
    }
    manage = [sys.executable, "-m", "django", "migrate", "--run-syncdb", "-v0"]
    done = subprocess.run(manage, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == "", "who migrates need not be asked to migrate"
    return environment


def writers(environment, way, processes, threads, times):
    """Runs them at once, and gives what each printed."""
    command = [sys.executable, str(TESTS / "sqlite_writer.py"), way, str(threads), str(times)]
    running = [
        subprocess.Popen(
            [*command, f"p{n}"], env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )
        for n in range(processes)
    ]  # fmt: skip
    return [process.communicate(timeout=120)[0] for process in running]


def test_four_processes_of_four_threads_lose_no_write(site, sqlite_run):
    new_tags = writers(site, "many", 4, 4, 2)
    assert new_tags == [f"wrote {4 * 2 * 2}\n"] * 4


@pytest.mark.parametrize("address", ["down"], indirect=True)
def test_a_single_writer_meets_no_second_one(site):
    (new_tags,) = writers(site, "alone", 1, 1, 20)
    assert new_tags == f"wrote {20 * 2}\n"


@pytest.mark.parametrize("address", ["up"], indirect=True)
def test_nor_one_that_delivers_in_another_process(site):
    """As a command beside a server that is idle: the server's thread delivers what both wrote."""
    watching = subprocess.Popen(
        [sys.executable, "-m", "django", "edge_isr_deliver", "--watch", "--interval", "0.01"],
        env=site, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert watching.stdout.readline() == "delivering\n"
        (new_tags,) = writers(site, "alone", 1, 1, 20)
        assert new_tags == f"wrote {20 * 2}\n"
    finally:
        watching.terminate()
        watching.communicate(timeout=20)


@pytest.mark.parametrize("address", ["down"], indirect=True)
def test_transactions_of_the_site_that_begin_with_a_write_wait_in_the_queue(site):
    """SQLite's own waiting loses against those who stand in it."""
    command = [sys.executable, str(TESTS / "sqlite_turns.py")]
    done = subprocess.run(command, env=site, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "begins_with_a_write 1",
        "begins_with_a_save_in_a_savepoint 1",
        # It would keep out those that it waits for.
        "has_read 0",
        "has_read_by_a_cursor 0",
        "only_reads 0",
    ], done.stderr
