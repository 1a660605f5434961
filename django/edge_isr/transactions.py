"""Transactions of changes: one with its message of the outbox, which writes before it reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connections, transaction
from django.db.models import Model

from .conf import load
from .sqlite import has_written, take_turn, writing_first


@contextmanager
def one_transaction(using: str) -> Iterator[None]:
    """What is done in it is committed together with the message that reports it."""
    if connections[using].in_atomic_block or not load()[0].outbox:
        yield
    else:
        with writing_first(connections[using]), transaction.atomic(using=using):
            yield


@contextmanager
def changing(using: str, model: type[Model], reads: bool) -> Iterator[None]:
    """One for a change of a model. `reads`: we look at its rows before it is made."""
    connection = connections[using]
    with one_transaction(using):
        if not reads:
            yield
        elif connection.in_atomic_block:
            write_first(connection, model)
            yield
        else:
            # Rows can't be kept as they are outside of one.
            with transaction.atomic(using=using):
                write_first(connection, model)
                yield


def write_first(connection: Any, model: type[Model]) -> None:
    """Takes SQLite's write lock before anything is read.

    A transaction that has read and then writes is refused at once if another one writes meanwhile;
    one that writes first waits for its turn, as the site's own statement would without us.
    """
    if connection.vendor != "sqlite" or vars(connection).get("edge_isr_written"):
        return
    take_turn(connection)
    quote = connection.ops.quote_name
    options = model._meta.concrete_model._meta
    column = quote(options.local_concrete_fields[0].column)
    try:
        with connection.wrap_database_errors:
            # By the driver: this is no statement of the site's.
            connection.connection.execute(
                f"UPDATE {quote(options.db_table)} SET {column} = {column} WHERE 0"
            )
        has_written(connection)
        connection.edge_isr_written = True
    except OperationalError as error:
        # A view can't be updated; that is for the site's own statement to say.
        if "locked" in str(error):
            raise
