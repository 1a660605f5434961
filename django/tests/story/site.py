"""The pages of both sites. What `isr` says by hand, `auto` leaves out."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.template import engines
from django.urls import path
from shop.models import Category, Product

from edge_isr import isr, tag

BY_HAND = settings.KIND == "isr"

LISTING = engines["django"].from_string(
    "{% load edge_isr %}<h1>{{ category }}</h1>"
    "{% edge_fragment 'names' category vary=category.pk %}"
    "{% for p in category.products.all %}<li>{{ p }} {{ p.price }}</li>{% endfor %}"
    "{% endedge_fragment %}"
)


def product_tags(request, slug):
    return tag("product", slug)


@isr(tags=product_tags if BY_HAND else None)
def product(request, slug):
    found = get_object_or_404(Product.objects.select_related("category"), slug=slug)
    if BY_HAND:
        request.edge_isr.add_tags(tag(found.category))
    return HttpResponse(f"<h1>{found.name}</h1> {found.price} in {found.category.name}")


@isr
def category(request, slug):
    found = get_object_or_404(Category, slug=slug)
    if BY_HAND:
        request.edge_isr.add_tags(tag(found))
    return HttpResponse(LISTING.render({"category": found}, request))


@isr(tags="static")
def about(request):
    return HttpResponse("about us")


@isr(tags="static", query=["q"], vary=["HX-Request", "device"])
def search(request):
    form = "partial" if request.headers.get("HX-Request") else "page"
    return HttpResponse(f"{form} of {request.GET.get('q', '')}")


urlpatterns = [
    path("product/<slug:slug>/", product),
    path("category/<slug:slug>/", category),
    path("about/", about),
    path("search/", search),
]
