"""The demo: the blog behind the worker, to play with, or as a story that checks itself."""

import argparse
import shutil
import signal
import sys
import tempfile
import time
from contextlib import ExitStack

import httpx
from stack import (
    BLOG_CONFIG,
    KEEPALIVE_SECONDS,
    ROOT,
    TOKENS,
    Blog,
    StackError,
    Worker,
    cache_status,
    free_port,
    wait_until,
)

# A page takes this long to render, so that one sees who waits for it.
RENDER_SECONDS = 1.0
# Nothing but a render takes longer than this.
QUICK_SECONDS = 0.5

POST = "/post/how-we-measured-stale-pages/"
OTHER = "/post/debugging-lost-packets/"
NEVER_VISITED = "/post/an-afternoon-with-cold-starts/"


class StepFailed(Exception):
    """A step of the story did not hold."""


def check(holds, what):
    """The demo ends where a step does not hold."""
    if not holds:
        raise StepFailed(what)


def start(stack, directory, port):
    """Both servers; they end with the stack."""
    blog_port = free_port()
    worker = Worker(directory, f"http://127.0.0.1:{blog_port}", port=port, config=BLOG_CONFIG)
    stack.callback(worker.stop)
    blog = Blog(directory, blog_port, edge_url=worker.url, render_seconds=RENDER_SECONDS)
    stack.callback(lambda: blog.stop())
    return blog, worker


def hit(answer):
    """Whether the edge answered from its store."""
    return "hit" in cache_status(answer.headers.get("cache-status", ""))


class Visitor:
    """An anonymous reader with a stop watch."""

    def __init__(self, base):
        self.client = httpx.Client(
            base_url=base, timeout=30, limits=httpx.Limits(keepalive_expiry=KEEPALIVE_SECONDS)
        )

    def get(self, path):
        """The answer, and how long it took."""
        started = time.monotonic()
        answer = self.client.get(path)
        return answer, time.monotonic() - started

    def is_hit(self, path):
        """Whether the page now comes from the cache."""
        answer, _ = self.get(path)
        return hit(answer)


def show(step, answer=None, seconds=None):
    """One line of the story, and what the answer said."""
    print(f"\n  {step}")
    if answer is not None:
        took = f"{seconds * 1000:6.0f} ms" if seconds is not None else ""
        print(
            f"    {answer.status_code} {took}  Cache-Status: {answer.headers.get('cache-status')}"
        )


def once(blog, worker):
    """Runs through the demo, and checks each step."""
    visitor = Visitor(worker.url)
    miss_then_hit(blog, visitor)
    edit(blog, visitor)
    origin_gone(blog, visitor)
    print("\nEvery step held.")


def miss_then_hit(blog, visitor):
    """The first request of a page, the second, and one of an unrelated page."""
    answer, seconds = visitor.get(POST)
    show("A page for the first time: the origin renders it, which takes a second.", answer, seconds)
    check(answer.status_code == 200, f"{POST} answered {answer.status_code}")
    check(
        "fwd" in cache_status(answer.headers.get("cache-status", "")),
        "the first request was not a miss",
    )
    check(seconds >= RENDER_SECONDS, "the first request did not wait for the render")

    wait_until(lambda: visitor.is_hit(POST), 5, "a hit after the first visit")
    answer, seconds = visitor.get(POST)
    show("The same page again: a hit.", answer, seconds)
    check(seconds < QUICK_SECONDS, "a hit was slow")
    check(blog.renders(POST) == 1, f"the page was rendered {blog.renders(POST)} times, not once")

    visitor.get(OTHER)
    wait_until(lambda: visitor.is_hit(OTHER), 5, "a hit on the other page")
    show("An unrelated page is in the cache too.")


