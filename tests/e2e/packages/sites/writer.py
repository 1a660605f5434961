"""A process of the site beside its server, as a shell or a queue's worker is: makes the tables,
then runs what it is sent, a line of JSON each, and answers each with a line."""

import json
import os
import sys
import traceback

import django
from django.core.management import call_command

ANSWERS = os.fdopen(os.dup(1), "w", buffering=1)


def main():
    """Until the other side closes the pipe."""
    # Whatever else is printed is no answer.
    os.dup2(2, 1)
    django.setup()
    call_command("migrate", run_syncdb=True, verbosity=0)
    print(json.dumps({}), file=ANSWERS)
    for line in sys.stdin:
        names = {}
        try:
            exec(json.loads(line), names)
            answer = {"result": names.get("result")}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), file=ANSWERS)


if __name__ == "__main__":
    main()
