"""isr: an edge's control API on the command line, local or deployed.

Only the standard library, so that a copy of this file runs wherever Python 3.10 does. What comes
from the edge (reasons, tags, addresses) was written by anyone: it is printed without what a
terminal would obey.
"""

import argparse
import datetime
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

DESCRIPTION = "Looks at an edge-isr worker and invalidates, by its control API."
EPILOG = """\
environment:
  EDGE_ISR_URL     where the edge is (https://www.example.net), instead of --url
  EDGE_ISR_TOKEN   a token's value: read to look, revalidate to invalidate

exit status:
  0  done
  1  done, and the answer is no: not ready, a job with failures, pages out of date
  2  a wrong command line
  3  refused: the token, the scope, a value, no such job
  4  not reached, or too busy: the same again may work
"""

NO, USAGE, REFUSED, UNREACHED = 1, 2, 3, 4
# How long one answer may take beyond what it was asked to wait.
TIMEOUT_SECONDS = 30
# How often a follower asks: at first, and at last.
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
# The cause of a finding that is none of the site's data.
EVERY_RENDER = "differs-at-every-render"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Failed(Exception):
    """The command can't be done; the message says why in plain words."""

    def __init__(self, message, status):
        super().__init__(message)
        self.status = status


class NoRedirects(urllib.request.HTTPRedirectHandler):
    """A token goes to the host that it was meant for, and to no other."""

    def redirect_request(self, *_):
        return None


def plain(text):
    """Text as a terminal may get it: without what it would obey."""
    return "".join(sign if sign.isprintable() else f"\\x{ord(sign):02x}" for sign in str(text))


def moment(millis):
    """A time of the edge's, in the zone of whoever reads it."""
    at = datetime.datetime.fromtimestamp(millis / 1000, datetime.timezone.utc).astimezone()
    return at.strftime("%Y-%m-%d %H:%M:%S")


def count(number, one, many=None):
    """`1 page`, `2 pages`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


class Api:
    """The control API of one edge."""

    def __init__(self, url, prefix, token):
        address = urllib.parse.urlsplit(url or "")
        if address.scheme not in ("http", "https") or not address.hostname:
            raise Failed("Say where the edge is: --url https://… or EDGE_ISR_URL.", USAGE)
        if address.scheme == "http" and token and address.hostname not in LOOPBACK:
            print("isr: the token goes over http, where others may read it", file=sys.stderr)
        self.base = f"{address.scheme}://{address.netloc}{prefix}"
        self.token = token
        self.opener = urllib.request.build_opener(NoRedirects)

    def ask(self, path, query=(), body=None, method=None, accept=(), wait=0):
        """The answer's JSON; statuses in `accept` are answers too."""
        url = self.base + path
        if query:
            url += "?" + urllib.parse.urlencode(query)
        fields = {"accept": "application/json", "user-agent": "edge-isr-cli"}
        if self.token:
            fields["authorization"] = f"Bearer {self.token}"
        data = None
        if body is not None:
            data, fields["content-type"] = json.dumps(body).encode(), "application/json"
        request = urllib.request.Request(url, data, fields, method=method)
        try:
            with self.opener.open(request, timeout=TIMEOUT_SECONDS + wait) as answer:
                return self.read(answer.read())
        except urllib.error.HTTPError as error:
            text = error.read()
            if error.code in accept:
                return self.read(text)
            raise Failed(self.why(error.code, text), status_of(error.code)) from None
        except urllib.error.URLError as error:
            raise Failed(f"{self.base} is not reached: {error.reason}", UNREACHED) from None
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Failed(f"{self.base} is not reached: {error}", UNREACHED) from None

    def read(self, text):
        try:
            return json.loads(text)
        except ValueError:
            message = f"{self.base} answers, and is no control API: no JSON came."
            raise Failed(message, REFUSED) from None

    def why(self, status, text):
        """A problem document in words."""
        try:
            problem = json.loads(text)
            words = problem["detail"]
            if problem.get("reason"):
                words += f" ({problem['reason']})"
        except (ValueError, KeyError, TypeError):
            return f"{self.base} answers {status}, and does not say why."
        if status == 401 and not self.token:
            words = "A token is needed: set EDGE_ISR_TOKEN."
        return plain(words)


