"""A crash after the acknowledgement loses neither the invalidation nor the warm."""

import datetime
import json
import shutil
import threading
import time

import httpx
import pytest
from conftest import MAX_LAG_SECONDS
from origin import Origin, page
from stack import TOKENS, signed, wait_until


@pytest.fixture
def persist(tmp_path):
    """Where a worker keeps its state over restarts."""
    return tmp_path / "state"


def test_an_acknowledged_invalidation_survives_a_kill(start_worker, origin, persist, path, tag):
    first = start_worker(origin.url, persist=persist)
    origin.on(path, page("old", tags=tag))
    first.get(path)
    first.until_hit(path)
    origin.on(path, page("new", tags=tag))
    said = first.revalidate({"tags": [tag], "mode": "hard", "warm": False})
    acknowledged = time.monotonic()
    first.worker.process.kill()

    second = start_worker(origin.url, persist=persist)
    host = first.url.removeprefix("http://")
    # News that isolates share are younger than the bound, and outlive the isolate.
    wait_until(lambda: time.monotonic() - acknowledged > MAX_LAG_SECONDS, 5, "the bound")
    answer = second.get(path, host=host)
    assert answer.text == "new", "the page of before the purge was served"
    assert second.revalidate({"tags": ["x"], "warm": False})["epoch"] == said["epoch"] + 1


def test_a_warm_survives_a_kill_without_a_visitor(start_worker, origin, persist, path, tag):
    first = start_worker(origin.url, persist=persist)
    origin.on(path, page("old", tags=tag))
    first.get(path)
    first.until_hit(path)

    # The warm is under way, or about to begin, when everything dies: it can't have ended.
    never = threading.Event()
    origin.on(path, lambda connection, request: never.wait(30))
    said = first.revalidate({"tags": [tag]})
    first.worker.process.kill()
    before = origin.count(path)
    origin.on(path, page("new", tags=tag))

    second = start_worker(origin.url, persist=persist)
    wait_until(lambda: origin.count(path) > before, 40, "the warm after the restart")
    never.set()
    warm = origin.requests(path)[-1]
    assert warm.get("x-edge-isr-warmup") == "1"
    assert warm.get("x-forwarded-host") == first.url.removeprefix("http://")

    def done():
        progress = json.loads(second.control(f"/__isr/v1/jobs/{said['id']}").text)
        return progress.get("done") == 1

    wait_until(done, 15, "the job's end")


def test_a_repeated_webhook_is_known_after_a_kill(start_worker, origin, persist, tag):
    first = start_worker(origin.url, persist=persist)
    said = first.revalidate({"tags": [tag], "warm": False}, message_id="msg_before_the_kill")
    first.worker.process.kill()
    second = start_worker(origin.url, persist=persist)
    again = second.revalidate({"tags": [tag], "warm": False}, message_id="msg_before_the_kill")
    assert (again["epoch"], again["id"]) == (said["epoch"], said["id"])


def test_pages_survive_a_restart(start_worker, origin, persist, path):
    first = start_worker(origin.url, persist=persist)
    origin.on(path, page("kept"))
    first.get(path)
    first.until_hit(path)
    host = first.url.removeprefix("http://")
    first.worker.stop()
    second = start_worker(origin.url, persist=persist)
    answer = second.get(path, host=host)
    assert answer.text == "kept" and answer.hit
    assert origin.count(path) == 1


def test_an_origin_that_dies_and_comes_back(start_worker, path):
    own = Origin()
    edge = start_worker(own.url, config={"origin_timeout": 2})
    own.on(path, page("kept", control="max-age=1, stale-while-revalidate=1, stale-if-error=600"))
    edge.get(path)
    edge.until_hit(path)
    own.refuse()
    assert edge.get(path + "-unknown").status == 502
    edge.until(lambda answer: int(answer.headers["age"]) >= 3, path, 15)
    assert edge.get(path).text == "kept"
    own.on(path, page("back"))
    own.accept()
    edge.until(lambda answer: answer.text == "back", path, 15)
    own.refuse()


