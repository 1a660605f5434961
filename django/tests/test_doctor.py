"""What the worker has to know of the views, and what the doctor says of a site."""

import json
import sys
import types
from io import StringIO

import pytest
from conftest import is_public, tags_of
from django.conf import settings as django_settings
from django.conf.urls.i18n import i18n_patterns
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.urls import include, path
from django.views.decorators.cache import never_cache
from rest_framework import generics, routers, serializers, viewsets
from rest_framework.decorators import api_view
from shop.models import Category

from edge_isr import checks, isr

pytestmark = pytest.mark.django_db


def page(request, **kwargs):
    return HttpResponse("page")


def run(name, *args, **options):
    out = StringIO()
    call_command(name, *args, stdout=out, no_color=True, **options)
    return out.getvalue()


class TestRoutes:
    """Everything that views ask for is printed, and compared."""

    def routes(self):
        return json.loads(run("edge_isr_routes"))["routes"]

    def test_request_fields(self, site):
        site(isr(vary=["HX-Request", "device", "Accept", "X-Theme"])(page))
        fields = {"vary_on": ["device"], "forward_headers": ["HX-Request", "X-Theme"]}
        assert self.routes() == [{"path": "/page/", **fields}, {"path": "/page/*/", **fields}]

    @pytest.mark.parametrize("prefixed", [True, False])
    def test_in_every_language(self, site, settings, prefixed):
        settings.LANGUAGES = [("en", "English"), ("de", "Deutsch")]
        settings.LANGUAGE_CODE = "en"
        view = isr(query=["q"])(page)
        patterns = i18n_patterns(path("page/", view), prefix_default_language=prefixed)
        site(page, urlpatterns=patterns)
        paths = [route["path"] for route in self.routes()]
        assert paths == ["/en/page/" if prefixed else "/page/", "/de/page/"]

    @pytest.mark.parametrize(
        ("asked", "rule", "lacking"),
        [
            ({"vary": ["HX-Request"]}, {}, "HX-Request never reaches the view"),
            ({"vary": ["HX-Request"]}, {"forward_headers": ["hx-request"]}, None),
            ({"vary": ["HX-Request"]}, {"forward_headers": "all"}, None),
            ({"vary": ["Cookie"], "query": []}, {"query": {"allow": []}}, "no cookie reaches"),
            ({"vary_on": ["language"]}, {}, "vary_on: language"),
            ({"vary_on": ["device"]}, {"vary_on": ["device"]}, None),
            ({"query": ["q"]}, {"query": {"allow": []}}, "the parameter q never reaches the view"),
            ({"query": ["q"]}, {"query": {"deny": []}}, "make pages of their own"),
            ({"query": ["q"]}, {"query": {"allow": ["q", "p"]}}, None),
            ({"query": ["q"]}, {"query": {"deny": ["utm_*", "q*"]}}, "q never reaches the view"),
            ({"query": ["q_a", "p"]}, {"query": {"allow": ["q_*", "p"]}}, None),
            ({"query": ["q"]}, {"query": "verbatim"}, "make pages of their own"),
            ({"query": ["q"]}, {"action": "bypass"}, "bypasses the cache"),
            # Of another host's rules nothing is asked.
            ({"vary": ["X-A"]}, {"host": "m.example", "forward_headers": ["x-a"]}, "X-A never"),
            ({"vary": ["X-A"]}, {"host": "www.example", "forward_headers": ["x-a"]}, None),
        ],
    )
    def test_compared_with_the_workers(self, site, edge, worker, asked, rule, lacking):
        edge(SITE_URLS=["https://www.example"])
        site(isr(**asked)(page))
        rules = [{"path": "/other/", "forward_headers": "all"}, {"path": "/page/*", **rule}]
        worker.answer = (200, {"ready": True, "config": {"rules": rules}})
        if lacking is None:
            assert "have all that the views ask for" in run("edge_isr_routes", "--check")
        else:
            with pytest.raises(CommandError, match=lacking.replace("(", r"\(")):
                run("edge_isr_routes", "--check")
        assert worker.calls[0].headers["authorization"] == "Bearer read-token"
        found = checks.check_routes()
        assert bool(found) == (lacking is not None)

    def test_a_worker_that_does_not_show_them(self, site, worker):
        site(isr(vary=["HX-Request"])(page))
        with pytest.raises(CommandError, match="does not show its rules"):
            run("edge_isr_routes", "--check")
        site(isr(page))
        assert "have all" in run("edge_isr_routes", "--check")


class Names(serializers.ModelSerializer):
    class Meta:
        model = Category
        fields = ["name"]


