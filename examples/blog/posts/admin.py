"""Where the site is edited."""

from django.contrib import admin

from posts.models import Category, Comment, Post


@admin.register(Category)
class CategoryAdmin(admin.ModelAdmin):
    """Categories."""

    list_display = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}


@admin.register(Post)
class PostAdmin(admin.ModelAdmin):
    """Posts, with an action that publishes."""

    list_display = ["title", "category", "status", "published_at"]
    list_filter = ["status", "category"]
    search_fields = ["title", "body"]
    prepopulated_fields = {"slug": ["title"]}
    actions = ["publish"]

    @admin.action(description="Publish the selected posts")
    def publish(self, request, queryset):
        """At once: the edge hears of updates, too."""
        queryset.update(status=Post.Status.PUBLISHED)


@admin.register(Comment)
class CommentAdmin(admin.ModelAdmin):
    """Comments."""

    list_display = ["name", "post", "created_at"]
