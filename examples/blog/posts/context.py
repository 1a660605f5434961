"""What every page shows."""

from django.utils import timezone


def site(request):
    """When the page was rendered."""
    return {"rendered_at": timezone.now()}
