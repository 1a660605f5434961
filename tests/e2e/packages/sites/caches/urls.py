"""Pages that read through the caches; each has a twin, which finds what the first has put there."""

from django.core.cache import cache
from django.http import HttpResponse
from django.urls import path
from edge_isr import isr

from .models import Note


def titles(notes):
    """All titles."""
    return HttpResponse(" ".join(note.title for note in notes))


@isr
def queries(request, **kwargs):
    return titles(Note.objects.order_by("title"))


@isr(tags=["caches.note"])
def named(request, **kwargs):
    return HttpResponse(f"{Note.objects.count() or ''}")


@isr
def kept(request, **kwargs):
    return titles(cache.get_or_set("notes", lambda: list(Note.objects.order_by("title")), 600))


@isr
def locked(request, **kwargs):
    with cache.lock("notes-lock", timeout=5):
        found = cache.get("locked")
        if found is None:
            found = list(Note.objects.order_by("title"))
            cache.set("locked", found, 600, nx=True)
    return titles(found)


urlpatterns = [
    path("django-cachalot/<int:twin>/", queries),
    path("django-cacheops/<int:twin>/", queries),
    path("django-cacheops-count/<int:twin>/", named),
    path("django-redis/<int:twin>/", kept),
    path("django-redis-lock/<int:twin>/", locked),
]
