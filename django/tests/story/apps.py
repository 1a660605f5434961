"""Registers the models by hand: in every process of the site, not only in those that serve it."""

from django.apps import AppConfig
from django.conf import settings


class StoryConfig(AppConfig):
    name = "story"

    def ready(self):
        from shop.models import Category, Product

        from edge_isr import register, tag

        if settings.KIND == "isr":
            register(
                Product,
                tags=lambda p: [tag("product", p.slug), tag(p.category)],
                fields=["slug", "category", "name", "price"],
            )
            register(Category)
