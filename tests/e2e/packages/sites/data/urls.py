"""Every page, under its package's name."""

from .views import router, urlpatterns

urlpatterns = [*urlpatterns, *router.urls]