def status_of(code):
    """The exit status that goes with an answer's."""
    return UNREACHED if code == 429 or code >= 500 else REFUSED


def show(arguments, document, lines):
    """Prints an answer: as it came, or in lines."""
    if arguments.json:
        print(json.dumps(document, ensure_ascii=False), flush=True)
        return
    for line in lines:
        print(line, flush=True)


# --- looking


def status(api, arguments):
    """Whether the edge is ready, and its figures of the last hour."""
    # Who is not ready says so with 503, in the same form.
    health = api.ask("/healthz", accept=(503,))
    stats = api.ask("/v1/stats", {"by": "result"})
    show(arguments, {"health": health, "stats": stats}, status_lines(health, stats))
    return 0 if health.get("ready") else NO


def problem_rows(health):
    """What is wrong, and what is only worth knowing. An isolate that has just begun is neither."""
    rows = [*health.get("reasons", []), *health.get("notes", [])]
    return [row for row in rows if row["reason"] != "cold"]


def status_lines(health, stats):
    yield "ready" if health.get("ready") else "NOT READY"
    for row in problem_rows(health):
        yield plain(f"  {row['reason']}")
        yield from (plain(f"    {line}") for line in row["details"])
    totals = {name: sums["requests"] for name, sums in stats["totals"].items()}
    every = sum(totals.values())
    yield f"{count(every, 'request')} in the last hour, {count(stats['isolates'], 'isolate')}"
    for name, requests in sorted(totals.items(), key=lambda item: -item[1]):
        yield f"  {requests / every:7.1%}  {plain(name)}"
    # A worker of a version before says nothing of it.
    origin = list(stats.get("origin", {}).values())
    asked = sum(sums["requests"] for sums in origin)
    if asked:
        each = sum(sums["millis"] for sums in origin) / asked
        yield f"{count(asked, 'request')} to the origin, {each:,.0f} ms each"


def explain(api, arguments):
    """What would be done for a request, and why."""
    query = [("url", arguments.address), ("method", arguments.method)]
    query += [("header", header) for header in arguments.header]
    explained = api.ask("/v1/explain", query)
    lines = [plain(step) for step in explained["steps"]]
    show(arguments, explained, [*lines, f"Cache-Status: {plain(explained['cache_status'])}"])
    return 0


def page(api, arguments):
    """What the index knows of a page, and what happened to it."""
    answer = api.ask("/v1/pages", {"url": arguments.address})
    show(arguments, answer, page_lines(answer))
    return 0 if answer["pages"] else NO


def page_lines(answer):
    yield from (plain(note) for note in answer.get("notes", []))
    if not answer["pages"]:
        yield "The index does not know this page."
    for shown in answer["pages"]:
        yield plain(shown["url"])
        yield f"  tags: {plain(' '.join(shown['tags'])) or 'none'}"
        for one in shown.get("timeline") or []:
            if one["what"] == "fetched":
                varied = ", ".join(f"{name}: {value}" for name, value in one["vary"])
                stored = ", stored" if one["stored"] else ""
                what = f"fetched for a {one['by']}{stored}" + (f" ({varied})" if varied else "")
            else:
                what = f"invalidated ({one['mode']}) by {names(one['named'], 1)}; {who(one)}"
            yield f"  {moment(one['at'])}  #{one['epoch']}  {plain(what)}"


def history(api, arguments):
    """What was invalidated, newest first."""
    query = {"limit": arguments.limit}
    for name in ("tag", "caller", "cursor"):
        if getattr(arguments, name):
            query[name] = getattr(arguments, name)
    answer = api.ask("/v1/invalidations", query)
    lines = [plain(note) for note in answer.get("notes", [])]
    lines += [invalidation_line(row) for row in answer["invalidations"]]
    if answer["next"]:
        lines.append(f"older: --cursor {answer['next']}")
    show(arguments, answer, lines or ["Nothing was invalidated, as far as is known."])
    return 0


