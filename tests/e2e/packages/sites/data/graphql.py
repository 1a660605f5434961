"""Schemas of graphene-django and strawberry-graphql-django, read by GET: answers can be kept."""

import graphene
import strawberry
import strawberry_django
from graphene_django import DjangoObjectType
from strawberry_django import mutations
from strawberry_django.optimizer import DjangoOptimizerExtension

from .models import Note


class GrapheneNote(DjangoObjectType):
    """A note."""

    class Meta:
        model = Note
        fields = ("title",)


class GrapheneQuery(graphene.ObjectType):
    """All of graphene's notes."""

    notes = graphene.List(GrapheneNote)

    def resolve_notes(root, info):
        return Note.objects.filter(of="graphene")


class AddNote(graphene.Mutation):
    """A new one."""

    class Arguments:
        title = graphene.String()

    ok = graphene.Boolean()

    def mutate(root, info, title):
        Note.objects.create(of="graphene", title=title)
        return AddNote(ok=True)


class GrapheneMutation(graphene.ObjectType):
    """What can be changed."""

    add_note = AddNote.Field()


graphene_schema = graphene.Schema(query=GrapheneQuery, mutation=GrapheneMutation)


@strawberry_django.type(Note)
class StrawberryNote:
    """A note."""

    title: strawberry.auto

    @classmethod
    def get_queryset(cls, queryset, info):
        return queryset.filter(of="strawberry")


@strawberry_django.input(Note)
class NewNote:
    """What a new one is made of."""

    of: strawberry.auto
    title: strawberry.auto


@strawberry.type
class StrawberryQuery:
    """All of strawberry's notes."""

    notes: list[StrawberryNote] = strawberry_django.field()


@strawberry.type
class StrawberryMutation:
    """What can be changed."""

    add_note: StrawberryNote = mutations.create(NewNote)


strawberry_schema = strawberry.Schema(
    query=StrawberryQuery, mutation=StrawberryMutation, extensions=[DjangoOptimizerExtension]
)
