"""A plugin with a text."""

from cms.models import CMSPlugin
from django.db import models


class TextPlugin(CMSPlugin):
    """A text."""

    text = models.CharField(max_length=50)
