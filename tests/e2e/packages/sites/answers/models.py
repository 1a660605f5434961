"""What the pages show."""

from django.db import models


class Note(models.Model):
    """A text for a package's page."""

    of = models.CharField(max_length=50)
    title = models.CharField(max_length=50)
