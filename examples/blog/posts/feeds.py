"""The RSS feed."""

from django.contrib.syndication.views import Feed
from django.contrib.auth.models import AnonymousUser

from posts.models import Post


class LatestPosts(Feed):
    """The ten newest posts."""

    title = "Edge Notes"
    link = "/"
    description = "Notes on caches, from the edge."

    def items(self):
        """What the feed lists: what everyone may see."""
        return Post.objects.visible_to(AnonymousUser())[:10]

    def item_description(self, item):
        """The first lines of a post."""
        return item.body[:200]

    def item_pubdate(self, item):
        """When it was published."""
        return item.published_at
