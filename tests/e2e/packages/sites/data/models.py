"""A model or two for each package, with no more than its page shows."""

from django.db import models
from mptt.models import MPTTModel, TreeForeignKey
from polymorphic.models import PolymorphicModel
from taggit.managers import TaggableManager
from treebeard.mp_tree import MP_Node


class Note(models.Model):
    """For packages that have no models of their own; `of` keeps their notes apart."""

    of = models.CharField(max_length=50)
    title = models.CharField(max_length=50)


class Beside(models.Model):
    """What none of the changes touches."""

    title = models.CharField(max_length=50)


class Section(MPTTModel):
    """django-mptt."""

    title = models.CharField(max_length=50)
    parent = TreeForeignKey("self", models.CASCADE, null=True, related_name="children")


class Branch(MP_Node):
    """django-treebeard."""

    title = models.CharField(max_length=50)


class Article(models.Model):
    """django-taggit."""

    title = models.CharField(max_length=50)
    tags = TaggableManager()


class Animal(PolymorphicModel):
    """django-polymorphic."""

    title = models.CharField(max_length=50)


class Dog(Animal):
    """django-polymorphic."""

    bark = models.CharField(max_length=50)