def audit(api, arguments):
    """What audits have found: pages that changed without an invalidation."""
    query = {"limit": arguments.limit}
    if arguments.cursor:
        query["cursor"] = arguments.cursor
    answer = api.ask("/v1/audit", query)
    show(arguments, answer, audit_lines(answer))
    return NO if any(one["cause"] != EVERY_RENDER for one in answer["findings"]) else 0


def audit_lines(answer):
    outcomes = answer["outcomes"]
    audited = sum(outcomes.get(name, 0) for name in ("same", "stale", EVERY_RENDER))
    yield f"{audited:,} of {count(answer['hits'], 'hit')} audited:"
    yield from (f"  {number:9,}  {plain(name)}" for name, number in outcomes.items())
    for one in answer["groups"]:
        tag, pages = one["tag"] or "no tag", count(one["stale"], "page")
        if one["stale"]:
            yield plain(f"{pages} out of date of {one['route']} with {tag}")
    for one in answer["findings"]:
        yield from finding_lines(one)
    if answer["next"]:
        yield f"older: --cursor {plain(answer['next'])}"
    yield plain(answer["note"])


def finding_lines(one):
    varied = ", ".join(f"{name}: {value}" for name, value in one["vary"])
    yield ""
    yield plain(one["url"] + (f" ({varied})" if varied else ""))
    yield f"  stored {moment(one['stored_at'])}, found {moment(one['found_at'])}, " + plain(
        f"{count(one['times'], 'time')}: {one['cause']}"
    )
    yield plain(f"  {one['explanation']}")
    yield plain(f"  tags: {' '.join(one['tags']) or 'none'}")
    difference = one["difference"]
    if difference["tags"]:
        yield plain(f"  the origin's tags: {' '.join(one['fresh_tags'])}")
    for change in difference["changes"]:
        yield plain(f"  {change['name']}: {change['stored'] or 'none'}, now {change['fresh']}")
    cut = difference["excerpt"]
    if cut:
        yield plain(f"  - {cut['before']}{cut['stored']}{cut['after']}")
        yield plain(f"  + {cut['before']}{cut['fresh']}{cut['after']}")


def who(row):
    """Who asked, by what, and why."""
    asked = f"{row['caller'] or 'not known'} by {row['via']}" if row["via"] else "not known"
    return asked + (f': "{row["reason"]}"' if row["reason"] else "")


def names(named, targets):
    """What a call names."""
    if named.get("all"):
        return "everything"
    kinds = ("tags", "urls", "prefixes", "hosts")
    listed = [f"{kind}: {' '.join(named[kind])}" for kind in kinds if named.get(kind)]
    left = targets - sum(len(named.get(kind, [])) for kind in kinds)
    if left > 0:
        listed.append(f"{left:,} more")
    return ", ".join(listed)


def invalidation_line(row):
    named = names(row["named"], row["targets"])
    parts = [moment(row["at"]), f"#{row['epoch']}", row["mode"], f"{named};", who(row)]
    progress = row["progress"]
    if progress and progress["total"]:
        parts.append(f"[{refetch_words(progress)}]")
    return plain("  ".join(parts))


def refetch_words(progress):
    words = f"{count(progress['pages'], 'page')}, {progress['done']:,} refetched"
    took = progress.get("refetched_in_ms")
    if took is not None:
        words += f" in {took / 1000:.1f} s"
    for name in ("left", "changed", "failed", "superseded"):
        if progress.get(name):
            words += f", {progress[name]:,} {name}"
    return words


# --- doing


