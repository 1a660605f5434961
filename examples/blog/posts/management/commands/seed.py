"""Fills an empty database with demo content."""

from datetime import timedelta

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from posts.models import Category, Comment, Post

CATEGORIES = ["Caching", "Databases", "Networks", "Django"]
OPENINGS = [
    "How we measured",
    "A short history of",
    "What nobody says about",
    "Debugging",
    "An afternoon with",
    "Six rules for",
]
SUBJECTS = ["stale pages", "slow queries", "lost packets", "template tags", "cold starts"]
PARAGRAPHS = [
    "It began with a graph that went the wrong way. The pages were fast for everyone but the "
    "people "
    "who mattered, and the logs agreed with everybody at once.",
    "The first fix made the numbers better and the site worse: what had been slow was now fast and "
    "wrong. A reader can forgive the first, never the second.",
    "So we wrote down what had to be true at every moment, and tested that instead. The rest was a "
    "quiet week of deleting code.",
]


class Command(BaseCommand):
    """`manage.py seed`: 4 categories, 30 posts (two of them drafts), comments, admin / admin."""

    help = __doc__

    @transaction.atomic
    def handle(self, *args, **options):
        """Does nothing when the database has posts."""
        users = get_user_model().objects
        if not users.filter(username="admin").exists():
            users.create_superuser("admin", "admin@blog.example", "admin")
        if Post.objects.exists():
            self.stdout.write("the database has posts already")
            return
        categories = [Category.objects.create(name=name, slug=slugify(name)) for name in CATEGORIES]
        newest = timezone.now() - timedelta(hours=1)
        titles = [f"{opening} {subject}" for subject in SUBJECTS for opening in OPENINGS]
        for number, title in enumerate(titles):
            post = Post.objects.create(
                title=title,
                slug=slugify(title),
                category=categories[number % len(categories)],
                body="\n\n".join(PARAGRAPHS),
                status=Post.Status.DRAFT if number in (11, 23) else Post.Status.PUBLISHED,
                published_at=newest - timedelta(days=number),
            )
            if number % 3 == 0:
                Comment.objects.create(post=post, name="Ada", text="The graph looks familiar.")
        self.stdout.write(
            f"{len(titles)} posts in {len(categories)} categories; log in as admin / admin"
        )
