"""Pages that show the beginning of a text: a change behind it invalidates none of them."""

import random
from operator import attrgetter
from unittest import mock

import pytest
from django.core.cache import cache
from django.db import connection, models
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.template import Context, Template, Variable, defaultfilters, engines
from django.utils.safestring import mark_safe
from shop.models import Manual, Product
from test_beginnings import text as random_text
from test_exact import seen

import edge_isr
from edge_isr.excerpts import CutVariable
from edge_isr.explanation import writes_that_invalidate

pytestmark = pytest.mark.django_db
WORDS = " ".join(f"word{number:03}" for number in range(400))
CELL = "shop.manual:@text=1"


def beginning(length):
    return f"shop.manual:@text<{length}=1"


@pytest.fixture
def manual(fez, new_tags):
    edge_isr.register(Manual, tracked_fields=["text"])
    made = Manual.objects.create(pk=1, product=fez, text=WORDS)
    new_tags()
    return made


class Count:
    """Its attribute is made of another one's without a line of Python."""

    text = property(attrgetter("manual.text.__len__"))

    def __init__(self, manual):
        self.manual = manual


class About:
    """Has an attribute of that name, which is another one's."""

    def __init__(self, manual):
        self.manual = manual

    @property
    def text(self):
        return self.manual.text if "999" not in self.manual.text else ""


def rendered(source, **more):
    manual = Manual.objects.get(pk=1)
    context = {
        "manual": manual,
        "other": manual,
        "about": About(manual),
        "words": 15,
        "count": Count(manual),
        **more,
    }
    return engines["django"].from_string(source).render(context)


def cells(source, **more):
    """What a template has read of the text."""
    tags = seen(lambda: rendered(source, **more))
    return {tag for tag in tags if tag.startswith("shop.manual:@text")}


CUT = {
    "{{ manual.text|truncatewords:10 }}": 96,
    "{{ manual.text|truncatewords:'10' }}": 96,
    "{{ manual.text|truncatewords:20 }}": 192,
    "{{ manual.text|truncatewords:40 }}": 384,
    "{{ manual.text|truncatewords:100 }}": 1024,
    "{{ manual.text|truncatechars:100 }}": 112,
    "{{ manual.text|truncatechars:128 }}": 160,
    '{{ manual.text|slice:":128" }}': 128,
    '{{ manual.text|slice:"5:300" }}': 320,
    '{{ manual.text|slice:"9" }}': 64,
    "{{ manual.text|truncatewords:10|upper|striptags }}": 96,
    "{{ manual.text|default:'none'|truncatewords:10 }}": 96,
    "{{ manual.text|default_if_none:manual.pk|truncatewords:10 }}": 96,
    "{{ manual.text|safe|truncatewords:10 }}": 96,
    "{{ manual.product.manual.text|truncatewords:10 }}": 96,
    "{% if manual.text %}yes{% endif %}": 0,
    "{% if not manual.text %}no{% else %}yes{% endif %}": 0,
    "{% if manual.pk and manual.text or other.text %}yes{% endif %}": 0,
    "{% if manual.pk == 2 %}no{% elif manual.text %}yes{% endif %}": 0,
    "{% if manual.text %}{{ manual.text|truncatewords:10 }}{% endif %}": 96,
    "{% if manual.text|truncatewords:10 == 'x' %}yes{% endif %}": 96,
    "{% with short=manual.text|truncatewords:10 %}{{ short }}{% endwith %}": 96,
    "{% autoescape off %}{{ manual.text|truncatewords:10 }}{% endautoescape %}": 96,
    "{% for one in manual.text|slice:':9' %}{{ one }}{% endfor %}": 64,
    "{% firstof manual.text|truncatewords:10 'x' %}": 96,
}
WHOLE = [
    "{{ manual.text }}",
    "{{ manual.text|default:'' }}",
    "{{ manual.text|upper|truncatewords:10 }}",
    "{{ manual.text|striptags|truncatewords:10 }}",
    "{{ manual.text|truncatewords_html:10 }}",
    "{{ manual.text|truncatechars_html:10 }}",
    "{{ manual.text|truncatewords:words }}",
    "{{ manual.text|truncatewords:0 }}",
    "{{ manual.text|truncatewords:'x' }}",
    "{{ manual.text|truncatewords:300 }}",
    '{{ manual.text|slice:"-9:" }}',
    '{{ manual.text|slice:":-9" }}',
    '{{ manual.text|slice:"::2" }}',
    '{{ manual.text|slice:"9:" }}',
    "{{ words|default:manual.text|truncatewords:10 }}",
    "{{ words|truncatewords:manual.text }}",
    "{{ manual.product_id|default:manual.text|truncatewords:10 }}",
    "{{ manual.text.strip|truncatewords:10 }}",
    "{{ manual.excerpt|truncatewords:10 }}",
    "{{ about.text|truncatewords:10 }}",
    "{% if about.text %}yes{% endif %}",
    "{{ count.text|truncatewords:10 }}",
    "{{ manual.text|length }}",
    "{{ manual.text|yesno }}",
    "{% with all=manual.text %}{{ all|truncatewords:10 }}{% endwith %}",
    "{% with all=manual.text %}{% if all %}yes{% endif %}{% endwith %}",
    "{% filter truncatewords:10 %}{{ manual.text }}{% endfilter %}",
    "{% firstof manual.text 'x' %}",
    "{% if manual.text == 'x' %}yes{% endif %}",
    "{% if 'x' in manual.text %}yes{% endif %}",
    "{% if manual.text != 'x' and manual.pk %}yes{% endif %}",
    "{% if manual.text|upper %}yes{% endif %}",
    "{% if manual.text %}{{ manual.text }}{% endif %}",
    "{% ifchanged manual.text %}yes{% endifchanged %}",
]


