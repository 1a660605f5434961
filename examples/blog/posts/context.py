"""What every page shows."""

from django.utils import timezone

from posts.models import Category


def site(request):
    """The navigation, and when the page was rendered."""
    return {"categories": Category.objects.all(), "rendered_at": timezone.now()}