def purge(api, arguments):
    """Invalidates, or counts what would be."""
    command = {"mode": "hard" if arguments.hard else "soft", "reason": arguments.reason}
    lists = {
        "tags": arguments.tag,
        "urls": arguments.address,
        "prefixes": arguments.prefix,
        "hosts": arguments.host,
    }
    command.update({name: listed for name, listed in lists.items() if listed})
    if arguments.all:
        command["all"] = True
    if arguments.no_warm:
        command["warm"] = False
    if arguments.wait:
        command["wait_ms"] = int(arguments.wait * 1000)
    if arguments.dry_run:
        command["dry_run"] = True
    if arguments.at:
        command["at"] = arguments.at
    accepted = api.ask("/v1/revalidate", body=command, wait=arguments.wait)
    show(arguments, accepted, purge_lines(accepted))
    return 0


def purge_lines(accepted):
    if "state" in accepted:
        waits = accepted["state"] == "scheduled"
        words = "It will be done" if waits else "It was cancelled before, and won't be done"
        yield f"{words} at {moment(accepted['at'])}. Its id is {plain(accepted['id'])}"
        yield from (plain(note) for note in accepted.get("notes", []))
        return
    pages = accepted["pages"]
    concerns = "pages are not counted yet" if pages is None else count(pages, "page")
    if accepted.get("dry_run"):
        yield f"Nothing was done. It would be {concerns}."
    else:
        warming = accepted["warming"]
        going = "" if warming is None else f", {count(warming, 'refetch', 'refetches')} queued"
        yield f"Invalidated: {concerns}{going}. Job {plain(accepted['id'])}"
    yield from (plain(note) for note in accepted.get("notes", []))


def job(api, arguments):
    """How far a job is; with --follow until it has ended."""
    path = "/v1/jobs/" + urllib.parse.quote(arguments.id, safe="")
    pause, last = FIRST_PAUSE, None
    while True:
        progress = api.ask(path)
        if progress != last:
            show(arguments, progress, job_lines(progress))
        last = progress
        if not arguments.follow or job_ended(progress):
            return NO if progress.get("failed") or progress["state"] == "failed" else 0
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def job_ended(progress):
    return progress["complete"] and progress["queued"] + progress["running"] == 0


def job_lines(progress):
    left = progress["queued"] + progress["running"]
    yield f"{progress['state']}: {refetch_words({**progress, 'left': left})}"
    again = progress.get("retrying")
    if again:
        tried = count(again["attempts"], "try", "tries")
        yield plain(f"  {count(again['pages'], 'page')} after {tried}: {again['reason']}")
    for one in progress.get("failures", []):
        tried = count(one["attempts"], "try", "tries")
        yield plain(f"  failed: {one['url']}: {one['reason']} ({tried})")
    for one in progress.get("front_caches", []):
        why = f": {one['failure']}" if one.get("failure") else ""
        yield plain(f"  {one['name']} has not taken it{why}")


def tail(api, arguments):
    """Invalidations and problems as they come."""
    end = time.monotonic() + arguments.seconds if arguments.seconds else None
    newest, before = newest_epoch(api), None
    while True:
        health = api.ask("/healthz", accept=(503,))
        problems = (health.get("ready"), sorted(row["reason"] for row in problem_rows(health)))
        if problems != before and (before is not None or not health.get("ready")):
            show(arguments, {"health": health}, health_line(health))
        before = problems
        for row in reversed(newer(api, newest)):
            show(arguments, {"invalidation": row}, [invalidation_line(row)])
            newest = row["epoch"]
        if end is not None and time.monotonic() >= end:
            return 0
        time.sleep(arguments.interval)


def health_line(health):
    reasons = ", ".join(row["reason"] for row in problem_rows(health))
    now = datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S")
    yield plain(f"{now}  {'ready' if health.get('ready') else 'NOT READY'}  {reasons}")


def newest_epoch(api):
    rows = api.ask("/v1/invalidations", {"limit": 1})["invalidations"]
    return rows[0]["epoch"] if rows else 0


def newer(api, epoch):
    """What came after an epoch, newest first."""
    found, cursor = [], ""
    while True:
        part = api.ask("/v1/invalidations", {"limit": 100, "cursor": cursor})
        fresh = [row for row in part["invalidations"] if row["epoch"] > epoch]
        found += fresh
        if len(fresh) < len(part["invalidations"]) or not part["next"]:
            return found
        cursor = part["next"]


