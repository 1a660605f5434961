"""The audit on a real Django site: a row that was changed by SQL, past every signal, is found,
named and healed; and where nothing was changed, nothing is found.
"""

import json
import os
import re
import sqlite3
import subprocess

import pytest
from conftest import Edge
from stack import BLOG_CONFIG, ROOT, TOKENS, Blog, StackError, Worker, free_port, wait_until

PAGE = "/post/how-we-measured-slow-queries/"
OTHERS = ["/", "/category/caching/", "/post/debugging-lost-packets/", "/feed.xml", "/feed.json"]


class Audited:
    """The blog, and a worker in front of it that audits each hit."""

    def __init__(self, directory):
        settings = json.loads(BLOG_CONFIG.read_text())
        settings["audit_per_minute"] = 1_000
        settings["defaults"]["audit"] = 1
        # Each page of the blog says when it was rendered.
        settings["defaults"]["audit_ignore"] = ["Rendered at <time*UTC"]
        self.port, origin = free_port(), free_port()
        self.start = lambda: Worker(
            directory,
            f"http://127.0.0.1:{origin}",
            port=self.port,
            config=settings,
            persist=directory / "state",
        )
        self.worker = self.start()
        self.edge = Edge(self.worker)
        self.blog = Blog(directory, origin, edge_url=self.edge.url)

    def restart(self):
        """The worker's process ends at once, and another begins on what it stored."""
        self.worker.process.kill()
        self.worker = self.start()

    def findings(self):
        """What audits have found."""
        answer = self.edge.control("/__isr/v1/audit")
        assert answer.status == 200, answer
        return json.loads(answer.text)

    def audited(self, outcome):
        """How many audits came to this."""
        text = self.edge.control("/__isr/metrics?isolate").text
        found = re.search(rf'edge_isr_audits_total{{outcome="{outcome}"}} (\d+)', text)
        return int(found[1])

    def stop(self):
        """Ends both."""
        self.worker.process.kill()
        self.blog.stop()


@pytest.fixture(scope="module")
def audited(tmp_path_factory):
    both = Audited(tmp_path_factory.mktemp("audited"))
    yield both
    both.stop()


def isr(url, *arguments):
    """The command line: its exit status, and what it prints."""
    environment = {**os.environ, "EDGE_ISR_URL": url, "EDGE_ISR_TOKEN": TOKENS["reader"][1]}
    ended = subprocess.run(
        [ROOT / "scripts" / "isr", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout


@pytest.mark.slow
def test_on_a_site_without_a_silent_change_nothing_is_found(audited):
    edge, blog = audited.edge, audited.blog
    for path in [PAGE, *OTHERS]:
        edge.get(path)
        edge.until_hit(path)
    # A change that is invalidated is none that audits find, however soon they look.
    blog.orm("p = Post.objects.get(slug='debugging-lost-packets'); p.title = 'Told'; p.save()")
    for _ in range(3):
        for path in [PAGE, *OTHERS]:
            edge.get(path)
    edge.until(lambda answer: answer.hit and "Told" in answer.text, OTHERS[2])
    before = audited.audited("same")
    for path in [PAGE, *OTHERS]:
        assert edge.get(path).hit
    wait_until(lambda: audited.audited("same") >= before + 6, 30, "six audits of the same")
    assert audited.findings()["findings"] == []
    assert audited.audited("stale") == audited.audited("differs-at-every-render") == 0
    assert isr(edge.url, "audit")[0] == 0
    assert "0 out of date" in blog.manage("edge_isr_audit")


@pytest.mark.slow
def test_a_row_that_was_changed_by_sql_is_found_named_and_healed(audited):
    edge, blog = audited.edge, audited.blog
    edge.get(PAGE)
    edge.until_hit(PAGE)
    with sqlite3.connect(blog.env["BLOG_DATABASE"], timeout=20) as database:
        changed = database.execute(
            "UPDATE posts_post SET title = 'Past all signals' WHERE slug = ?",
            [PAGE.split("/")[2]],
        )
        assert changed.rowcount == 1
    database.close()
    old = edge.get(PAGE)
    assert old.hit and "Past all signals" not in old.text, "the visitor waits for nothing"
    edge.until(lambda answer: "Past all signals" in answer.text, PAGE, timeout=30)

    [found] = wait_until(lambda: audited.findings()["findings"], 10, "a finding")
    assert found["url"] == edge.url + PAGE
    assert found["cause"] == "same-tags"
    primary_key = blog.orm("print(Post.objects.get(title='Past all signals').pk)").split()[-1]
    assert f"post:{primary_key}" in found["tags"], found
    assert found["difference"]["body"] and not found["difference"]["tags"]
    excerpt = found["difference"]["excerpt"]
    assert "Past all signals" in excerpt["fresh"] + excerpt["after"], excerpt
    assert found["stored_at"] < found["found_at"]
    history = edge.control("/__isr/v1/invalidations?caller=audit")
    [row] = json.loads(history.text)["invalidations"]
    assert row["named"]["urls"] == [edge.url.split("//")[1] + PAGE]
    assert row["reason"] == "audit: same-tags"

    status, said = isr(edge.url, "audit")
    assert status == 1 and found["url"] in said and "raw SQL" in said, said
    with pytest.raises(StackError, match="1 pages changed without an invalidation") as failed:
        blog.manage("edge_isr_audit")
    assert found["url"] in str(failed.value)


@pytest.mark.slow
def test_what_was_found_outlives_the_worker_and_is_not_found_again(audited):
    before = audited.findings()
    assert len(before["findings"]) == 1, before
    audited.restart()
    after = audited.findings()
    assert after["findings"] == before["findings"]
    assert after["groups"] == before["groups"]
    audited.edge.until_hit(PAGE)
    wait_until(lambda: audited.audited("same") >= 1, 30, "an audit")
    assert audited.findings()["findings"] == before["findings"]
