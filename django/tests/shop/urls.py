"""The admin; tests add their own views."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("edge-isr/", include("edge_isr.admin.urls")),
]