def edit(blog, visitor):
    """An edit: stale at once, fresh soon after, and the unrelated page untouched."""
    said = blog.orm(
        "p = Post.objects.get(slug='how-we-measured-stale-pages'); p.title = 'Edited'; p.save()"
    )
    show("An editor changes the title. On commit the site posts one signed webhook, answered 202:")
    print("    " + said.strip())
    check("at epoch" in said, "the webhook was not acknowledged")

    acknowledged = time.monotonic()
    answer, seconds = visitor.get(POST)
    show(
        "A visitor in that second: the old page, at once, while the new one is rendered.",
        answer,
        seconds,
    )
    check("Edited" not in answer.text, "the first answer was new already: nothing was served stale")
    check(seconds < QUICK_SECONDS, "a visitor waited for the render")

    slowest = seconds
    while "Edited" not in answer.text:
        check(time.monotonic() - acknowledged < 15, "the new page did not appear within 15 s")
        time.sleep(0.05)
        answer, seconds = visitor.get(POST)
        slowest = max(slowest, seconds)
    after = time.monotonic() - acknowledged
    show(
        f"The new page, {after:.1f} s after the save. The slowest answer until then took "
        f"{slowest * 1000:.0f} ms.",
        answer,
        seconds,
    )
    check(slowest < QUICK_SECONDS, "a visitor waited for the render")
    check(blog.renders(POST) == 2, f"the page was rendered {blog.renders(POST)} times, not twice")

    answer, seconds = visitor.get(OTHER)
    show("The unrelated page was not touched: a hit, rendered once.", answer, seconds)
    check(hit(answer), "the unrelated page was not a hit")
    check(blog.renders(OTHER) == 1, "the unrelated page was rendered again")


def origin_gone(blog, visitor):
    """The origin is stopped: what is stored is served, the rest is an error."""
    blog.stop()
    show("The origin is gone.")
    for path in (POST, OTHER):
        answer, seconds = visitor.get(path)
        show(f"{path} is still served:", answer, seconds)
        check(answer.status_code == 200 and seconds < QUICK_SECONDS, f"{path} was not served")
    answer, seconds = visitor.get(NEVER_VISITED)
    show("A page that nobody visited before is an honest error:", answer, seconds)
    check(answer.status_code in (502, 504), f"it answered {answer.status_code}, not 502 or 504")


def interactive(blog, worker):
    """Prints what to open and try, and waits for Ctrl-C."""
    token = TOKENS["reader"][1]
    print(
        f"""
  The site, by the edge   {worker.url}/
  Its admin               {worker.url}/admin/   (log in as admin / admin)
  Django itself           {blog.url}/   (process {blog.process.pid})
  Logs                    {blog.directory.relative_to(ROOT)}/

  A page takes {RENDER_SECONDS:.0f} s to render here, so that you see who waits for it. Try:

  1. Twice, and watch Cache-Status and the time:
       curl -s -o /dev/null -D - -w '%{{time_total}} s\\n' {worker.url}{POST}
  2. Change that post's title in the admin, and reload the page: the old one at once, with your own
     menu in it, and the new one a moment later. Its tags:
       curl -s -H 'Authorization: Bearer {token}' {worker.url}/__isr/v1/tags/post:1/pages
  3. Stop Django, and read on:
       kill {blog.process.pid}

  Ctrl-C ends both servers.
""",
        flush=True,
    )
    # Not `pause` alone: a signal between a check and it would be lost.
    while worker.process.alive():
        time.sleep(0.5)
    raise StackError(f"the worker ended:\n{worker.process.tail()}")


def main():
    """Runs the demo; the exit status says whether it held."""
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--port", type=int, default=None)
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)
    port = given.port if given.port is not None else (0 if given.once else 8787)

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    (ROOT / ".demo").mkdir(exist_ok=True)
    directory = tempfile.mkdtemp(prefix="run-", dir=ROOT / ".demo")
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        try:
            print("starting the blog and the worker …", flush=True)
            blog, worker = start(stack, directory, port)
            (once if given.once else interactive)(blog, worker)
        except KeyboardInterrupt:
            print("\nending both servers …")
            return 130 if given.once else 0
        except (StepFailed, TimeoutError) as error:
            print(f"\nFAILED: {error}", file=sys.stderr)
            return 1
        except (StackError, httpx.HTTPError) as error:
            print(f"demo: error: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
