"""Wrong settings are named with their place; the checks report what would make the rest useless."""

import pytest
from conftest import SECRET
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError

import edge_isr
from edge_isr import checks
from edge_isr.conf import KEYS, get_settings, parse

WRONG = {
    "WORKER_URL": ("www.example.net", "expected a URL such as https://www.example.net"),
    "WEBHOOK_SECRET": ("abc", "a webhook secret starts with whsec_"),
    "TOKEN": (3, "expected a text, got 3"),
    "CONTROL_PREFIX": ("__isr/", "expected a path such as /__isr"),
    "ORIGIN_SECRET": ("short", "at least 16 ASCII characters"),
    "ORIGIN_SECRET_EXEMPT": ("(", "not a regular expression"),
    "SITE_URLS": (["/"], "expected a URL"),
    "DEFAULTS": ({"s_maxage": "5"}, "s_maxage: expected a whole number of seconds"),
    "RULES": ([{"s_maxage": 5}], "EDGE_ISR['RULES'][0]: path is missing"),
    "AUTO_TAGS": ("yes", "expected True or False"),
    "AUTO_TAGS_EXCLUDE": (3, "expected a list"),
    "COMPARE_RESULTS": (1, "expected True or False, got 1"),
    "PATH_TAGS": (None, "expected True or False, got None"),
    "MAX_TAGS": (5000, "expected a whole number from 1 to 1000"),
    "MAX_TAG_BYTES": (1.5, "expected a whole number"),
    "CACHE_HEADER": ("Expires", "expected one of CDN-Cache-Control"),
    "MODE": ("medium", "expected one of soft, hard"),
    "WARM": (1, "expected True or False"),
    "REINVALIDATE_AFTER_MS": (-1, "expected a whole number from 0"),
    "OUTBOX": ("off", "expected True or False"),
    "DELIVERY": ("carrier-pigeon", "or a dotted path"),
    "QUEUE_NAME": (None, "expected a text"),
    "RETENTION": ("1d", "expected a number"),
    "TIMEOUT": (0, "expected a number from 0.05 to 60"),
    "IN_TESTS": ("yes", "expected True or False"),
    "REQUEST_WAIT": (3, "expected a number from 0 to 2"),
    "FRAGMENT_CACHE": (1, "expected a text"),
    "CACHE_TAGS": ("no", "expected True or False"),
    "CACHE_TAGS_EXCLUDE": (3, "expected a list"),
    "TARGETS": ("fastly", "expected a dictionary"),
    "GATE": ("yes", "expected True or False"),
    "PERSONAL_COOKIES": (["a b"], "expected the name of a cookie"),
    "CDN": ("fastly", "expected a dictionary"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_wrong_value_is_named(key):
    value, message = WRONG[key]
    _, problems = parse({key: value})
    assert len(problems) == 1 and message in problems[0] and f"EDGE_ISR[{key!r}]" in problems[0]


def test_every_setting_has_its_row():
    assert set(WRONG) == set(KEYS)


def test_several_problems_at_once():
    _, problems = parse({"MODE": "x", "TIMEOUT": -1, "WORKER_ULR": "http://a.example"})
    assert len(problems) == 3
    assert "unknown setting; did you mean WORKER_URL?" in " ".join(problems)


@pytest.mark.parametrize(
    ("secret", "message"),
    [
        ("whsec_***", "not base64"),
        ("whsec_" + "QUJD", "it has 3 bytes; 24 to 64 are wanted"),
    ],
)
def test_a_secret_is_never_shown(secret, message):
    _, (problem,) = parse({"WEBHOOK_SECRET": secret})
    assert message in problem and secret not in problem


def test_no_dictionary():
    assert parse([1])[1] == ["EDGE_ISR: expected a dictionary, got [1]"]


def test_a_worker_without_a_secret():
    _, problems = parse({"WORKER_URL": "https://a.example"})
    assert "WEBHOOK_SECRET'] is missing" in problems[0]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"path": "("}, "not a regular expression"),
        ({"path": ".", "cache": "no"}, "True or False"),
        ({"path": ".", "sw": 3}, "sw: unknown; known are"),
        ({"path": ".", "statuses": [500]}, "status codes from 200 to 499"),
        ({"path": ".", "statuses": {"404": 1}}, "status codes"),
        ({"path": ".", "only_if": True}, "expected a function"),
        (3, "expected a dictionary"),
    ],
)
def test_wrong_rules(rule, message):
    _, (problem,) = parse({"RULES": [rule]})
    assert message in problem


