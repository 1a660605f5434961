"""What Prometheus gets: `/__isr/metrics` as its own client library reads it, and the examples of
docs/prometheus, which name nothing that is not there. scripts/test has the rules tried by promtool.
"""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "prometheus"

# Beside everything else: the list has packages that other tests need in other versions.
sys.path.append(str(ROOT / ".clients" / "all"))

from prometheus_client.openmetrics.parser import text_string_to_metric_families  # noqa: E402


@pytest.fixture(scope="module")
def families(edge):
    """The families of the site's metrics, by a parser that refuses what OpenMetrics forbids."""
    scrape = edge.control("/__isr/metrics")
    assert scrape.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    return {family.name: family for family in text_string_to_metric_families(scrape.text)}


def samples(families):
    """The names that Prometheus keeps samples under."""
    endings = {
        "counter": ["_total"],
        "info": ["_info"],
        "gauge": [""],
        "summary": ["_count", "_sum"],
    }
    return {name + ending for name, family in families.items() for ending in endings[family.type]}


def test_the_metrics_are_open_metrics(families):
    types = {family.type for family in families.values()}
    assert types == {"counter", "gauge", "info", "summary"}
    assert all(family.documentation for family in families.values())
    hits = families["edge_isr_requests"].samples
    assert hits == [] or {"result"} == set(hits[0].labels)
    assert families["edge_isr_isolates"].samples[0].value >= 0


@pytest.mark.parametrize("name", ["alerts.yml", "alerts.test.yml", "grafana.json"])
def test_examples_name_metrics_that_are_there(families, name):
    text = (EXAMPLES / name).read_text()
    named = set(re.findall(r"\bedge_isr_[a-z_]+", text))
    assert len(named) > 8
    assert named - samples(families) == set()


def test_the_dashboards_panels_ask_for_something_each():
    dashboard = json.loads((EXAMPLES / "grafana.json").read_text())
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["source", "job"]
    identifiers = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(identifiers)) == len(identifiers) > 10
    for panel in dashboard["panels"]:
        expressions = [target["expr"] for target in panel["targets"]]
        assert expressions, panel["title"]
        assert all('job="$job"' in expression for expression in expressions), panel["title"]
