"""What of the pages is one visitor's own, and what all of them share.

The edge asks for all of a visitor's parts of a page in one request, and keeps a shared part once.
"""

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

from edge_isr import personal, shared

from posts.models import Category, Post


@shared("categories", tags="categories", s_maxage=86_400)
def categories():
    """The navigation. A new category is one refetch, not one of every page."""
    return render_to_string("parts/categories.html", {"categories": Category.objects.all()})


@personal("user_menu")
def user_menu(request):
    """Who is logged in; others get the link that stands between the tags."""
    if not request.user.is_authenticated:
        return None
    return render_to_string("parts/user_menu.html", request=request)


@personal("edit_post")
def edit_post(request):
    """A link for those who may edit the post whose page it is."""
    slug = request.resolver_match.kwargs.get("slug")
    found = Post.objects.filter(slug=slug).first() if request.user.is_staff else None
    if found is None:
        return None
    return format_html(
        ' · <a href="{}">Edit</a>', reverse("admin:posts_post_change", args=[found.pk])
    )
