"""The addresses that the edge asks; a site whose middlewares choose the URLs includes them."""

from django.urls import path

from .personal import PATH, view

urlpatterns = [path(PATH[1:], view)]
