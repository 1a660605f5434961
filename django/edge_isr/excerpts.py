"""Templates that show the beginning of a text, or only ask whether there is one.

`{{ entry.text|truncatewords:15 }}` reads the column by its attribute, as `{{ entry.text }}` does.
What it shows is known when the template is compiled: then its variable gets the place of one that
says so while it is resolved, and the attribute (`tracking`) asks here how much of the text is read.

That is less than all only where nothing else has seen the text: the attribute is the last name of
the variable, and is asked by Django's own resolution of it and not by a property, a method or
another variable in between. The frames of Python's stack say who asks.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import FrameType
from typing import Any

from django.db.models import Model
from django.template import Variable, defaultfilters
from django.template.base import FilterExpression
from django.template.defaulttags import IfNode, TemplateLiteral
from django.template.smartif import OPERATORS

from .beginnings import Settles, characters, is_there, least, of_beginning, slices, words
from .context import automatic
from .patching import replace_method

# `slice:":15"` and `slice:"15"`; any other takes more than the beginning.
_SLICE = re.compile(r"(?:[0-9]*:)?([0-9]{1,9})")
# From the attribute back to the variable: Django's look-up, and its `resolve`.
_FRAMES = 3


@dataclass(slots=True)
class _Reading:
    """A variable that is being resolved: by whom, its last name, and what is shown of it; the
    instance whose text was read, and that text."""

    frame: FrameType
    name: str
    settles: Settles
    instance: Any = None
    text: str | None = None


_FROM_DB = vars(Model)["from_db"].__func__
_reading: ContextVar[_Reading | None] = ContextVar("edge_isr_reading", default=None)


class CutVariable(Variable):
    """A variable of whose text no more is shown than `settles` says."""

    __slots__ = ("_settles",)

    def __init__(self, variable: Variable, settles: Settles) -> None:
        super().__init__(variable.var)
        self._settles = settles

    def resolve(self, context: Any) -> Any:
        """As Django does, and its attribute is told who asks."""
        if automatic() is None:
            return super().resolve(context)
        lookups: Any = self.lookups
        reading = _Reading(sys._getframe(), lookups[-1], self._settles)
        token = _reading.set(reading)
        try:
            value = super().resolve(context)
        finally:
            _reading.reset(token)
        if reading.instance is not None and value is not reading.text:
            # Something without a frame of its own has made another value of it: it has read all.
            getattr(reading.instance, reading.name)
        return value


def install() -> None:
    """Puts the hooks in place; again has no effect."""
    replace_method(FilterExpression, "__init__", _compile_expression)
    replace_method(IfNode, "__init__", _compile_if)


def name_of_read(instance: Model, attname: str, lengths: tuple[int, ...]) -> str:
    """What is read of a column now, for its attribute: a beginning, or the column by its name."""
    reading = _reading.get()
    if reading is None or reading.name != attname or not lengths:
        return attname
    frame: FrameType | None = sys._getframe(1)
    for _ in range(_FRAMES):
        frame = frame and frame.f_back
    value = vars(instance).get(attname)
    if frame is not reading.frame or type(value) is not str or not _is_loaded_plainly(instance):
        return attname
    reading.instance, reading.text = instance, value
    length = least(value, lengths, reading.settles)
    return attname if length is None else of_beginning(attname, length)


def _is_loaded_plainly(instance: Model) -> bool:
    """Whether nothing of the site's own stands between the row and what the instance holds."""
    loads: Any = type(instance).from_db
    return getattr(loads, "__func__", None) is _FROM_DB


def _compile_expression(original: Any) -> Any:
    def __init__(self: Any, token: Any, parser: Any) -> None:
        original(self, token, parser)
        if self.filters and type(self) is FilterExpression:
            _cut(self, _shown(self.filters))

    return __init__


def _compile_if(original: Any) -> Any:
    def __init__(self: Any, conditions_nodelists: Any) -> None:
        original(self, conditions_nodelists)
        if type(self) is IfNode and isinstance(conditions_nodelists, (list, tuple)):
            for condition, _ in conditions_nodelists:
                _compile_condition(condition)

    return __init__


def _compile_condition(node: Any) -> None:
    """Of a condition only its truth counts, and of the parts that it is joined of."""
    if type(node) is TemplateLiteral:
        expression = node.value
        if type(expression) is FilterExpression and not expression.filters:
            _cut(expression, is_there)
        return
    for name in ("and", "or", "not"):
        if type(node) is OPERATORS[name]:
            _compile_condition(node.first)
            _compile_condition(node.second)


def _cut(expression: Any, settles: Settles | None) -> None:
    variable = expression.var
    if settles is None or type(variable) is not Variable or variable.translate:
        return
    names: Any = variable.lookups or ()
    # Of a name that stands in it twice, the first may have been the column.
    if len(names) > 1 and names.count(names[-1]) == 1:
        expression.var = CutVariable(variable, settles)


def _shown(filters: Any) -> Settles | None:
    """What filters leave of a text; None if that may be all of it."""
    for function, arguments in filters:
        if function in _HANDING_ON:
            continue
        cut = _CUTTING.get(function)
        return None if cut is None else cut(_constant(arguments))
    return None


def _constant(arguments: Any) -> Any:
    """The one argument of a filter, where it stands in the template; None if it is a variable."""
    if len(arguments) != 1:
        return None
    is_variable, value = arguments[0]
    if not is_variable:
        return value
    return None if value.lookups is not None or value.translate else value.literal


def _counting(settles: Callable[[int], Settles]) -> Callable[[Any], Settles | None]:
    def cut(argument: Any) -> Settles | None:
        try:
            count = int(argument)
        except (TypeError, ValueError, OverflowError):
            return None
        return settles(count) if count > 0 else None

    return cut


def _slicing(argument: Any) -> Settles | None:
    found = None if argument is None else _SLICE.fullmatch(str(argument))
    return None if found is None else slices(int(found[1]))


# Django's own, and not what a site has registered by the same names. These hand on the very text,
# and what they give in its place is given where there is no text.
_HANDING_ON = frozenset({
    defaultfilters.default, defaultfilters.default_if_none, defaultfilters.safe,
})  # fmt: skip
_CUTTING: dict[Any, Callable[[Any], Settles | None]] = {
    defaultfilters.slice_filter: _slicing,
    defaultfilters.truncatechars: _counting(characters),
    defaultfilters.truncatewords: _counting(words),
}