@pytest.mark.parametrize("source", CUT)
def test_what_is_cut_off(manual, source):
    assert cells(source) == {beginning(CUT[source])}


@pytest.mark.parametrize("source", WHOLE)
def test_what_may_be_all_of_it(manual, source, monkeypatch):
    monkeypatch.setattr(
        Manual, "excerpt", property(lambda self: self.text if "999" not in self.text else ""),
        raising=False,
    )  # fmt: skip
    assert cells(source) == {CELL}


def test_a_text_that_is_short_is_read_as_a_whole(manual):
    for text in ("", "one two", "word " * 15, "x" * 64):
        Manual.objects.update(text=text)
        assert cells("{{ manual.text|truncatewords:15 }}") == {CELL}
        assert cells("{% if manual.text %}yes{% endif %}") == {beginning(0)}


def test_what_was_changed_since_it_was_loaded(manual):
    for value in (None, mark_safe(WORDS), 5, Value(1)):
        manual.text = value
        assert cells("{{ manual.text|truncatewords:15 }}", manual=manual) == {CELL}
        assert cells("{% if manual.text %}yes{% endif %}", manual=manual) == {CELL}


def test_what_a_row_is_made_of_by_the_site(manual, monkeypatch):
    def from_db(cls, db, names, values, **more):
        values = [*values[:-1], values[-1][::-1]]
        return models.Model.from_db.__func__(cls, db, names, values, **more)

    monkeypatch.setattr(Manual, "from_db", classmethod(from_db))
    assert cells("{{ manual.text|truncatewords:10 }}") == {CELL}


def test_a_filter_of_the_sites_own_by_the_same_name(manual):
    library = engines["django"].engine.template_builtins[1]
    own = lambda text, count: text[-1]  # noqa: E731
    with mock.patch.dict(library.filters, {"truncatewords": own}):
        assert cells("{{ manual.text|truncatewords:10 }}") == {CELL}
    assert library.filters["truncatewords"] is defaultfilters.truncatewords


def test_a_variable_of_another_kind(manual):
    class Own(Variable):
        __slots__ = ()

    template = Template("{{ manual.text|truncatewords:10 }}")
    node = template.nodelist[0]
    assert type(node.filter_expression.var) is CutVariable
    assert str(node.filter_expression.var) == "manual.text"
    # The first of these may be a column, and the second a method of texts.
    twice = Template("{{ manual.title.title|truncatewords:10 }}").nodelist[0]
    assert type(twice.filter_expression.var) is Variable
    node.filter_expression.var = Own("manual.text")
    shown = lambda: template.render(Context({"manual": Manual.objects.get(pk=1)}))  # noqa: E731
    assert CELL in seen(shown)


def test_a_template_is_rendered_as_without(manual):
    for source in [*CUT, *WHOLE, "{{ manual.none|truncatewords:3 }}", "{% if no.one %}{% endif %}"]:
        shown = []
        seen(lambda source=source, shown=shown: shown.append(rendered(source, manual=manual)))
        assert shown == [rendered(source, manual=manual)]


def test_an_include(manual):
    engine = engines["django"].engine
    card = engine.from_string(
        "{{ text }}{% if entry.text %}{{ entry.text|truncatewords:9 }}{% endif %}"
    )
    source = "{% include card with entry=manual text=manual.text|truncatewords:20 %}"
    assert cells(source, card=card) == {beginning(192)}
    assert cells("{% include card with entry=manual text=manual.text %}", card=card) == {CELL}


def behind(text):
    return text[:900] + "other" + text[905:]


def within(text):
    return "other" + text[5:]


def change(how):
    row = Manual.objects.get(pk=1)
    row.text = how(row.text)
    return row


WRITES = {
    "saved": lambda how: change(how).save(),
    "saved in part": lambda how: change(how).save(update_fields=["text"]),
    "saved blindly": lambda how: Manual(pk=1, product_id=11, text=how(WORDS)).save(),
}
LONGER = Concat(Value("!"), F("text"))
UNKNOWN = {
    "updated": lambda how: Manual.objects.update(text=how(WORDS)),
    "updated by an expression": lambda how: Manual.objects.update(text=LONGER),
    "saved by an expression": lambda how: change(lambda text: LONGER).save(),
    "in bulk": lambda how: Manual.objects.bulk_update([change(how)], ["text"]),
    "with conflicts": lambda how: Manual.objects.bulk_create(
        [Manual(pk=1, product_id=11, text=how(WORDS))], update_conflicts=True,
        update_fields=["text"],
        unique_fields=["id"] if connection.vendor != "mysql" else None,
    ),
    "by SQL": lambda how: connection.cursor().execute(
        "UPDATE shop_manual SET text = %s", [how(WORDS)]
    ),
    "made a text": lambda how: change(lambda text: mark_safe(how(text))).save(),
    "deleted": lambda how: Manual.objects.all().delete(),
}  # fmt: skip


