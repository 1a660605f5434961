"""`scripts/isr` on the real worker: what it prints, its JSON, its exit statuses."""

import datetime
import json
import os
import socket
import subprocess
import threading

import pytest
from conftest import EDGE_CONFIG
from origin import page
from stack import ROOT, TOKENS, free_port, wait_until

DONE, NO, USAGE, REFUSED, UNREACHED = range(5)


class Isr:
    """The command line, against one edge."""

    def __init__(self, url):
        self.url = url

    def environment(self, token):
        own = {name: text for name, text in os.environ.items() if not name.startswith("EDGE_ISR_")}
        more = {"EDGE_ISR_TOKEN": TOKENS[token][1]} if token else {}
        return {**own, "TZ": "UTC", "EDGE_ISR_URL": self.url, **more}

    def run(self, *arguments, token="operator", status=DONE):
        """What it prints; the exit status must be as expected."""
        ended = subprocess.run(
            [ROOT / "scripts" / "isr", *arguments],
            env=self.environment(token),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == status, (ended.returncode, ended.stdout, ended.stderr)
        return ended.stdout if status in (DONE, NO) else ended.stderr

    def json(self, *arguments, **more):
        """Its JSON, one document a line."""
        text = self.run(*arguments, "--json", **more)
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def own_edge(start_worker, origin):
    """A worker whose history no other test writes."""
    return start_worker(origin.url, config=EDGE_CONFIG)


@pytest.fixture(scope="module")
def isr(own_edge):
    return Isr(own_edge.url)


def stored(edge, origin, path, tag):
    origin.on(path, page("old", tags=tag))
    edge.get(path)
    edge.until_hit(path)


def test_a_purge_is_counted_done_followed_and_shown(own_edge, isr, origin, path, tag):
    stored(own_edge, origin, path, tag)
    dry = isr.run("purge", "--tag", tag, "--dry-run")
    assert dry.startswith("Nothing was done. It would be 1 page."), dry
    assert isr.json("history", "--tag", tag)[0]["invalidations"] == []

    origin.on(path, page("new", tags=tag))
    [said] = isr.json("purge", "--tag", tag, "--reason", "by hand", "--wait", "20")
    assert (said["pages"], said["warming"]) == (1, 0), said
    done = isr.run("job", said["id"], "--follow")
    assert done.splitlines()[-1].startswith("done: 1 page, 1 refetched, 1 changed"), done
    assert own_edge.get(path).text == "new"

    [seen] = isr.json("history", "--tag", tag)
    [row] = seen["invalidations"]
    assert (row["caller"], row["reason"], row["id"]) == ("operator", "by hand", said["id"])
    line = isr.run("history", "--tag", tag)
    wanted = f'soft  tags: {tag};  operator by control: "by hand"  [1 page, 1 refetched in '
    assert wanted in line, line
    shown = isr.run("page", own_edge.url + path)
    assert f"tags: {tag}" in shown and "fetched for a warm, stored" in shown, shown
    assert f"invalidated (soft) by tags: {tag};" in shown, shown


def test_a_purge_at_a_time_waits_is_listed_and_cancelled(isr, tag):
    in_an_hour = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    said = isr.run("purge", "--tag", tag, "--at", in_an_hour.isoformat(), "--reason", "goes live")
    assert said.startswith("It will be done at "), said
    identity = said.split()[-1]
    line = isr.run("scheduled", token="reader")
    assert f'soft  tags: {tag};  operator by control: "goes live"  {identity}' in line, line
    isr.run("cancel", identity, token="reader", status=REFUSED)
    assert isr.run("cancel", identity) == f"Cancelled: {identity}\n"
    assert identity not in isr.run("scheduled")
    said = isr.run("purge", "--tag", tag, "--at", "tomorrow", status=REFUSED)
    assert "RFC 3339" in said, said
    assert "invalidation" in isr.run("cancel", "nobody's", status=REFUSED)


def test_a_request_is_explained(own_edge, isr, origin, path, tag):
    stored(own_edge, origin, path, tag)
    said = isr.run("explain", own_edge.url + path, "--header", "Cookie: _ga=1", token="reader")
    assert "Cache-Status: edge-isr;hit" in said, said
    [whole] = isr.json("explain", own_edge.url + path, "--method", "POST", token="reader")
    assert whole["action"] == "pass", whole


def test_the_status_is_shown_with_the_figures(isr):
    said = isr.run("status", token="reader")
    assert said.startswith("ready\n") and "in the last hour" in said, said
    [both] = isr.json("status", token="reader")
    assert both["health"]["ready"] and "totals" in both["stats"]


def test_tail_shows_what_comes(isr, tag):
    began = subprocess.Popen(
        [ROOT / "scripts" / "isr", "tail", "--interval", "0.1", "--json"],
        env=isr.environment("reader"),
        stdout=subprocess.PIPE,
        text=True,
    )
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(iter(began.stdout.readline, "")))
    reader.start()
    try:
        # It may still be asking what was before: until it shows one.
        sent = []

        def seen():
            sent.append(f"{tag}-{len(sent)}")
            isr.run("purge", "--tag", sent[-1], "--no-warm")
            return lines

        wait_until(seen, 30, "a line")
        rows = [json.loads(line)["invalidation"] for line in list(lines)]
        assert rows[0]["named"]["tags"][0] in sent
        last = f"{tag}-last"
        isr.run("purge", "--tag", last, "--hard")
        wait_until(lambda: any(last in line for line in lines), 30, "the last one")
    finally:
        began.terminate()
        began.wait(10)
        reader.join(10)
        began.stdout.close()
    epochs = [json.loads(line)["invalidation"]["epoch"] for line in lines]
    assert epochs == sorted(set(epochs)), "in order, each once"
    assert isr.run("tail", "--seconds", "0.1", "--interval", "0.1", token="reader") == ""


