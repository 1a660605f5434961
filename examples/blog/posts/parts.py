"""What of the pages is one visitor's own. The edge asks for all parts of a page in one request."""

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

from edge_isr import personal

from posts.models import Post


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
