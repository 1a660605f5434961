"""The addresses that the edge asks; a site whose middlewares choose the URLs includes them."""

from django.urls import path

from . import personal, shared

urlpatterns = [
    path(personal.PATH[1:], personal.view),
    path(f"{shared.PREFIX[1:]}<path:address>", shared.view),
]
