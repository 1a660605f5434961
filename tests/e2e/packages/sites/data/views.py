"""A page for each package, in words that its test looks for."""

import uuid

from constance import config
from crispy_forms.helper import FormHelper
from crispy_forms.utils import render_crispy_form
from django import forms
from django.http import HttpResponse
from django.urls import path
from django.utils.translation import override
from django_tables2 import RequestConfig, Table
from easy_thumbnails.files import get_thumbnailer
from edge_isr import isr
from guardian.shortcuts import get_objects_for_user
from guardian.utils import get_anonymous_user
from sorl.thumbnail import get_thumbnail
from waffle import flag_is_active, sample_is_active, switch_is_active

from . import models
from .models import Note

urlpatterns = []


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
    return titles(models.Beside.objects.all()) + str(uuid.uuid4())


@page("django-constance")
def constance(request):
    return config.GREETING


@page("django-crispy-forms")
def crispy_form(request):
    class NoteForm(forms.Form):
        note = forms.ModelChoiceField(Note.objects.filter(of="crispy"), empty_label=None)

    helper = FormHelper()
    helper.form_method = "get"
    form = NoteForm()
    form.fields["note"].label_from_instance = lambda note: note.title
    return render_crispy_form(form, helper)


@page("django-extensions")
def active(request):
    return " ".join(one.slug for one in models.Timed.objects.active().order_by("title"))


@page("django-fsm-2")
def tickets(request):
    return " ".join(one.state for one in models.Ticket.objects.all())


@page("django-guardian")
def documents(request):
    may_see = get_objects_for_user(get_anonymous_user(), "data.view_document", models.Document)
    return titles(may_see.order_by("title"))


@page("django-import-export")
def imported(request):
    return titles(Note.objects.filter(of="import").order_by("title"))


@page("django-model-utils")
def places(request):
    shown = models.Place.objects.select_subclasses().order_by("title")
    published = titles(models.Draft.published.filter(is_removed=False))
    return " ".join(f"{one.title}:{getattr(one, 'coffee', '')}" for one in shown) + ";" + published


@page("django-modelcluster")
def bands(request):
    return " ".join(
        f"{band.title}:{titles(band.members.all())}" for band in models.Band.objects.all()
    )


@page("django-modeltranslation")
def localized(request):
    with override("de"):
        return titles(models.Localized.objects.all())


@page("django-money")
def prices(request):
    return " ".join(
        f"{one.price.amount}{one.price.currency}" for one in models.Priced.objects.all()
    )


@page("django-mptt")
def sections(request):
    return " ".join("-" * one.level + one.title for one in models.Section.objects.all())


@page("django-ordered-model")
def steps(request):
    return titles(models.Step.objects.all())


@page("django-parler")
def translated(request):
    def title(one, language):
        return one.safe_translation_getter("title", language_code=language)

    rows = models.Translated.objects.all()
    return " ".join(f"{title(one, 'en')}={title(one, 'de')}" for one in rows)


@page("django-polymorphic")
def animals(request):
    return " ".join(
        f"{one.title}:{getattr(one, 'bark', '')}" for one in models.Animal.objects.order_by("pk")
    )


@page("django-reversion")
def versioned(request):
    return titles(models.Versioned.objects.all())


@page("django-safedelete")
def kept(request):
    return titles(models.Kept.objects.all())


@page("django-simple-history")
def history(request):
    return titles(models.Recorded.objects.all()) + "," + titles(models.Recorded.history.all())


@page("django-solo")
def settings(request):
    return models.Settings.get_solo().title


@page("django-tables2")
def table(request):
    class NoteTable(Table):
        class Meta:
            model = Note
            fields = ["title"]

    notes = NoteTable(Note.objects.filter(of="tables"), order_by="title")
    RequestConfig(request, paginate={"per_page": 2}).configure(notes)
    return " ".join(row.get_cell("title") for row in notes.page.object_list)


@page("django-taggit")
def red_articles(request):
    return titles(models.Article.objects.filter(tags__name="red").order_by("title"))


@page("django-treebeard")
def branches(request):
    return " ".join("-" * one.depth + one.title for one in models.Branch.get_tree())


@page("django-waffle")
def waffle(request):
    switch, flag = switch_is_active("sale"), flag_is_active(request, "beta")
    return f"{switch} {flag} {sample_is_active('some')}"


@page("django-waffle/some")
def waffle_for_some(request):
    return str(flag_is_active(request, "some"))


@page("easy-thumbnails")
def easy_thumbnails(request):
    pictures = models.Picture.objects.filter(of="easy")
    options = {"size": (10, 10)}
    thumbnails = [get_thumbnailer(one.image).get_thumbnail(options) for one in pictures]
    return " ".join(f"{one.width}x{one.height}" for one in thumbnails)


@page("sorl-thumbnail")
def sorl_thumbnails(request):
    thumbnails = [
        get_thumbnail(one.image, "10x10") for one in models.Picture.objects.filter(of="sorl")
    ]
    return " ".join(f"{one.width}x{one.height}" for one in thumbnails)
