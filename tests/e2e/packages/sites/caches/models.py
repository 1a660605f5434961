"""What the pages show."""

from django.db import models


class Note(models.Model):
    """A text."""

    title = models.CharField(max_length=50)