def test_a_text_from_elsewhere_does_nothing_to_a_terminal(isr, tag):
    isr.run("purge", "--tag", tag, "--no-warm", "--reason", "\x1b[31m<b>\a\u202e")
    line = isr.run("history", "--tag", tag)
    assert '"\\x1b[31m<b>\\x07\\x202e"' in line, line
    [seen] = isr.json("history", "--tag", tag)
    assert seen["invalidations"][0]["reason"] == "\x1b[31m<b>\a\u202e"


REFUSALS = {
    "no token": (["history"], None, "A token is needed: set EDGE_ISR_TOKEN."),
    "a token without the scope": (["purge", "--tag", "x"], "reader", "revalidate"),
    "nothing named": (["purge"], "operator", "Name at least one of tags"),
    "a contradiction": (["purge", "--all", "--tag", "x"], "operator", "all names the whole site"),
    "no such job": (["job", "nobody's"], "operator", "job"),
    "not a tag": (["history", "--tag", "a b"], "operator", "tag"),
    "not a URL": (["explain", "nowhere"], "operator", "url"),
    "not a URL, of a page": (["page", "nowhere"], "operator", "url"),
    "too many": (["history", "--limit", "9999"], "operator", "limit"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_is_refused_is_said_in_words(isr, name):
    arguments, token, words = REFUSALS[name]
    said = isr.run(*arguments, token=token, status=REFUSED)
    assert said.startswith("isr: ") and words in said and len(said.splitlines()) == 1, said
    assert TOKENS["operator"][1] not in said and "Traceback" not in said


def test_a_page_that_nobody_knows_is_a_no(isr):
    assert "does not know" in isr.run("page", isr.url + "/nobody-was-here", status=NO)


USAGES = {
    "nothing": [],
    "no such command": ["purgee"],
    "no such option": ["history", "--tags", "x"],
    "a time that is none": ["tail", "--seconds", "0"],
    "no address": ["explain"],
}


@pytest.mark.parametrize("name", USAGES)
def test_a_wrong_command_line_is_reported(isr, name):
    said = isr.run(*USAGES[name], status=USAGE)
    assert "usage: isr" in said and "Traceback" not in said, said


def test_an_edge_that_is_not_said_or_not_there(origin):
    assert "Say where the edge is" in Isr("").run("history", status=USAGE)
    assert "Say where the edge is" in Isr("www.example.net").run("history", status=USAGE)
    nowhere = Isr(f"http://127.0.0.1:{free_port()}")
    said = nowhere.run("history", status=UNREACHED)
    assert "is not reached" in said and "Traceback" not in said, said
    # Somebody else answers there.
    said = Isr(origin.url).run("history", status=REFUSED)
    assert "Traceback" not in said, said


@pytest.mark.parametrize("reply", [b"", b"no HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>"])
def test_what_is_no_edge_is_said(reply):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)

        thread = threading.Thread(target=answer)
        thread.start()
        status = REFUSED if b"200" in reply else UNREACHED
        said = Isr(f"http://127.0.0.1:{server.getsockname()[1]}").run("history", status=status)
        thread.join(10)
    assert said.startswith("isr: ") and "Traceback" not in said, said


def test_a_token_is_not_sent_where_a_redirect_leads():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        other.settimeout(0)

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                place = f"http://127.0.0.1:{other.getsockname()[1]}/"
                connection.sendall(
                    f"HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n".encode()
                )

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert "answers 302" in Isr(url).run("history", status=REFUSED)
        thread.join(10)
        with pytest.raises(BlockingIOError):
            other.accept()
