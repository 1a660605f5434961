"""The addresses: the editors', and Wagtail's pages, which the edge may keep."""

from django.urls import include, path, re_path
from edge_isr import isr
from wagtail import urls as wagtail_urls
from wagtail.admin import urls as wagtailadmin_urls
from wagtail.views import serve

# The log-in of visitors and the passwords of pages: forms, which stay as they are.
forms = [entry for entry in wagtail_urls.urlpatterns if entry.name != "wagtail_serve"]

urlpatterns = [
    path("admin/", include(wagtailadmin_urls)),
    # Before the pages, whose pattern matches these addresses as well.
    *forms,
    # Every page goes through this one view: one decorator opts all of them in.
    re_path(wagtail_urls.serve_pattern, isr(compose=True)(serve), name="wagtail_serve"),
]
