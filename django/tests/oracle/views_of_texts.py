"""Views that show the beginnings of texts, and writes before, in and behind what they show."""

from django.core.cache import cache
from django.db import connection
from django.db.models import F, Value
from django.db.models.functions import Concat
from django.template import engines

import edge_isr

from .registry import view, write
from .store.models import Essay

SOURCES = {
    "words": "{{ essay.text|truncatewords:8 }}",
    "more words": "{{ essay.text|truncatewords:40 }}",
    "characters": "{{ essay.text|truncatechars:70 }}",
    "a slice": "{{ essay.text|slice:':300' }}",
    "whether there is one": "{% if essay.text %}yes{% endif %}",
    "both": "{% if essay.text %}{{ essay.text|truncatewords:8 }}{% else %}none{% endif %}",
    "if not": "{% if not essay.text or essay.pk == 2 %}none{% endif %}",
    "another if there is none": "{{ essay.text|default:essay.name|truncatewords:8 }}",
    "without its tags": "{{ essay.text|striptags|truncatewords:8 }}",
    "HTML": "{{ essay.text|truncatewords_html:8 }}",
    "all": "{{ essay.text }}",
    "an alias": "{% with text=essay.text %}{{ text|truncatewords:8 }}{% endwith %}",
    "a property": "{{ essay.end|truncatewords:8 }}",
}


def add_texts():
    """Beginnings of one text and of all; changes at several places, in each way of writing."""
    edge_isr.register(Essay, tracked_fields=["text"])
    for name, source in SOURCES.items():
        view(f"text, {name}", lambda source=source: _shown(source, Essay.objects.order_by("pk")))
        view(f"text, {name}, of one", lambda source=source: _shown(source, [_first()]))
    source = SOURCES["words"]
    view("text, words, out of a cache", lambda: _shown(source, _cached()), twice=True,
         truth=lambda: _shown(source, Essay.objects.order_by("pk")))  # fmt: skip
    view(
        "text, words, deferred", lambda: _shown(source, Essay.objects.defer("text").order_by("pk"))
    )
    for place, change in CHANGES.items():
        for way, run in WAYS.items():
            write("text", f"{way}, {place}", lambda run=run, change=change: run(change))


def _shown(source, essays):
    template = engines["django"].from_string(source)
    return [template.render({"essay": essay}) for essay in essays]


def _first():
    return Essay.objects.order_by("pk").first()


def _cached():
    return cache.get_or_set("oracle:essays", lambda: list(Essay.objects.order_by("pk")))


CHANGES = {
    "at its beginning": lambda text: f"New {text}",
    "in its first words": lambda text: f"{text[:30]}NEW{text[33:]}",
    "behind them": lambda text: f"{text[:200]}NEW{text[203:]}",
    "at its end": lambda text: f"{text} NEW",
    "that is gone": lambda text: "",
    "that ends early": lambda text: text[:75],
}


def _changed(change):
    row = _first()
    row.text = change(row.text)
    return row


def _by_sql(change):
    with connection.cursor() as cursor:
        text = change(_first().text)
        cursor.execute("UPDATE store_essay SET text = %s WHERE id = %s", [text, _first().pk])


def _with_conflicts(change):
    row = _changed(change)
    unique = {} if connection.vendor == "mysql" else {"unique_fields": ["id"]}
    Essay.objects.bulk_create([row], update_conflicts=True, update_fields=["text"], **unique)


def _save_all(change):
    for row in Essay.objects.all():
        row.text = change(row.text) or "none"
        row.save()


WAYS = {
    "saved": lambda change: _changed(change).save(),
    "saved in part": lambda change: _changed(change).save(update_fields=["text"]),
    "all of them saved": _save_all,
    "updated": lambda change: Essay.objects.filter(pk=_first().pk).update(
        text=change(_first().text)
    ),
    "updated by an expression": lambda change: Essay.objects.update(
        text=Concat(Value(change("a") or "b"), F("text"))
    ),
    "bulk_update": lambda change: Essay.objects.bulk_update([_changed(change)], ["text"]),
    "bulk_create with conflicts": _with_conflicts,
    "SQL of the site": _by_sql,
}
