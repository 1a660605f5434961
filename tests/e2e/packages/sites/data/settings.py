"""Packages that keep data, and those that show it."""

from base import *  # noqa: F403
from base import APPS

ROOT_URLCONF = "data.urls"
INSTALLED_APPS = [
    *APPS,
    "rest_framework",
    "mptt",
    "treebeard",
    "taggit",
    "polymorphic",
    "data",
]
