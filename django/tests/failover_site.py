"""A process of a site that saves on demand: a line on its input is the key of a category to save,
the next one lets the transaction go on. It prints how far it is."""

import sys

import django

django.setup()

from django.db import DatabaseError, close_old_connections, transaction  # noqa: E402
from shop.models import Category  # noqa: E402


def save(key):
    with transaction.atomic():
        category = Category.objects.create(pk=key, name="new", slug=str(key))
        print("inside", flush=True)
        sys.stdin.readline()
        category.name = "saved"
        category.save()


for line in sys.stdin:
    # As around each request.
    close_old_connections()
    try:
        save(int(line))
    except DatabaseError as error:
        print("failed", type(error).__name__, flush=True)
    else:
        print("saved", flush=True)
