"""The addresses of the site."""

from django.contrib import admin
from django.contrib.auth import views as auth_views
from django.urls import include, path

from posts import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("login/", auth_views.LoginView.as_view(), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("static/<path:path>", views.static_file),
    path("", include("posts.urls")),
]

handler404 = "posts.views.not_found"