@pytest.mark.django_db
def test_a_wrong_setting_ends_the_start(edge, site):
    edge(MODE="x")
    with pytest.raises(ImproperlyConfigured, match="expected one of soft, hard"):
        get_settings()
    client = site(lambda request: None)
    with pytest.raises(ImproperlyConfigured):
        client.get("/page/")
    with pytest.raises(SystemCheckError, match="expected one of soft, hard"):
        call_command("check")


def found(*ids):
    messages = [*checks.check_settings(), *checks.check_middleware()]
    return [m for m in messages if not ids or m.id in ids]


class TestChecks:
    def test_a_good_site_has_nothing_to_send(self):
        assert found() == []

    def test_the_middleware_is_missing(self, settings):
        settings.MIDDLEWARE = [m for m in settings.MIDDLEWARE if "EdgeISR" not in m]
        (error,) = found("edge_isr.E002")
        assert "no answer is made public" in error.msg

    def test_the_middleware_is_in_the_wrong_place(self, settings):
        settings.MIDDLEWARE = [*settings.MIDDLEWARE[2:], checks.MIDDLEWARE]
        (error,) = found("edge_isr.E003")
        assert "below django.contrib.sessions.middleware.SessionMiddleware" in error.msg

    def test_nothing_is_sent_of_changes(self, edge):
        edge(WORKER_URL="")
        assert found("edge_isr.W001")

    def test_settings_of_django_edge_isr(self, edge):
        edge(REDIS_URL="redis://localhost", QUEUE={"backend": "celery"})
        assert len(found("edge_isr.W002")) == 2
        assert not found("edge_isr.E001")

    def test_an_origin_secret_that_nobody_checks(self, edge, settings):
        edge(ORIGIN_SECRET="0123456789abcdef")
        settings.MIDDLEWARE = settings.MIDDLEWARE[1:]
        assert found("edge_isr.W003")

    def test_a_cache_that_does_not_exist(self, edge):
        edge(FRAGMENT_CACHE="redis")
        assert found("edge_isr.E006")

    def test_paths_that_can_not_be_sent(self, edge):
        from shop.models import Category

        edge(PATH_TAGS=False)
        edge_isr.register(Category, dependent_paths=lambda c: ["/"])
        (error,) = found("edge_isr.E007")
        assert "shop.Category" in error.msg

    def test_a_queue_that_is_not_installed(self, edge, monkeypatch):
        from edge_isr.delivery import queues

        edge(DELIVERY="celery")
        assert not found("edge_isr.E008")
        monkeypatch.setattr(queues, "find_spec", lambda name: None)
        (error,) = found("edge_isr.E008")
        assert "celery is not installed" in error.msg

    @pytest.mark.django_db
    def test_the_table_is_missing(self, monkeypatch):
        from edge_isr.delivery import outbox

        assert checks.check_tables(databases=["default"]) == []
        monkeypatch.setattr(outbox, "has_table", lambda using: False)
        (warning,) = checks.check_tables(databases=["default"])
        assert warning.id == "edge_isr.W004"

    def test_the_app_is_missing(self, settings):
        from django.apps import apps

        with apps._lock:
            original = apps.is_installed
        try:
            apps.is_installed = lambda name: name != "edge_isr"
            assert found("edge_isr.E009")
        finally:
            apps.is_installed = original


def test_secrets_for_a_rotation():
    settings, problems = parse({"WEBHOOK_SECRET": [SECRET, SECRET]})
    assert not problems and len(settings.webhook_secrets) == 2
