"""Every page, under its package's name."""

from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from edge_isr import isr
from graphene_django.views import GraphQLView
from strawberry.django.views import GraphQLView as StrawberryView

from . import views
from .api import ninja, router
from .graphql import strawberry_schema


class CookielessView(GraphQLView):
    """graphene-django's own sets a cookie for its forms on every answer, and is not kept."""

    dispatch = GraphQLView.dispatch.__wrapped__


strawberry = StrawberryView.as_view(schema=strawberry_schema)
urlpatterns = [
    *views.urlpatterns,
    *router.urls,
    path("django-ninja/", ninja.urls),
    path("graphene-django/", csrf_exempt(isr(CookielessView.as_view()))),
    path("graphene-django/own/", csrf_exempt(isr(GraphQLView.as_view()))),
    path("strawberry-graphql-django/", csrf_exempt(isr(strawberry))),
]
