"""A small shop: one model for each kind of relation."""

import django
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models


class Category(models.Model):
    name = models.CharField(max_length=80)
    slug = models.SlugField(unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self):
        return self.name


class Label(models.Model):
    name = models.CharField(max_length=40)

    def __str__(self):
        return self.name


class Product(models.Model):
    name = models.CharField(max_length=80)
    slug = models.SlugField(unique=True)
    price = models.IntegerField(default=0)
    active = models.BooleanField(default=True)
    category = models.ForeignKey(Category, on_delete=models.CASCADE, related_name="products")
    labels = models.ManyToManyField(Label, related_name="products", blank=True)
    related = models.ManyToManyField("self", blank=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return self.name


class Premium(Product):
    bonus = models.CharField(max_length=40, default="gift")


class Cheap(Product):
    class Meta:
        proxy = True


class Manual(models.Model):
    """One to one: found through its product, and the product through it."""

    product = models.OneToOneField(Product, on_delete=models.CASCADE, related_name="manual")
    text = models.TextField(default="")

    def __str__(self):
        return self.text


class Review(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="reviews")
    text = models.CharField(max_length=200, default="")

    def __str__(self):
        return self.text


class Banner(models.Model):
    """Loses its category when that is deleted."""

    category = models.ForeignKey(Category, null=True, on_delete=models.SET_NULL)
    text = models.CharField(max_length=80, default="")

    def __str__(self):
        return self.text


class Follower(models.Model):
    """What becomes of it when its category is deleted is the database's own affair."""

    category = models.ForeignKey(Category, on_delete=models.DO_NOTHING, related_name="+")

    def __str__(self):
        return str(self.pk)


class Quiet(models.Model):
    """Registered without automatic tags."""

    text = models.CharField(max_length=80, default="")

    def __str__(self):
        return self.text


class Visit(AbstractBaseSession):
    """A session of the project's own kind."""


if django.VERSION >= (6, 1):

    class Note(models.Model):
        """Deleted by the database with its product."""

        product = models.ForeignKey(Product, on_delete=models.DB_CASCADE, related_name="notes")
        above = models.ForeignKey("self", null=True, on_delete=models.DB_CASCADE)

        def __str__(self):
            return str(self.pk)

    class Mark(models.Model):
        """Loses its note, which the database nulls."""

        note = models.ForeignKey(Note, null=True, on_delete=models.DB_SET_NULL)

        def __str__(self):
            return str(self.pk)


class Notice(models.Model):
    """Shown from a time on, and to the end of a day."""

    text = models.CharField(max_length=80)
    shelf = models.IntegerField(default=0, db_index=True)
    shown = models.DateTimeField(null=True)
    last_day = models.DateField(null=True)

    def __str__(self):
        return self.text


class Poster(Notice):
    """Has a key of its own, beside that of the row that it extends."""

    number = models.IntegerField(primary_key=True)
    notice = models.OneToOneField(Notice, on_delete=models.CASCADE, parent_link=True)
    size = models.CharField(max_length=10, default="A1")
