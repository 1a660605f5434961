"""A model or two for each package, with no more than its page shows."""

import reversion
from django.db import models
from django_extensions.db.models import ActivatorModel, TitleSlugDescriptionModel
from django_fsm import FSMField, transition
from djmoney.models.fields import MoneyField
from model_utils.managers import InheritanceManager
from model_utils.models import SoftDeletableModel, StatusModel
from modelcluster.fields import ParentalKey
from modelcluster.models import ClusterableModel
from mptt.models import MPTTModel, TreeForeignKey
from ordered_model.models import OrderedModel
from parler.models import TranslatableModel, TranslatedFields
from polymorphic.models import PolymorphicModel
from safedelete.models import SafeDeleteModel
from simple_history.models import HistoricalRecords
from solo.models import SingletonModel
from taggit.managers import TaggableManager
from treebeard.mp_tree import MP_Node


class Titled(models.Model):
    """What nearly all of them have."""

    title = models.CharField(max_length=50)

    class Meta:
        abstract = True


class Note(Titled):
    """For packages that have no models of their own; `of` keeps their notes apart."""

    of = models.CharField(max_length=50)


class Beside(Titled):
    """What none of the changes touches."""


class Timed(ActivatorModel, TitleSlugDescriptionModel):
    """django-extensions."""


class Ticket(models.Model):
    """django-fsm-2."""

    state = FSMField(default="new")

    @transition(state, source="new", target="open")
    def open(self):
        """The one thing that can happen to it."""


class Document(Titled):
    """django-guardian."""


class Place(Titled):
    """django-model-utils: a parent and its child."""

    objects = InheritanceManager()


class Cafe(Place):
    """django-model-utils."""

    coffee = models.CharField(max_length=50)


class Draft(Titled, StatusModel, SoftDeletableModel):
    """django-model-utils: a status with its manager, and deletions that keep the row."""

    STATUS = [("draft", "Draft"), ("published", "Published")]


class Band(ClusterableModel, Titled):
    """django-modelcluster."""


class Member(Titled):
    """django-modelcluster."""

    band = ParentalKey(Band, related_name="members")


class Localized(Titled):
    """django-modeltranslation: its fields are in translation.py."""


class Priced(models.Model):
    """django-money."""

    price = MoneyField(max_digits=9, decimal_places=2, default_currency="EUR")


class Section(MPTTModel, Titled):
    """django-mptt."""

    parent = TreeForeignKey("self", models.CASCADE, null=True, related_name="children")


class Step(OrderedModel, Titled):
    """django-ordered-model."""


class Translated(TranslatableModel):
    """django-parler."""

    translations = TranslatedFields(title=models.CharField(max_length=50))


class Animal(PolymorphicModel, Titled):
    """django-polymorphic."""


class Dog(Animal):
    """django-polymorphic."""

    bark = models.CharField(max_length=50)


@reversion.register()
class Versioned(Titled):
    """django-reversion."""


class Kept(SafeDeleteModel, Titled):
    """django-safedelete."""


class Recorded(Titled):
    """django-simple-history."""

    history = HistoricalRecords()


class Settings(SingletonModel, Titled):
    """django-solo."""


class Article(Titled):
    """django-taggit."""

    tags = TaggableManager()


class Branch(MP_Node, Titled):
    """django-treebeard."""


class Picture(models.Model):
    """easy-thumbnails and sorl-thumbnail."""

    of = models.CharField(max_length=50)
    image = models.ImageField()

    def draw(self, width, height):
        """Saves a picture of that size."""
        from io import BytesIO

        from django.core.files.base import ContentFile
        from PIL import Image

        drawn = BytesIO()
        Image.new("RGB", (width, height)).save(drawn, "PNG")
        self.image.save(f"{self.of}-{width}x{height}.png", ContentFile(drawn.getvalue()))
