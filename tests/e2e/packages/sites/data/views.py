"""A page for each package, in words that its test looks for."""

import uuid

from django.http import HttpResponse
from django.urls import path
from edge_isr import isr
from rest_framework.routers import DefaultRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from .models import Animal, Article, Beside, Branch, Note, Section

urlpatterns = []
router = DefaultRouter()


def page(package):
    """A view that returns a text, under its package's name."""

    def add(view):
        @isr
        def cached(request):
            return HttpResponse(view(request))

        urlpatterns.append(path(f"{package}/", cached))
        return view

    return add


def titles(rows):
    """All titles, in the rows' order."""
    return " ".join(row.title for row in rows)


@page("beside")
def beside(request):
    """Shows by its text whether it was made again."""
    return titles(Beside.objects.all()) + str(uuid.uuid4())


class NoteSerializer(ModelSerializer):
    """djangorestframework."""

    class Meta:
        model = Note
        fields = ["id", "of", "title"]


@isr
class NoteViewSet(ModelViewSet):
    """djangorestframework."""

    queryset = Note.objects.filter(of="drf")
    serializer_class = NoteSerializer


router.register("djangorestframework", NoteViewSet)


@page("django-mptt")
def sections(request):
    return " ".join("-" * one.level + one.title for one in Section.objects.all())


@page("django-treebeard")
def branches(request):
    return " ".join("-" * one.depth + one.title for one in Branch.get_tree())


@page("django-taggit")
def red_articles(request):
    return titles(Article.objects.filter(tags__name="red").order_by("title")) + "."


@page("django-polymorphic")
def animals(request):
    return " ".join(one.title + ":" + getattr(one, "bark", "") for one in Animal.objects.all())
