"""`{% edge_fragment %}`: a part of a template, kept until its data changes.
`{% personal %}`: a part that each visitor has of their own.
`{% shared %}`: a part that many pages share, kept once at the edge.

    {% load edge_isr %}
    {% edge_fragment "sidebar" "promotions" ttl=3600 vary=section.pk %} … {% endedge_fragment %}

The first argument is the fragment's name, further ones are tags (texts, lists, model instances).
`vary` is what distinguishes them beside the name and the language (a value or a list). With
automatic tags, what it loads need not be named.

    {% personal "user_menu" %}<a href="/login/">Log in</a>{% endpersonal %}

What `@edge_isr.personal("user_menu")` returns for the visitor; what stands between the tags for
those of whom nothing is known.

    {% shared "menu" section.pk %}<a href="/map/">All pages</a>{% endshared %}

What `@edge_isr.shared("menu")` returns for these arguments, the same for everybody; what stands
between the tags if it fails.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import template
from django.db.models import Model
from django.template.base import FilterExpression, NodeList, Parser, Token, token_kwargs
from django.utils.safestring import SafeString, mark_safe

from ..compose import personal as parts
from ..compose import shared as shared_parts
from ..context import add_tags
from ..fragments import Fragment
from ..tags import tag

register = template.Library()


class EdgeFragmentNode(template.Node):
    """A fragment's place in a template."""

    def __init__(
        self,
        nodelist: NodeList,
        name: FilterExpression,
        tags: list[FilterExpression],
        options: dict[str, FilterExpression],
    ) -> None:
        self.nodelist = nodelist
        self.name = name
        self.tags = tags
        self.options = options

    def render(self, context: template.Context) -> SafeString:
        """The fragment's text."""
        options = {key: value.resolve(context) for key, value in self.options.items()}
        ttl = options.get("ttl")
        try:
            ttl = None if ttl is None else int(ttl)
        except (TypeError, ValueError):
            raise template.TemplateSyntaxError(
                f"edge_fragment: ttl is a number of seconds, got {ttl!r}"
            ) from None
        vary = options.get("vary", ())
        fragment = Fragment(
            str(self.name.resolve(context)),
            *(vary if isinstance(vary, (list, tuple)) else [vary]),
            tags=[name for each in self.tags for name in _named(each.resolve(context))],
            ttl=ttl,
            request=_request_of(context),
        )
        return mark_safe(fragment.get_or_make(lambda: self.nodelist.render(context)))


def _request_of(context: template.Context) -> Any:
    """The request, whether or not a context processor has put it there."""
    return getattr(context, "request", None) or context.get("request")


def _named(value: Any) -> Iterable[str]:
    if isinstance(value, Model):
        return [tag(value)]
    if isinstance(value, str):
        return value.split()
    return [tag(item) if isinstance(item, Model) else str(item) for item in value or ()]


@register.tag("edge_fragment")
def edge_fragment(parser: Parser, token: Token) -> EdgeFragmentNode:
    """Parses `{% edge_fragment name tags… ttl=… vary=… %}`."""
    bits = token.split_contents()[1:]
    if not bits:
        raise template.TemplateSyntaxError("edge_fragment needs a name")
    positional = [bit for bit in bits if "=" not in bit.split('"')[0].split("'")[0]]
    named = [bit for bit in bits if bit not in positional]
    options = token_kwargs(list(named), parser)
    unknown = set(options) - {"ttl", "vary"}
    if unknown or len(options) < len(named) or not positional:
        raise template.TemplateSyntaxError(
            "edge_fragment takes a name, tags, and the options ttl= and vary=; "
            f"got {' '.join(bits)}"
        )
    nodelist = parser.parse(("endedge_fragment",))
    parser.delete_first_token()
    compiled = [parser.compile_filter(bit) for bit in positional]
    return EdgeFragmentNode(nodelist, compiled[0], compiled[1:], options)


class PersonalNode(template.Node):
    """A personal part's place in a template."""

    def __init__(self, nodelist: NodeList, name: FilterExpression) -> None:
        self.nodelist = nodelist
        self.name = name

    def render(self, context: template.Context) -> SafeString:
        """The part, its place, or the fallback."""
        name = str(self.name.resolve(context))
        request = _request_of(context)
        return mark_safe(parts.render(request, name, lambda: self.nodelist.render(context)))


@register.tag("personal")
def personal(parser: Parser, token: Token) -> PersonalNode:
    """Parses `{% personal name %}fallback{% endpersonal %}`."""
    bits = token.split_contents()[1:]
    if len(bits) != 1:
        raise template.TemplateSyntaxError("personal needs a name, and nothing else")
    nodelist = parser.parse(("endpersonal",))
    parser.delete_first_token()
    return PersonalNode(nodelist, parser.compile_filter(bits[0]))


class SharedNode(template.Node):
    """A shared part's place in a template."""

    def __init__(
        self, nodelist: NodeList, name: FilterExpression, arguments: list[FilterExpression]
    ) -> None:
        self.nodelist = nodelist
        self.name = name
        self.arguments = arguments

    def render(self, context: template.Context) -> SafeString:
        """The part, its place, or the fallback."""
        name = str(self.name.resolve(context))
        arguments = tuple(_plain(each.resolve(context)) for each in self.arguments)
        request = _request_of(context)
        made = shared_parts.render(request, name, arguments, lambda: self.nodelist.render(context))
        return mark_safe(made)


def _plain(value: Any) -> Any:
    """A text is a text, whether it is marked as safe or not."""
    return value + "" if type(value) is SafeString else value


@register.tag("shared")
def shared(parser: Parser, token: Token) -> SharedNode:
    """Parses `{% shared name arguments… %}fallback{% endshared %}`."""
    bits = token.split_contents()[1:]
    if not bits:
        raise template.TemplateSyntaxError("shared needs a name")
    nodelist = parser.parse(("endshared",))
    parser.delete_first_token()
    compiled = [parser.compile_filter(bit) for bit in bits]
    return SharedNode(nodelist, compiled[0], compiled[1:])


@register.simple_tag
def edge_tags(*tags: Any) -> str:
    """`{% edge_tags post "posts" %}`: names data that the page, or the fragment around, shows."""
    add_tags([name for each in tags for name in _named(each)])
    return ""
