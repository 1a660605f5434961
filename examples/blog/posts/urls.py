"""The blog's addresses."""

from django.urls import path

from posts import views
from posts.feeds import LatestPosts

urlpatterns = [
    path("", views.home, name="home"),
    path("post/<slug:slug>/", views.post, name="post"),
    path("post/<slug:slug>/comment/", views.comment, name="comment"),
    path("category/<slug:slug>/", views.category, name="category"),
    path("search/", views.search, name="search"),
    path("subscribe/", views.subscribe, name="subscribe"),
    path("drafts/", views.drafts, name="drafts"),
    path("feed.xml", views.edge_feed(LatestPosts()), name="feed"),
    path("feed.json", views.feed_json, name="feed-json"),
    path("p/<int:pk>/", views.permalink, name="permalink"),
    path("download/<int:mebibytes>/", views.download, name="download"),
]