def scheduled(api, arguments):
    """What waits for its time, the next first."""
    query = {"limit": arguments.limit}
    if arguments.cursor:
        query["cursor"] = arguments.cursor
    answer = api.ask("/v1/scheduled", query)
    lines = [
        plain(
            f"{moment(row['at'])}  {row['mode']}  {names(row['named'], row['targets'])};  "
            f"{who(row)}  {row['id']}"
        )
        for row in answer["scheduled"]
    ]
    if answer["next"]:
        lines.append(f"later: --cursor {plain(answer['next'])}")
    show(arguments, answer, lines or ["Nothing waits."])
    return 0


def cancel(api, arguments):
    """Takes what waits for its time off the list."""
    path = "/v1/scheduled/" + urllib.parse.quote(arguments.id, safe="")
    answer = api.ask(path, method="DELETE")
    show(arguments, answer, [f"Cancelled: {plain(answer['id'])}"])
    return 0


# --- the command line


def parser():
    """The command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", default=os.environ.get("EDGE_ISR_URL", ""), help="the edge")
    common.add_argument("--control-prefix", default="/__isr", help="if it is set otherwise")
    common.add_argument("--json", action="store_true", help="the answer as it comes")
    commands = argparse.ArgumentParser(
        prog="isr",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = commands.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(act):
        words = act.__doc__
        one = add.add_parser(act.__name__, parents=[common], help=words, description=words)
        one.set_defaults(act=act)
        return one

    command(status)
    one = command(tail)
    one.add_argument("--interval", type=positive, default=2.0, metavar="SECONDS")
    one.add_argument("--seconds", type=positive, help="for how long; until Ctrl-C if not said")
    one = command(explain)
    one.add_argument("address", metavar="URL")
    one.add_argument("--method", default="GET")
    one.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'")
    command(page).add_argument("address", metavar="URL")
    one = command(history)
    one.add_argument("--tag", help="what names this very tag")
    one.add_argument("--caller", help="what this caller asked for")
    one.add_argument("--limit", type=int, default=20)
    one.add_argument("--cursor", help="from the last answer")
    one = command(audit)
    one.add_argument("--limit", type=int, default=20)
    one.add_argument("--cursor", help="from the last answer")
    one = command(job)
    one.add_argument("id", metavar="ID")
    one.add_argument("--follow", action="store_true", help="until it has ended")
    purge_arguments(command(purge))
    one = command(scheduled)
    one.add_argument("--limit", type=int, default=100)
    one.add_argument("--cursor", help="from the last answer")
    command(cancel).add_argument("id", metavar="ID")
    return commands


def purge_arguments(one):
    """What is invalidated, and how."""
    for name, words in (("tag", "a tag"), ("prefix", "what is below it"), ("host", "a host")):
        one.add_argument(f"--{name}", action="append", default=[], help=words)
    one.add_argument("--page", dest="address", action="append", default=[], metavar="URL")
    one.add_argument("--all", action="store_true", help="the whole site")
    one.add_argument("--hard", action="store_true", help="never serve the old page again")
    one.add_argument("--no-warm", action="store_true", help="refetch nothing")
    one.add_argument("--dry-run", action="store_true", help="count the pages, do nothing")
    one.add_argument("--reason", default="", help="for the history")
    one.add_argument("--at", metavar="TIME", help="then: 2026-12-01T08:30:00+01:00")
    one.add_argument("--wait", type=positive, default=0, metavar="SECONDS", help="for refetches")


def positive(text):
    """A number above zero."""
    number = float(text)
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds")
    return number


def main():
    """The exit status."""
    arguments = parser().parse_args()
    try:
        token = os.environ.get("EDGE_ISR_TOKEN", "")
        return arguments.act(Api(arguments.url, arguments.control_prefix, token), arguments)
    except Failed as failed:
        print(f"isr: {failed}", file=sys.stderr)
        return failed.status
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # Whoever read it has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    sys.exit(main())