@pytest.mark.parametrize("write", [*WRITES, *UNKNOWN])
@pytest.mark.parametrize("source", ["{{ manual.text|truncatewords:15 }}", "{{ manual.text }}"])
def test_who_shows_the_change_is_sent(manual, new_tags, write, source):
    pages = seen(lambda: rendered(source))
    pages |= {"shop.manual:*"}
    {**WRITES, **UNKNOWN}[write](within)
    assert new_tags(parts=True) & pages


@pytest.mark.parametrize("write", WRITES)
def test_who_shows_what_stands_before_is_not(manual, new_tags, write):
    pages = seen(
        lambda: rendered("{% if manual.text %}{{ manual.text|truncatewords:15 }}{% endif %}")
    )
    there = seen(lambda: rendered("{% if manual.text %}yes{% endif %}"))
    whole = seen(lambda: rendered("{{ manual.text }}"))
    WRITES[write](behind)
    sent = new_tags(parts=True)
    assert not sent & pages and not sent & there and sent & whole
    assert beginning(1024) in sent
    WRITES[write](within)
    sent = new_tags(parts=True)
    assert sent & pages and not sent & there
    WRITES[write](lambda text: "")
    assert new_tags(parts=True) & there
    there = seen(lambda: rendered("{% if manual.text %}yes{% endif %}"))
    WRITES[write](lambda text: "any")
    assert new_tags(parts=True) & there


def test_out_of_a_cache(manual, new_tags):
    def page():
        found = cache.get_or_set("manual", lambda: Manual.objects.get(pk=1))
        engines["django"].from_string("{{ m.text|truncatewords:15 }}").render({"m": found})

    pages = seen(page)
    WRITES["saved"](behind)
    assert new_tags(parts=True) & pages


def test_many_rows_at_once(hats, manual, new_tags):
    """What a statement sends is bounded, and so is what a page has."""
    products = [Product(name=f"p{n}", slug=f"p{n}", category=hats) for n in range(150)]
    Product.objects.bulk_create(products)
    products = Product.objects.filter(slug__startswith="p")
    Manual.objects.bulk_create([Manual(product=one, text=WORDS) for one in products])
    source = "{% for m in all %}{{ m.text|truncatewords:15 }}{% endfor %}"
    pages = seen(lambda: rendered(source, all=Manual.objects.order_by("pk")))
    cut = [tag for tag in pages if "@text<128=" in tag]
    assert len(cut) == 151 and "shop.manual:@<" in pages and "shop.manual" not in pages
    new_tags()
    change(behind).save()
    assert not new_tags(parts=True) & pages
    Manual.objects.update(text="new")
    sent = new_tags(parts=True)
    assert sent & pages == {"shop.manual:@<"} and "shop.manual:*" not in sent
    assert len(sent) < 450


FILTERS = (
    "truncatewords:{}", "truncatechars:{}", 'slice:":{}"', "safe|truncatewords:{}",
    "default:'none'|truncatechars:{}|upper", "truncatewords_html:{}", "striptags|truncatewords:{}",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost(manual, new_tags, seed):
    """Random texts and changes: whoever shows something else is sent."""
    print("seed", seed)
    dice = random.Random(seed)
    sources = ["{% if manual.text %}yes{% endif %}"]
    for _ in range(25):
        shown = dice.choice(FILTERS).format(int(dice.lognormvariate(4, 1)) + 1)
        sources.append(f"{{{{ manual.text|{shown} }}}}")
    spared = 0
    for _ in range(40):
        text = "".join(random_text(dice, 30) for _ in range(dice.choice((0, 1, 3, 20, 60))))
        Manual.objects.update(text=text)
        new_tags()
        pages = [seen(lambda source=source: rendered(source)) for source in sources]
        before = [rendered(source) for source in sources]
        at = int(len(text) * dice.random() ** 2)
        end = dice.choice((at, at + dice.randrange(9), len(text)))
        change(lambda old, at=at, end=end: old[:at] + random_text(dice, 20) + old[end:]).save()
        sent = new_tags(parts=True)
        for source, page, shown in zip(sources, pages, before, strict=True):
            assert rendered(source) == shown or sent & page, (source, text)
            spared += bool(sent) and not sent & page
    assert spared > 60


def test_it_is_explained():
    says = {
        "shop.manual:@text<128=1": "a change of the first 128 characters of text in the manual 1",
        "shop.manual:@text<0=1": "a change of whether there is any text in the manual 1",
        "shop.manual:@<": "changes of texts in more manual rows at once than are named",
    }
    assert {tag: writes_that_invalidate(tag) for tag in says} == says