def test_concurrent_webhooks_each_count_once(start_worker, origin, persist):
    edge = start_worker(origin.url, persist=persist)
    start = edge.revalidate({"tags": ["start"], "warm": False})["epoch"]
    epochs, lock = [], threading.Lock()

    def post(number):
        body, headers = signed({"tags": [f"c:{number}"], "warm": False})
        said = httpx.post(
            f"{edge.url}/__isr/v1/revalidate", content=body, headers=headers, timeout=30
        )
        with lock:
            epochs.append(said.json()["epoch"])

    threads = [threading.Thread(target=post, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(epochs) == list(range(start + 1, start + 41))
    edge.worker.process.kill()
    again = start_worker(origin.url, persist=persist)
    assert again.revalidate({"tags": ["end"], "warm": False})["epoch"] == start + 41


@pytest.mark.parametrize("store", ["kv", "r2"])
def test_another_colo_takes_the_page_from_the_global_store(
    start_worker, origin, persist, path, tag, store
):
    """A restart without its edge cache is as cold as another colo."""
    extra = ("--store", store)
    first = start_worker(origin.url, persist=persist, extra=extra)
    origin.on(path, page("stored", tags=tag))
    first.get(path)
    first.until_hit(path)
    tags = f"/__isr/v1/tags/{tag}/pages"
    wait_until(lambda: json.loads(first.control(tags).text)["pages"], 10, "the index")
    host = first.url.removeprefix("http://")
    first.worker.process.kill()
    shutil.rmtree(persist / "cache")

    second = start_worker(origin.url, persist=persist, extra=extra)
    answer = second.get(path, host=host)
    assert (answer.text, answer.cache.get("detail")) == ("stored", "global")
    assert origin.count(path) == 1


def test_the_history_survives_a_kill(start_worker, origin, persist, path, tag):
    first = start_worker(origin.url, persist=persist)
    origin.on(path, page("old", tags=tag))
    first.get(path)
    first.until_hit(path)
    origin.on(path, page("new", tags=tag))
    said = first.revalidate({"tags": [tag], "reason": "<i>edited</i>"})

    def refetched():
        [row] = history(first, tag)
        return row["progress"] and row["progress"]["refetched_in_ms"]

    wait_until(refetched, 15, "the refetch, in the history")
    before = history(first, tag)
    first.worker.process.kill()

    second = start_worker(origin.url, persist=persist)
    assert history(second, tag) == before
    [row] = before
    wanted = {
        "id": said["id"],
        "epoch": said["epoch"],
        "caller": "webhook",
        "via": "control",
        "reason": "<i>edited</i>",
        "mode": "soft",
        "targets": 1,
        "named": {"tags": [tag]},
    }
    assert {name: row[name] for name in wanted} == wanted
    assert (row["progress"]["done"], row["progress"]["changed"]) == (1, 1)

    # The page's own timeline says the same.
    host = first.url
    answer = second.control(f"/__isr/v1/pages?url={host}{path}")
    [shown] = json.loads(answer.text)["pages"]
    seen = [(one["what"], one.get("by"), one.get("id")) for one in shown["timeline"]]
    assert seen == [
        ("fetched", "warm", None),
        ("invalidated", None, said["id"]),
        ("fetched", "visitor", None),
    ]


def history(edge, tag):
    """What was invalidated of a tag."""
    answer = edge.control(f"/__isr/v1/invalidations?tag={tag}")
    assert answer.status == 200, answer
    return json.loads(answer.text)["invalidations"]


def rfc3339(seconds):
    """A time so many seconds from now, as JSON has times."""
    now = datetime.datetime.now(datetime.timezone.utc)
    return (now + datetime.timedelta(seconds=seconds)).isoformat()


def test_what_waits_for_its_time_survives_a_kill(start_worker, origin, persist, path, tag):
    first = start_worker(origin.url, persist=persist)
    origin.on(path, page("old", tags=tag))
    first.get(path)
    first.until_hit(path)
    body = {"tags": [tag], "mode": "hard", "at": rfc3339(4)}
    said = first.revalidate(body, message_id="msg_waits")
    assert said["state"] == "scheduled"
    never = first.revalidate({"tags": [tag], "at": rfc3339(3600)})
    assert waiting(first) == ["msg_waits", never["id"]]
    first.worker.process.kill()
    assert origin.count(path) == 1, "nobody asked before its time"
    origin.on(path, page("new", tags=tag))

    second = start_worker(origin.url, persist=persist)
    # Nobody asks: the journal's alarm does it.
    wait_until(lambda: origin.count(path) == 2, 60, "the refetch at its time")
    [row] = history(second, tag)
    assert (row["id"], row["caller"], row["via"]) == ("msg_waits", "webhook", "schedule")
    assert row["at"] >= said["at"]
    assert waiting(second) == [never["id"]]
    # The same once more is the same.
    again = second.revalidate(body, message_id="msg_waits")
    assert (again["epoch"], again["repeated"]) == (row["epoch"], True)

    token = {"authorization": f"Bearer {TOKENS['operator'][1]}"}
    cancelled = second.request("DELETE", f"/__isr/v1/scheduled/{never['id']}", token)
    assert json.loads(cancelled.text) == {"id": never["id"], "state": "cancelled"}
    late = second.request("DELETE", "/__isr/v1/scheduled/msg_waits", token)
    assert (late.status, json.loads(late.text)["type"]) == (409, "urn:edge-isr:problem:too-late")
    assert waiting(second) == []


def waiting(edge):
    """The ids of what waits for its time."""
    answer = edge.control("/__isr/v1/scheduled")
    assert answer.status == 200, answer
    return [row["id"] for row in json.loads(answer.text)["scheduled"]]
