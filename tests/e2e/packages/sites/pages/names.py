"""What the test's changes use."""

from cms import api
from cms.models import PageContent
from django.contrib.auth.models import User
from django.contrib.sites.models import Site
from django.db import transaction

from .models import TextPlugin

__all__ = ["PageContent", "Site", "TextPlugin", "User", "api", "transaction"]
