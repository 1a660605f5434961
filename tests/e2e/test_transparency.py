"""Transparency on the runtime: each answer is the origin's own to that very request, or one that
everyone may have.

The same sentence as in tests/transparency.rs, for a few hundred requests. The body of each answer
says what it was made of.
"""

import random

import pytest
from origin import Reply

# What an answer may be made of.
PERSONAL = [
    "accept",
    "accept-language",
    "cookie",
    "hx-request",
    "origin",
    "prefer",
    "referer",
    "user-agent",
    "x-api-key",
]
SAID = {
    "user-agent": ["Mozilla/5", "curl/8"],
    "accept": ["text/html,*/*;q=0.8", "application/json", "*/*"],
    "accept-language": ["en", "de,en;q=0.5"],
    "cookie": ["_ga=1", "_ga=2; cart=7", "sessionid=1", "messages=m"],
    "x-api-key": ["k", "wrong"],
    "hx-request": ["true"],
    "origin": ["https://app.example", "https://b.example"],
    "prefer": ["return=minimal"],
    "referer": ["https://example.com/"],
}
UNSTORABLE = [
    ("Cache-Control", "private"),
    ("Cache-Control", "no-store"),
    ("Set-Cookie", "id=1"),
    ("X-Edge-ISR", "bypass"),
    ("X-None", "1"),
]


class Page:
    """A page with a rule of its own, and what the origin has said for it so far."""

    def __init__(self, dice, path):
        self.path = path
        self.storable = dice.random() < 0.6
        self.status = (
            200
            if self.storable
            else dice.choice([200, 302, 400, 401, 403, 404, 406, 410, 412, 501])
        )
        names = ["accept", "accept-language", "hx-request", "origin", "prefer"]
        self.vary = dice.sample(names, dice.choice([0, 0, 1, 2])) if self.storable else []
        self.key = dice.choice([None, None, None, None, 401, 403, 302])
        self.said = dice.choice(UNSTORABLE)
        self.shared = []

    def answer(self, get):
        """Status, body, and whether everyone may have it, for a request with these fields."""
        if self.key and get("x-api-key") != "k":
            return self.key, f"{self.path} no key", False
        everyone = self.storable and not self.key
        names = self.vary if everyone else PERSONAL
        made = "&".join(f"{name}={get(name)}" for name in names)
        return (200 if self.key else self.status), f"{self.path} {made}", everyone

    def __call__(self, connection, request):
        status, body, everyone = self.answer(request.get)
        fields = (
            [("Cache-Control", "s-maxage=2, stale-while-revalidate=60")]
            if everyone
            else [self.said]
        )
        if self.vary:
            fields.append(("Vary", ", ".join(self.vary)))
        if everyone:
            self.shared.append(({name: request.get(name) for name in self.vary}, status, body))
        Reply(body.encode(), fields, status)(connection, request)

    def allows(self, said, answer):
        """Whether an answer may be the one to a request with these fields."""
        status, body, _ = self.answer(lambda name: said.get(name))
        if (answer.status, answer.text) == (status, body):
            return True
        if "sessionid" in said.get("cookie", "") or "messages" in said.get("cookie", ""):
            return False
        return any(
            (answer.status, answer.text) == (status, body)
            and all(
                (value or "").replace(" ", "") == said.get(name, "").replace(" ", "")
                for name, value in made.items()
            )
            for made, status, body in self.shared
        )


@pytest.mark.parametrize("seed", range(6))
def test_each_answer_is_the_origins_own_or_one_that_may_be_shared(edge, origin, path, seed):
    print(f"seed {seed}")
    dice = random.Random(seed)
    pages = [Page(dice, f"{path}/{number}/{seed}") for number in range(8)]
    for page in pages:
        origin.on(page.path, page)
    for _ in range(80):
        page = dice.choice(pages)
        if dice.random() < 0.04:
            page.storable = not page.storable
            page.vary = []
        said = {name: dice.choice(values) for name, values in SAID.items() if dice.random() < 0.3}
        said.setdefault("user-agent", "e2e")
        said.setdefault("accept", "*/*")
        answer = edge.request("GET", page.path, said)
        assert page.allows(said, answer), (seed, said, answer, page.__dict__)
