"""A small store: one model for each kind of relation, key and inheritance that Django has."""

import uuid

import django
from django.contrib.contenttypes.fields import GenericForeignKey, GenericRelation
from django.contrib.contenttypes.models import ContentType
from django.db import models
from mptt.models import MPTTModel, TreeForeignKey
from treebeard.mp_tree import MP_Node
from treebeard.ns_tree import NS_Node


class Named(models.Model):
    name = models.CharField(max_length=80)

    class Meta:
        abstract = True

    def __str__(self):
        return self.name


class Country(Named):
    """Its key is a text."""

    code = models.CharField(max_length=2, primary_key=True)


class Author(Named):
    email = models.EmailField(unique=True)
    country = models.ForeignKey(Country, null=True, on_delete=models.SET_NULL)
    born = models.DateField()
    friends = models.ManyToManyField("self", through="Friendship", symmetrical=False)


class Friendship(models.Model):
    giver = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="given")
    taker = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="taken")


class Category(Named):
    slug = models.SlugField(unique=True)
    parent = models.ForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")
    position = models.IntegerField(default=0)

    class Meta:
        ordering = ["position", "pk"]


class Label(Named):
    pass


class LabelRow(Named):
    """The same table under another name."""

    class Meta:
        managed = False
        db_table = "store_label"


class Shelf(Named):
    pass


class Note(models.Model):
    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey()
    text = models.CharField(max_length=80)


class ActiveManager(models.Manager):
    def get_queryset(self):
        return super().get_queryset().filter(active=True)


class Product(Named):
    slug = models.SlugField(unique=True)
    price = models.IntegerField(default=0)
    active = models.BooleanField(default=True)
    data = models.JSONField(default=dict)
    published = models.DateField()
    created = models.DateTimeField()
    category = models.ForeignKey(Category, on_delete=models.CASCADE, related_name="products")
    author = models.ForeignKey(Author, null=True, on_delete=models.SET_NULL)
    labels = models.ManyToManyField(Label, related_name="products")
    related = models.ManyToManyField("self")
    shelves = models.ManyToManyField(Shelf, through="Placement", related_name="products")
    notes = GenericRelation(Note, related_query_name="products")

    objects = models.Manager()
    on_sale = ActiveManager()

    class Meta:
        unique_together = [("category", "name")]
        get_latest_by = "published"


class Premium(Product):
    bonus = models.CharField(max_length=40, default="gift")


class Luxury(Premium):
    seal = models.CharField(max_length=40, default="gold")


class Cheap(Product):
    objects = ActiveManager()

    class Meta:
        proxy = True


class Manual(models.Model):
    product = models.OneToOneField(Product, on_delete=models.CASCADE, related_name="manual")
    text = models.CharField(max_length=80)


class Review(models.Model):
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="reviews")
    author = models.ForeignKey(Author, null=True, on_delete=models.SET_NULL)
    stars = models.IntegerField(default=3)
    text = models.CharField(max_length=80)


class Placement(models.Model):
    """A table in between that has something of its own."""

    shelf = models.ForeignKey(Shelf, on_delete=models.CASCADE, related_name="placements")
    product = models.ForeignKey(Product, on_delete=models.CASCADE, related_name="placements")
    position = models.IntegerField(default=0)


class Offer(models.Model):
    """Points at a field that is not the key; its own key is a UUID."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    product = models.ForeignKey(
        Product, to_field="slug", on_delete=models.CASCADE, related_name="offers"
    )
    percent = models.IntegerField()


def the_first_author():
    return Author.objects.order_by("pk").first()


class Award(Named):
    """Gets another author, or the default shelf, when its own are deleted."""

    author = models.ForeignKey(Author, on_delete=models.SET(the_first_author))
    shelf = models.ForeignKey(Shelf, default=1, on_delete=models.SET_DEFAULT)
    country = models.ForeignKey(Country, null=True, on_delete=models.RESTRICT)


class Essay(Named):
    """Its text is long, and who reads it is seen."""

    text = models.TextField(blank=True)

    @property
    def end(self):
        return self.text[-20:]


class Genre(MPTTModel):
    name = models.CharField(max_length=50)
    parent = TreeForeignKey("self", null=True, on_delete=models.CASCADE, related_name="children")


class Folder(MP_Node):
    name = models.CharField(max_length=50)


class Topic(NS_Node):
    name = models.CharField(max_length=50)
    node_order_by = ["name"]


if django.VERSION >= (5, 0):

    class Invoice(models.Model):
        """Its total is the database's."""

        net = models.IntegerField()
        tax = models.IntegerField(db_default=1)
        total = models.GeneratedField(
            expression=models.F("net") + models.F("tax"),
            output_field=models.IntegerField(),
            db_persist=True,
        )


if django.VERSION >= (5, 2):

    class Stock(models.Model):
        """Its key is two fields."""

        pk = models.CompositePrimaryKey("shelf_id", "code")
        shelf = models.ForeignKey(Shelf, on_delete=models.CASCADE, related_name="stock")
        code = models.CharField(max_length=10)
        amount = models.IntegerField()


if django.VERSION >= (6, 1):

    class Shipment(Named):
        """Its rows go when the database says so."""

        author = models.ForeignKey(Author, on_delete=models.DB_CASCADE)

    class Parcel(Named):
        shipment = models.ForeignKey(Shipment, on_delete=models.DB_CASCADE, related_name="parcels")
        shelf = models.ForeignKey(Shelf, null=True, on_delete=models.DB_SET_NULL)
        country = models.ForeignKey(
            Country, db_default=models.Value("it"), on_delete=models.DB_SET_DEFAULT
        )
