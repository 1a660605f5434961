"""Pages that end at a moment, and pages whose visitors have them already (304)."""

from datetime import timedelta

import pytest
from conftest import is_public, tags_of, ttl_of
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import condition, etag
from shop.models import Category

from edge_isr import isr

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)


def page(request, **kwargs):
    return HttpResponse("page")


def about(seconds, wanted):
    return wanted - 2 <= seconds <= wanted


class TestUntil:
    """`request.edge_isr.until` and `isr(expires=…)`."""

    @pytest.mark.parametrize(
        "moment",
        [
            lambda: timezone.now() + timedelta(seconds=100),
            lambda: timezone.make_naive(timezone.now()) + timedelta(seconds=100),
            lambda: timedelta(seconds=100),
            lambda: 100,
        ],
    )
    def test_by_the_view(self, site, moment):
        def view(request):
            request.edge_isr.until(moment())
            return HttpResponse("x")

        response = site(isr(s_maxage=3600, max_age=600)(view)).get("/page/")
        assert is_public(response) and about(ttl_of(response), 100)
        # Nobody has it a second longer, but while the origin fails.
        assert "stale-while-revalidate=0" in response["CDN-Cache-Control"]
        assert f"max-age={ttl_of(response)}" in response["Cache-Control"]

    def test_the_earliest_counts_and_none_is_none(self, site):
        def view(request):
            for seconds in (200, 100, None, 300):
                request.edge_isr.until(seconds)
            return HttpResponse("x")

        assert about(ttl_of(site(isr(s_maxage=3600)(view)).get("/page/")), 100)

    def test_a_stale_window_ends_with_it(self, site):
        response = site(isr(s_maxage=60, swr=600, expires=100)(page)).get("/page/")
        assert ttl_of(response) == 60
        window = int(response["CDN-Cache-Control"].split("revalidate=")[1].split(",")[0])
        assert about(window, 40)

    def test_a_moment_that_has_passed_counts_as_none(self, site):
        view = isr(s_maxage=60, expires=timezone.now() - HOUR)(page)
        assert ttl_of(site(view).get("/page/")) == 60

    def test_by_a_function(self, site, hats):
        def expires(request, pk):
            return timedelta(seconds=Category.objects.get(pk=pk).pk * 50)

        response = site(isr(s_maxage=3600, expires=expires)(page)).get("/page/1/")
        assert about(ttl_of(response), 50) and tags_of(response) == {"shop.category:1"}
        response = site(isr(s_maxage=70, expires=lambda request: None)(page)).get("/page/")
        assert ttl_of(response) == 70

    def test_a_function_that_fails(self, site):
        def expires(request):
            raise RuntimeError("no clock")

        assert not is_public(site(isr(expires=expires)(page)).get("/page/"))

    @pytest.mark.parametrize("wrong", ["tomorrow", True, object()])
    def test_wrong_ones_are_sent_at_import(self, wrong):
        with pytest.raises(TypeError, match="expected a datetime or a number of seconds"):
            isr(expires=wrong)


class TestHint:
    """With DEBUG, a query by the clock reports the next moment."""

    def serve(self, site, query):
        return site(isr(lambda request: HttpResponse(str(list(query()))))).get("/page/")

    @pytest.mark.parametrize(
        "query",
        [
            lambda: User.objects.filter(date_joined__lte=timezone.now()),
            lambda: User.objects.exclude(date_joined__gt=timezone.now()),
            lambda: User.objects.filter(date_joined__lt=Now()),
            lambda: User.objects.filter(date_joined__range=(timezone.now(), timezone.now() + HOUR)),
            lambda: User.objects.filter(date_joined__date__lte=timezone.localdate()),
            lambda: User.objects.filter(date_joined__date=timezone.localdate()),
        ],
    )
    def test_of_a_query(self, site, settings, query):
        settings.DEBUG = True
        moment = timezone.now() + HOUR
        User.objects.create(username="a", date_joined=moment + HOUR)
        User.objects.create(username="b", date_joined=moment)
        hint = self.serve(site, query)["X-Edge-ISR-Hint"]
        assert hint.startswith("auth.user.date_joined is compared with now; the next row's moment")
        assert moment.isoformat() in hint

    def test_not_without_debug_nor_of_other_moments(self, site, settings):
        def query():
            return User.objects.filter(date_joined__lte=timezone.now())

        assert "X-Edge-ISR-Hint" not in self.serve(site, query)
        settings.DEBUG = True
        old = lambda: User.objects.filter(date_joined__lte=timezone.now() - HOUR)  # noqa: E731
        assert "X-Edge-ISR-Hint" not in self.serve(site, old)


class TestNotModified:
    """A 304 renews what is stored: it carries the page's fields."""

    @pytest.fixture(autouse=True)
    def conditional(self, settings):
        at = settings.MIDDLEWARE.index("edge_isr.middleware.EdgeISRMiddleware") + 1
        settings.MIDDLEWARE = [
            *settings.MIDDLEWARE[:at],
            "django.middleware.http.ConditionalGetMiddleware",
            *settings.MIDDLEWARE[at:],
        ]

    def ask_twice(self, client):
        first = client.get("/page/")
        again = client.get("/page/", headers={"If-None-Match": first["ETag"]})
        assert (first.status_code, again.status_code) == (200, 304)
        return first, again

    def test_by_the_middleware(self, site, hats):
        client = site(isr(lambda request: HttpResponse(str(list(Category.objects.all())))))
        first, again = self.ask_twice(client)
        assert is_public(again)
        for name in ("CDN-Cache-Control", "Cache-Control", "X-Edge-ISR-Tags"):
            assert again[name] == first[name]

    @pytest.mark.parametrize(
        "decorate",
        [
            lambda view: isr(etag(lambda request: "x")(view)),
            lambda view: isr(condition(etag_func=lambda r: "x" * Category.objects.count())(view)),
        ],
    )
    def test_by_a_decorator_inside(self, site, hats, decorate):
        """Its function has not looked at all that the page shows: the stored tags stand."""
        view = decorate(lambda request: HttpResponse(str(list(Category.objects.all()))))
        first, again = self.ask_twice(site(view))
        assert tags_of(first) == {"shop.category:@", "shop.category:1"}
        assert is_public(again) and "X-Edge-ISR-Tags" not in again
        assert again["CDN-Cache-Control"] == first["CDN-Cache-Control"]

    def test_by_a_decorator_outside(self, site):
        """The view did not run: nothing is said, and so all that is stored stands."""
        _first, again = self.ask_twice(site(etag(lambda request: "x")(isr(page))))
        assert "X-Edge-ISR" not in again and "CDN-Cache-Control" not in again

    def test_by_a_rule(self, site, edge, hats):
        edge(RULES=[{"path": "^/page/"}])
        first, again = self.ask_twice(
            site(lambda r: HttpResponse(str(list(Category.objects.all()))))
        )
        assert is_public(again)
        assert again["CDN-Cache-Control"] == first["CDN-Cache-Control"]

    def test_a_private_one_stays_private(self, site):
        def view(request):
            request.session["a"] = 1
            return HttpResponse("x", headers={"ETag": '"x"'})

        client = site(isr(view))
        again = client.get("/page/", headers={"If-None-Match": '"x"'})
        assert again.status_code == 304 and again["X-Edge-ISR"] == "bypass"
