"""A list, and a fragment of it where the package is."""

from django.conf import settings
from django.http import HttpResponse
from django.urls import path
from shop.models import Category


def names():
    return " ".join(Category.objects.values_list("name", flat=True))


def listing(request):
    return HttpResponse(names())


if settings.WITH:
    from edge_isr import isr, isr_fragment

    listing = isr()(lambda request: HttpResponse(isr_fragment("names")(names)()))

urlpatterns = [path("list/", listing)]