class TestRestFramework:
    """`@isr` on whatever Django REST framework calls a view."""

    @pytest.fixture(autouse=True)
    def framework(self, settings, hats):
        settings.REST_FRAMEWORK = {
            "UNAUTHENTICATED_USER": None,
            "DEFAULT_AUTHENTICATION_CLASSES": [],
        }

    def serve(self, site, view, at="page/"):
        client = site(page)
        module = sys.modules[django_settings.ROOT_URLCONF]
        module.urlpatterns[:] = view if isinstance(view, list) else [path(at, view)]
        return client

    def test_a_view_set(self, site):
        @isr
        class View(viewsets.ReadOnlyModelViewSet):
            queryset = Category.objects.all()
            serializer_class = Names

        router = routers.SimpleRouter()
        router.register("page", View)
        client = self.serve(site, [path("", include(router.urls))])
        response = client.get("/page/")
        assert response.json() == [{"name": "Hats"}] and is_public(response)
        assert tags_of(response) == {"shop.category:@", "shop.category:1"}
        assert tags_of(client.get("/page/1/")) == {"shop.category:1"}
        direct = self.serve(site, View.as_view({"get": "list"}))
        assert is_public(direct.get("/page/"))

    def test_views_and_functions(self, site):
        @isr
        class View(generics.ListAPIView):
            queryset = Category.objects.all()
            serializer_class = Names

        class Method(generics.ListAPIView):
            queryset = Category.objects.all()
            serializer_class = Names

            @isr
            def get(self, request, *args, **kwargs):
                return super().get(request, *args, **kwargs)

        @api_view(["GET"])
        @isr
        def function(request):
            from rest_framework.response import Response

            return Response(Names(Category.objects.all(), many=True).data)

        for view in (View.as_view(), Method.as_view(), function):
            response = self.serve(site, view).get("/page/")
            assert is_public(response)
            assert tags_of(response) == {"shop.category:@", "shop.category:1"}


@pytest.mark.parametrize("wrong", [int, type("Plain", (), {}), [], "view", include([])])
def test_what_is_no_view_is_sent_at_import(wrong):
    with pytest.raises(TypeError, match=r"isr\(\) goes on views"):
        isr(wrong) if not isinstance(wrong, str) else isr()(wrong)


class TestDoctor:
    """In plain words."""

    def ask(self, *paths):
        return run("edge_isr_doctor", *paths, host="testserver")

    @pytest.fixture(autouse=True)
    def healthy(self, worker):
        worker.answer = (200, {"ready": True, "reasons": [], "notes": [], "config": {"rules": []}})

    def test_a_page_that_is_kept(self, site, hats):
        site(isr(lambda request: HttpResponse(str(list(Category.objects.all())))))
        said = self.ask()
        assert "/page/: kept (max-age=300" in said
        assert "1 of 1 pages can be kept." in said and "/page/*/" not in said

    @pytest.mark.parametrize(
        ("view", "words"),
        [
            (page, "its view is not cached: put @isr on it"),
            (isr(lambda r: HttpResponse(get_token(r))), "form with a CSRF token"),
            (isr(never_cache(page)), "says private, no-store or no-cache"),
            (isr(lambda r: HttpResponse("x", status=404)), "its status is not kept"),
        ],
    )
    def test_why_not(self, site, view, words):
        site(view)
        assert words in self.ask("/page/")

    def test_who_sets_cookies_and_sessions(self, site):
        def cookie(request):
            response = HttpResponse("x")
            response.set_cookie("seen", "1")
            return response

        def session(request, pk=0):
            request.session["n"] = 1
            return HttpResponse("x")

        site(isr(cookie), more=1)
        module = sys.modules[django_settings.ROOT_URLCONF]
        module.urlpatterns.append(path("session/", isr(session)))
        said = self.ask("/page/", "/session/")
        assert "/page/: not kept (seen): it sets a cookie" in said
        assert "/session/: not kept: its session" in said
        assert "2 touch the session or set cookies" in said

    def test_a_page_that_writes_writes_nothing_here(self, site, hats):
        def view(request):
            Category.objects.update(name="Seen")
            return HttpResponse("x")

        site(isr(view))
        assert "each GET writes shop.category" in self.ask()
        assert Category.objects.get().name == "Hats"

    def test_a_page_that_fails(self, site):
        def view(request):
            raise LookupError("no such thing")

        site(isr(view))
        assert "it can't be rendered: LookupError: no such thing" in self.ask()

    def test_forms_everywhere(self, site):
        site(isr(lambda request: HttpResponse(get_token(request))))
        said = self.ask()
        assert "0 of 1 pages can be kept." in said and "docs/forms.md" in said

    def test_the_worker(self, site, worker):
        site(isr(vary="HX-Request")(page))
        assert "HX-Request never reaches the view" in self.ask()
        worker.answer = (503, {"reasons": [{"reason": "origin-invalid", "details": ["no origin"]}]})
        assert "origin-invalid: no origin" in self.ask()
        worker.stop()
        assert "It can't be asked" in self.ask()


def test_packages_that_keep_things_to_themselves(settings, monkeypatch):
    installed = {"cacheops", "constance", "edge_isr"}
    monkeypatch.setattr(checks.apps, "is_installed", lambda name: name in installed)
    settings.CONSTANCE_BACKEND = "constance.backends.memory.MemoryBackend"
    found = [one.msg for one in checks.check_packages()]
    assert len(found) == 2
    assert found[0].startswith("cacheops keeps counts") and "memory" in found[1]


@pytest.mark.parametrize("name", ["cachalot", "cacheops"])
def test_packages_that_clear_their_caches_come_first(monkeypatch, name):
    def found(*names):
        configs = [types.SimpleNamespace(name=one) for one in names]
        monkeypatch.setattr(checks.apps, "get_app_configs", lambda: configs)
        return [one.msg for one in checks.check_packages() if one.id == "edge_isr.W009"]

    assert found(name, "edge_isr") == [] == found(name)
    (printed,) = found("edge_isr", "other", name)
    assert printed.startswith(f"edge_isr comes before {name} in INSTALLED_APPS")
