"""Every page, under its package's name."""

from django.urls import include, path

from . import views

urlpatterns = [
    path("__debug__/", include("debug_toolbar.urls")),
    path("accounts/", include("allauth.urls")),
    path("beside/", views.beside),
    path("django-allauth/", views.visitor),
    path("django-axes/", views.log_in),
    path("django-compressor/", views.compressed),
    path("django-csp/nonce/", views.nonce),
    path("django-debug-toolbar/", views.toolbar),
    path("django-htmx/", views.htmx),
    path("<package>/", views.plain),
]
