"""How many characters of a text settle what a filter shows of it: held against Django's own."""

import random

import pytest
from django.db import models
from django.template.defaultfilters import slice_filter, truncatechars, truncatewords

from edge_isr import beginnings
from edge_isr.beginnings import ANY_TEXT, LENGTHS, characters, is_there, lengths_of, slices, words
from edge_isr.tags import condensed, of_cells

SHORT = (ANY_TEXT, 1, 2, 3, 4, 5, 6, 8, 10, 13, 17)
FILTERS = {
    "truncatewords": (words, truncatewords),
    "truncatechars": (characters, truncatechars),
    "slice": (slices, lambda text, count: slice_filter(text, f":{count}")),
    "truth": (lambda count: is_there, lambda text, count: bool(text)),
}
# Letters and white space of all kinds, what combines and what looks as if it did, HTML.
PIECES = (
    *"aab é日本語ñ", "word ", " the ", "  ", "\n", "\t", "\x1c", "\x85", "\xa0", "\u2003", "\u3000",
    "e\u0301", "\u0301", "\u0327", "\u0323", "\u0344", "\u0f73", "\u0f71\u0f72", "a\u0323\u0307",
    "\u1100", "\u1161", "\u11a8", "\uac00", "\u0bc6", "\u0bbe", "\u0958", "\ufb1d", "\u212b",
    "\u200d", "\ufe0f", "😀", "👩\u200d👩", "\U0001d15e", "<b>", "</b>", "&amp;", "&", "<", "…",
    " …",
)  # fmt: skip


def text(dice, most=20):
    # Of few kinds of pieces, so that those meet that have to do with each other.
    pieces = dice.choices(PIECES, k=dice.randrange(1, 9))
    return "".join(dice.choice(pieces) for _ in range(dice.randrange(most)))


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("seed", range(4))
def test_no_text_with_the_same_beginning_is_shown_otherwise(name, seed):
    print("seed", seed)
    dice = random.Random(seed)
    make, shown = FILTERS[name]
    found = 0
    for _ in range(4000):
        before, count = text(dice), dice.randrange(1, 9)
        length = beginnings.least(before, SHORT, make(count))
        if length is None:
            continue
        found += 1
        after = before[:length] + text(dice)
        if length == ANY_TEXT:
            after = (after or "x") if before else ""
        assert shown(after, count) == shown(before, count), (before, after, count, length)
    assert found > 400


@pytest.mark.parametrize("name", FILTERS)
def test_of_plain_text_it_is_the_least(name):
    make, _ = FILTERS[name]
    letters, spaced = "abcdefghij" * 30, "ab cd " * 60
    wanted = {
        "truncatewords": (None, None, 4),
        "truncatechars": (3, 10, 3),
        "slice": (2, 10, 2),
        "truth": (0, 0, 0),
    }[name]
    found = [
        beginnings.least(one, SHORT, make(count))
        for one, count in ((letters, 2), (letters, 9), (spaced, 1))
    ]
    if name == "truncatechars":
        wanted = (3, 10, 2)
    if name == "slice":
        wanted = (2, 10, 1)
    assert tuple(found) == wanted


def test_of_text_without_an_end_in_reach():
    # Nothing says where what combines ends.
    assert beginnings.least("a" + "\u0301" * 2000, LENGTHS, characters(1)) is None
    assert beginnings.least("日本語" * 100, LENGTHS, characters(50)) == 64
    assert beginnings.least("é " * 100, LENGTHS, words(40)) == 96
    assert beginnings.least("word " * 20, LENGTHS, words(18)) == 96
    assert beginnings.least("word " * 20, LENGTHS, words(20)) is None
    assert beginnings.least("word " * 900, LENGTHS, words(300)) is None


def test_which_beginnings_a_change_is_in():
    text = "x" * 300
    differ = beginnings.that_differ
    every = (ANY_TEXT, *LENGTHS)
    assert differ(every, text, text + "y") == [320, 384, 512, 1024]
    assert differ(every, text, text[:200] + "y") == [256, 320, 384, 512, 1024]
    assert differ(every, text, "y" + text) == list(LENGTHS)
    assert differ(every, text, "") == differ(every, "", text) == list(every)
    assert differ(every, "a", "ab") == list(LENGTHS)
    assert differ(every, text * 9, text * 8) == []
    # What is stored of these is not known.
    for value in (None, 1, models.F("text"), type("Text", (str,), {})(text)):
        assert differ(every, text, value) == differ(every, value, text) == every


def test_what_others_cover():
    assert beginnings.widest({"a<128", "a<0", "b<256"}) == {"a<128", "b<256"}
    assert beginnings.widest({"a<128", "a", "b"}) == {"a", "b"}
    assert beginnings.widest({"a", "a<1024"}) == {"a"}
    assert beginnings.widest({"a<128", ""}) == {""}


def test_of_many_rows_each_has_one():
    cells = {key: {"a<128", "a<0"} for key in range(3)}
    assert of_cells(cells, 2) == ["@<", "@a<128=0", "@a<128=1", "@a<128=2"]
    cells[1].add("b")
    assert of_cells(cells, 3) == ["@<", "@=1", "@a<128=0", "@a<128=2"]
    assert of_cells({1: {"b"}, 2: {"", "a<128"}}, 9) == ["@=2", "@b=1"]


class Stored(models.TextField):
    def get_prep_value(self, value):
        return value[::-1]


class Loaded(models.CharField):
    def from_db_value(self, value, expression, connection):
        return value[::-1]


class Labelled(models.TextField):
    description = "as it is"


def test_which_columns_are_known_by_them():
    assert lengths_of(models.TextField()) == lengths_of(Labelled()) == (ANY_TEXT, *LENGTHS)
    assert lengths_of(models.CharField(max_length=80)) == (ANY_TEXT, 64)
    assert lengths_of(models.URLField(max_length=64)) == (ANY_TEXT,)
    for field in (
        Stored(), Loaded(max_length=900), models.JSONField(), models.FileField(),
        models.GenericIPAddressField(), models.DateField(),
    ):  # fmt: skip
        assert lengths_of(field) == ()


def test_too_many_to_send_are_one():
    rows = {f"shop.manual:{key}" for key in range(100)}
    cells = {f"shop.manual:@text={key}" for key in range(100)}
    cut = {f"shop.manual:@text<{length}={key}" for key in range(100) for length in LENGTHS}
    other = {"shop.review:@text<64=1", "shop.manual", "mine:@<"}
    every = rows | cells | cut | other
    assert condensed(every) == rows | cells | other | {"shop.manual:@<"}
    assert condensed(every, 90, 2000) == other | {"shop.manual", "shop.manual:*"}
    assert condensed(every, 1200, 4000) == every
    mine = {f"{one}:@<{key}" for key in range(1001) for one in ("mine", "shop.manual")}
    mine |= {f"mine:@text<{key}=1" for key in range(1001)}
    assert condensed(mine, 1000, 9000) == mine
