"""Processes of the test site beside the tests: on their database, with the same edge."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from django.db import connection

TESTS = Path(__file__).parent


def site_environment(edge_isr, **more):
    """The environment of a process whose settings are those of queue_site.py."""
    database = {
        key: value
        for key, value in connection.settings_dict.items()
        if key in ("ENGINE", "NAME", "HOST", "PORT", "USER", "OPTIONS")
    }
    path = [str(TESTS), str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "queue_site",
        "PYTHONPATH": os.pathsep.join(path),
        "SITE_DATABASE": json.dumps(database, default=str),
        "SITE_EDGE_ISR": json.dumps(edge_isr),
        **more,
    }


class SiteProcess:
    """One that can be killed and started again."""

    def __init__(self, arguments, environment, **more):
        self._command = [sys.executable, *arguments]
        self._environment = environment
        self._more = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **more}
        self.start()

    def start(self):
        """Runs it."""
        self.process = subprocess.Popen(self._command, env=self._environment, **self._more)

    def kill(self):
        """Without a chance to finish anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
