"""Two kinds of pages: one that lists its children, and one with text."""

from django.db import models
from wagtail.admin.panels import FieldPanel
from wagtail.models import Page


class IndexPage(Page):
    """Lists the pages below it."""

    intro = models.TextField(blank=True)
    content_panels = [*Page.content_panels, FieldPanel("intro")]


class NotePage(Page):
    """One note."""

    body = models.TextField(blank=True)
    content_panels = [*Page.content_panels, FieldPanel("body")]
