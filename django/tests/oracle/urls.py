"""Each view of the oracle as a page, through all middlewares."""

from django.http import HttpResponse
from django.urls import path

from edge_isr import isr

from .registry import VIEWS, attempt, plain


@isr
def page(request, name):
    """A view as a page: what it loads is its body."""
    found = VIEWS[name]
    if found.respond is not None:
        return found.respond(request)
    return HttpResponse(repr(attempt(found.load)))


@isr
async def async_page(request, name):
    """The same by a coroutine."""
    return HttpResponse(repr(plain(await VIEWS[name].load())))


urlpatterns = [path("v/<path:name>", page), path("a/<path:name>", async_page)]
