"""What automatic tags cost on a page of 200 objects: the same view, recorded and not, in turns.

    PYTHONPATH=django:django/tests .venv/bin/python django/bench/autotags.py [ROUNDS]

The page lists 200 products with their categories (select_related) and labels (prefetch_related),
and renders them with a template. The database is SQLite in memory, so all time is the process's own
and is measured as such. Each round measures both, in random order; the ratio is of two neighbours.
"""

import os
import random
import statistics
import sys
import time

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.template import engines  # noqa: E402
from django.test import RequestFactory  # noqa: E402
from shop.models import Category, Label, Product  # noqa: E402

import edge_isr  # noqa: E402
from edge_isr.middleware import EdgeISRMiddleware  # noqa: E402

OBJECTS = 200
REQUESTS_PER_SAMPLE = 5

TEMPLATE = engines["django"].from_string(
    "<ul>{% for p in products %}<li><a href='/product/{{ p.slug }}/'>{{ p.name }}</a> "
    "{{ p.price }} in {{ p.category.name }}{% for label in p.labels.all %} {{ label }}"
    "{% endfor %}</li>{% endfor %}</ul>"
)


def listing(request):
    products = Product.objects.select_related("category").prefetch_related("labels")
    return HttpResponse(TEMPLATE.render({"products": products[:OBJECTS]}, request))


def fill():
    call_command("migrate", verbosity=0, run_syncdb=True)
    with edge_isr.silence():
        categories = [Category.objects.create(name=f"c{n}", slug=f"c{n}") for n in range(10)]
        labels = [Label.objects.create(name=f"l{n}") for n in range(5)]
        for n in range(OBJECTS):
            product = Product.objects.create(
                name=f"Product {n}", slug=f"p{n}", price=n, category=categories[n % 10]
            )
            product.labels.add(labels[n % 5], labels[(n + 1) % 5])


def seconds(handler):
    requests = [RequestFactory().get("/list/") for _ in range(REQUESTS_PER_SAMPLE)]
    started = time.process_time()
    for request in requests:
        response = handler(request)
    took = (time.process_time() - started) / REQUESTS_PER_SAMPLE
    return took, response


def main(rounds):
    fill()
    with_tags = EdgeISRMiddleware(edge_isr.isr(listing))
    without = EdgeISRMiddleware(edge_isr.isr(auto_tags=False)(listing))
    _, recorded = seconds(with_tags)
    _, plain = seconds(without)
    assert recorded.content == plain.content
    ratios, times = [], {with_tags: [], without: []}
    for _ in range(rounds):
        pair = [with_tags, without]
        random.shuffle(pair)
        sample = {handler: seconds(handler)[0] for handler in pair}
        for handler, took in sample.items():
            times[handler].append(took)
        ratios.append(sample[with_tags] / sample[without])
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{len(recorded['X-Edge-ISR-Tags'].split())} tags, {rounds} rounds")
    print(f"without  {statistics.median(times[without]) * 1000:.2f} ms")
    print(f"with     {statistics.median(times[with_tags]) * 1000:.2f} ms")
    print(f"ratio    {middle:.3f} (quartiles {low:.3f} to {high:.3f})")
    # On a machine that does other things as well, the best of each says the most.
    best = min(times[with_tags]) / min(times[without])
    print(f"of the best of each  {best:.3f}")
    return 0 if middle <= 1.10 else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
