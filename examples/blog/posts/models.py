"""Posts in categories, with comments, and who gets them as a letter."""

from django.db import models
from django.urls import reverse
from django.utils import timezone


class Category(models.Model):
    """A subject; every page's navigation lists them all."""

    name = models.CharField(max_length=80)
    slug = models.SlugField(unique=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "categories"

    def __str__(self):
        return self.name

    def get_absolute_url(self):
        """The category's listing."""
        return reverse("category", args=[self.slug])


class PublishedPosts(models.QuerySet):
    """Which posts a visitor may see."""

    def visible_to(self, user):
        """All for staff, the published ones for everyone else."""
        return self if user.is_staff else self.published()

    def published(self):
        """Those that everyone may see."""
        return self.filter(status=Post.Status.PUBLISHED, published_at__lte=timezone.now())


class Post(models.Model):
    """One article."""

    class Status(models.TextChoices):
        """Whether visitors see it."""

        DRAFT = "draft"
        PUBLISHED = "published"

    title = models.CharField(max_length=200)
    slug = models.SlugField(unique=True)
    category = models.ForeignKey(Category, on_delete=models.PROTECT, related_name="posts")
    body = models.TextField()
    status = models.CharField(max_length=12, choices=Status, default=Status.DRAFT)
    published_at = models.DateTimeField(default=timezone.now)

    objects = PublishedPosts.as_manager()

    class Meta:
        ordering = ["-published_at", "-pk"]

    def __str__(self):
        return self.title

    def get_absolute_url(self):
        """The post's page."""
        return reverse("post", args=[self.slug])


class Comment(models.Model):
    """What a reader said to a post."""

    post = models.ForeignKey(Post, on_delete=models.CASCADE, related_name="comments")
    name = models.CharField(max_length=60)
    text = models.TextField(max_length=2000)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["created_at", "pk"]

    def __str__(self):
        return f"{self.name} on {self.post}"


class Subscriber(models.Model):
    """Who gets the newsletter."""

    email = models.EmailField(unique=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self):
        return self.email
