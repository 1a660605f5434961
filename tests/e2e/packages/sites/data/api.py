"""APIs: djangorestframework and django-ninja."""

from django_filters.rest_framework import DjangoFilterBackend
from edge_isr import isr
from ninja import ModelSchema, NinjaAPI
from ninja.pagination import paginate
from rest_framework.routers import DefaultRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet

from .models import Note

router = DefaultRouter()
ninja = NinjaAPI(urls_namespace="ninja")


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
    lookup_field = "of"


@isr
class FilteredViewSet(ModelViewSet):
    """django-filter."""

    queryset = Note.objects.all()
    serializer_class = NoteSerializer
    filter_backends = [DjangoFilterBackend]
    filterset_fields = ["of", "title"]


router.register("djangorestframework", NoteViewSet)
router.register("django-filter", FilteredViewSet, basename="filtered")


class NoteSchema(ModelSchema):
    """django-ninja."""

    class Meta:
        model = Note
        fields = ["title"]


@ninja.get("", response=list[NoteSchema])
@isr
def notes(request):
    return Note.objects.filter(of="ninja").order_by("title")


@ninja.get("pages", response=list[NoteSchema])
@paginate
@isr
def pages_of_notes(request):
    return Note.objects.filter(of="ninja").order_by("title")


@ninja.post("", response=NoteSchema)
def add_note(request, note: NoteSchema):
    return Note.objects.create(of="ninja", title=note.title)
