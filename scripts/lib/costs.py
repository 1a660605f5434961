"""What three sites cost a month on Cloudflare: costs.py RESULTS.

Operations come from the counts that `scripts/bench --runtime` took of the real worker on the local
runtime; unit prices are Cloudflare's published ones. What a site does in a day is assumed, and
stands in the table.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DAYS = 30
COLOS = 330
SECONDS_A_DAY = 86_400
SHARDS = 8

# Dollars a million beyond what the Workers Paid plan ($5 a month) includes; as docs/scale.md quotes
# them.
PLAN = 5.00
MILLION = 1_000_000
PRICES = {
    "Workers requests": (0.30, 10 * MILLION),
    "Durable Object requests": (0.15, MILLION),
    "rows read": (0.001, 25_000 * MILLION),
    "rows written": (1.00, 50 * MILLION),
    "KV reads": (0.50, 10 * MILLION),
    "KV writes": (5.00, MILLION),
}
DURATION_PRICE, DURATION_INCLUDED, OBJECT_GB = 12.50, 400_000, 0.128

# OpenNext's sharded tag cache, as reported by one site: Durable Object requests a day at visitors'
# requests a day (opennextjs/opennextjs-cloudflare, issue 1103).
REPORTED_OBJECT_REQUESTS = 12 * MILLION
REPORTED_VISITS = (200_000, 150_000)


@dataclass(frozen=True)
class Site:
    """What is assumed of a site; all but `pages` a day."""

    name: str
    requests: int
    pages: int
    changes: int
    pages_of_a_change: int
    misses: float = 0.05


SITES = [
    Site("100,000 requests a day", 100_000, 2_000, 200, 5),
    Site("10 million", 10 * MILLION, 100_000, 5_000, 10),
    Site("1 billion", 1_000 * MILLION, MILLION, 100_000, 10),
]


def per(counts: dict[str, float]) -> dict[str, float]:
    """One thing's operations by the names that are billed."""
    both = lambda what: counts.get(f"journal {what}", 0) + counts.get(f"shard {what}", 0)
    return {
        "Durable Object requests": both("requests"),
        "rows read": both("rows read"),
        "rows written": both("rows written") + both("alarms set"),
        "KV reads": counts.get("kv reads", 0),
        "KV writes": counts.get("kv writes", 0),
    }


def syncs(site: Site) -> float:
    """How often colos ask the journal in a day, with requests spread evenly over all of them, which
    is the most.

    After a sync a colo asks again with the first request that comes `sync_interval` (1 s) later.
    """
    rate = site.requests / COLOS / SECONDS_A_DAY
    return COLOS * SECONDS_A_DAY / (1 + 1 / rate)


def reports(site: Site) -> dict[str, float]:
    """What isolates report of what they have counted: once a minute, with a sync that they send
    anyway. One isolate a colo. Where a colo's isolates share news all the time, each is a request
    of its own, which is the most. A report reads three rows and writes two.
    """
    minutes = COLOS * SECONDS_A_DAY / 60
    asked = syncs(site)
    one = {"Durable Object requests": float(asked > minutes), "rows read": 3, "rows written": 2}
    return {"times": min(asked, minutes), **one, "KV reads": 0, "KV writes": 0}


def a_day(site: Site, costs: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """How often each thing happens, and so its operations."""
    invalidated, changed = (
        per(costs[f"an invalidation of a tag of one page, {rest}"])
        for rest in ("without its refetch", "and its refetch")
    )
    sync = per(costs["a hit after a pause longer than max_lag"])
    # What is counted of fills and reads has some syncs in it: those are counted below.
    plain = {
        name: per({key: n for key, n in counts.items() if "journal" not in key})
        for name, counts in costs.items()
    }
    sent = reports(site)
    warm = {name: max(changed[name] - invalidated[name], 0) for name in changed}
    things = [
        ("news for the colos", syncs(site), sync),
        ("figures that isolates report, at most", sent.pop("times"), sent),
        (
            "pages that a colo takes from L2",
            site.misses * site.requests,
            plain["a page that L2 has and the colo has not"],
        ),
        (
            "refetches after a day",
            site.pages,
            plain["a refetch for a visitor, of a page whose tags stay"],
        ),
        ("invalidations", site.changes, invalidated),
        ("refetches for them", site.changes * site.pages_of_a_change, warm),
    ]
    return {
        name: {"times": times, **{what: times * n for what, n in one.items()}}
        for name, times, one in things
    }


def dollars(site: Site, day: dict[str, dict[str, float]]) -> dict[str, float]:
    """A month's bill by its lines."""
    bill = {"plan": PLAN}
    for what, (price, included) in PRICES.items():
        total = (
            site.requests
            if what == "Workers requests"
            else sum(part[what] for part in day.values())
        )
        bill[what] = max(total * DAYS - included, 0) / MILLION * price
    awake = (1 + SHARDS) * OBJECT_GB * SECONDS_A_DAY * DAYS
    bill["duration, at most"] = max(awake - DURATION_INCLUDED, 0) / MILLION * DURATION_PRICE
    return bill


def row(*cells: object) -> str:
    """A row of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def short(number: float) -> str:
    """A number for people, in three digits."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size * 0.9995:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"


def table(head: list[str], rows: list[list[object]]) -> list[str]:
    """A table's lines."""
    return [row(*head), row(*["---"] * len(head)), *(row(*cells) for cells in rows)]


def tables(costs: dict[str, dict[str, float]]) -> Iterator[list[str]]:
    """The tables of docs/scale.md."""
    billed = ["Durable Object requests", "rows read", "rows written", "KV reads", "KV writes"]
    yield table(
        ["one", *billed],
        [[name, *(f"{n:.3g}" for n in per(one).values())] for name, one in costs.items()],
    )
    days = [a_day(site, costs) for site in SITES]
    names = [site.name for site in SITES]
    yield table(
        ["times a day", *names],
        [[what, *(short(day[what]["times"]) for day in days)] for what in days[0]],
    )
    yield table(
        ["operations a day", *names],
        [
            [what, *(short(sum(part[what] for part in day.values())) for day in days)]
            for what in billed
        ],
    )
    bills = [dollars(site, day) for site, day in zip(SITES, days)]
    lines = [[what, *(f"{bill[what]:,.2f}" for bill in bills)] for what in bills[0]]
    yield table(
        ["dollars a month", *names],
        [*lines, ["**all**", *(f"**{sum(bill.values()):,.2f}**" for bill in bills)]],
    )
    own = [sum(part["Durable Object requests"] for part in day.values()) for day in days]
    low, high = (REPORTED_OBJECT_REQUESTS / visits for visits in REPORTED_VISITS)
    price, included = PRICES["Durable Object requests"]
    month = lambda a_day: max(a_day * DAYS - included, 0) / MILLION * price
    yield table(
        ["Durable Object requests a day", *names],
        [
            ["edge-isr", *(short(n) for n in own)],
            [
                "OpenNext, as reported",
                *(f"{short(low * s.requests)} to {short(high * s.requests)}" for s in SITES),
            ],
            ["edge-isr, dollars a month for them", *(f"{month(n):,.2f}" for n in own)],
            [
                "OpenNext, dollars a month for them",
                *(
                    f"{month(low * s.requests):,.2f} to {month(high * s.requests):,.2f}"
                    for s in SITES
                ),
            ],
        ],
    )


def main() -> None:
    """Prints them."""
    for lines in tables(json.loads(Path(sys.argv[1]).read_text())["runtime"]["operations"]):
        print("\n".join(lines), end="\n\n")


if __name__ == "__main__":
    main()
