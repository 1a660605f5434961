"""Threads that a page starts load what it shows: they are given its recorder.

A new thread begins without the context of the one that starts it. So the recorder goes along with
the work: `Thread`, `ThreadPoolExecutor` (and with it `run_in_executor`) and `ThreadPool`. asgiref
and `asyncio.to_thread` copy the whole context by themselves. What another process loads is heard of
by nobody here: the page is marked as depending on what can't be named.
"""

from __future__ import annotations

import _thread
import concurrent.futures
import multiprocessing.pool
import multiprocessing.process
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from typing import Any

from .context import PageContext, Recorder, automatic, current, page_now, recording
from .patching import replace_method

_POOL_METHODS = (
    "apply", "apply_async", "imap", "imap_unordered", "map", "map_async", "starmap",
    "starmap_async",
)  # fmt: skip
# Threads whose interpreters share nothing: what runs there is as far away as in another process.
_INTERPRETERS: tuple[type, ...] = tuple(
    filter(None, [getattr(concurrent.futures, "InterpreterPoolExecutor", None)])
)


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    replace_method(threading.Thread, "start", _start)
    replace_method(_thread, "start_new_thread", _start_new)
    replace_method(ThreadPoolExecutor, "submit", _submit)
    for name in _POOL_METHODS:
        replace_method(multiprocessing.pool.ThreadPool, name, _submit_to_pool)
    replace_method(ProcessPoolExecutor, "submit", _submit_to_process)
    replace_method(multiprocessing.process.BaseProcess, "start", _start_process)


def _for_page(recorder: Recorder, work: Callable[..., Any]) -> Callable[..., Any]:
    return partial(_recorded, recorder, page_now.get(), work)


def _recorded(
    recorder: Recorder,
    page: PageContext | None,
    work: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    with recording(recorder, page):
        return work(*args, **kwargs)


def _start(original: Any) -> Any:
    def start(self: threading.Thread) -> None:
        recorder = current.get()
        if recorder is not None and not recorder.closed:
            # Subclasses have a method of their own.
            self.run = _for_page(recorder, self.run)  # type: ignore[method-assign]
        original(self)

    return start


def _start_new(original: Any) -> Any:
    def start_new_thread(function: Any, args: Any, *kwargs: Any) -> Any:
        recorder = current.get()
        if recorder is not None and not recorder.closed:
            function = _for_page(recorder, function)
        return original(function, args, *kwargs)

    return start_new_thread


def _submit(original: Any) -> Any:
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self, _INTERPRETERS):
            _say_process(fn)
            with recording(None):
                return original(self, fn, *args, **kwargs)
        recorder = current.get()
        if recorder is None or recorder.closed:
            return original(self, fn, *args, **kwargs)
        # The executor's threads outlive the page: they must not be started as its own.
        with recording(None):
            return original(self, _for_page(recorder, fn), *args, **kwargs)

    return submit


def _submit_to_pool(original: Any) -> Any:
    def submit(self: Any, func: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = current.get()
        if recorder is None or recorder.closed:
            return original(self, func, *args, **kwargs)
        with recording(None):
            return original(self, _for_page(recorder, func), *args, **kwargs)

    return submit


def _submit_to_process(original: Any) -> Any:
    def submit(self: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        _say_process(fn)
        return original(self, fn, *args, **kwargs)

    return submit


def _start_process(original: Any) -> Any:
    def start(self: Any) -> None:
        _say_process(self)
        original(self)

    return start


def _say_process(what: Any) -> None:
    recorder = automatic()
    if recorder is not None:
        name = getattr(what, "__qualname__", None) or type(what).__qualname__
        recorder.saw_unknown(f"{name} runs in another process")
