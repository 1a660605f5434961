"""A page for each package."""

import uuid

from django.contrib.auth import authenticate
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import csrf_exempt
from edge_isr import isr

from .models import Note


def title_of(package):
    """The newest title of a package's notes."""
    note = Note.objects.filter(of=package).last()
    return note.title if note else ""


@isr
def plain(request, package):
    return HttpResponse(title_of(package))


@isr
def beside(request):
    """Shows by its text whether it was made again."""
    return HttpResponse(title_of("beside") + str(uuid.uuid4()))


@isr
def visitor(request):
    return HttpResponse(request.user.get_username() or "nobody")


@csrf_exempt
def log_in(request):
    user = authenticate(request, **request.POST.dict())
    return HttpResponse("wrong" if user is None else "right")


@isr
def compressed(request):
    return render(request, "compressed.html", {"color": title_of("compressor")})


@isr
def nonce(request):
    return render(request, "nonce.html")


@isr
def toolbar(request):
    return render(request, "toolbar.html", {"title": title_of("toolbar")})


@isr(vary=["HX-Request"])
def htmx(request):
    title = title_of("htmx")
    return HttpResponse(title if request.htmx else f"<html>{title}</html>")
