"""Grafana's provisioning and dashboard: they load, point at Prometheus, and ask for what is there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.deploy.dashboard import filled, load_dashboard, panels, queries

# Beside what the server exports: series that Prometheus makes of its own.
OF_PROMETHEUS = {"up", "ALERTS"}


@pytest.fixture(scope="module")
def dashboard(root: Path) -> dict[str, Any]:
    return load_dashboard(root)


@pytest.fixture(scope="module")
def datasource(root: Path) -> dict[str, Any]:
    path = root / "deploy/grafana/provisioning/datasources/prometheus.yml"
    (loaded,) = yaml.safe_load(path.read_text())["datasources"]
    assert isinstance(loaded, dict)
    return loaded


def everything_in(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from everything_in(item)


def test_the_data_source_is_the_prometheus_of_the_compose_file(
    datasource: dict[str, Any], compose: dict[str, Any], root: Path
) -> None:
    assert datasource["url"] == "http://prometheus:9090"
    assert compose["services"]["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
    scraping = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text())
    assert datasource["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]


def test_the_dashboards_are_mounted_where_they_are_looked_for(compose: dict[str, Any], root: Path) -> None:
    path = root / "deploy/grafana/provisioning/dashboards/guard.yml"
    (provider,) = yaml.safe_load(path.read_text())["providers"]
    mounts = dict(mount.split(":")[:2] for mount in compose["services"]["grafana"]["volumes"])
    assert mounts["./deploy/grafana/dashboards"] == provider["options"]["path"]
    for kind in ("datasources", "dashboards"):
        assert mounts[f"./deploy/grafana/provisioning/{kind}"] == f"/etc/grafana/provisioning/{kind}"
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/guard.json"


def test_the_dashboard_has_what_grafana_needs(dashboard: dict[str, Any], datasource: dict[str, Any]) -> None:
    assert dashboard["schemaVersion"] >= 39
    assert re.fullmatch(r"[a-z-]{1,40}", dashboard["uid"])
    assert "id" not in dashboard
    everything = dashboard["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert all(panel["title"] for panel in everything)
    assert all(panel["description"] and panel["targets"] for panel in panels(dashboard))
    references = [part["datasource"] for part in everything_in(dashboard) if "datasource" in part]
    assert references
    assert all(ref == {"type": "prometheus", "uid": datasource["uid"]} for ref in references)


def test_grafana_knows_every_field_of_the_dashboard(dashboard: dict[str, Any]) -> None:
    """Grafana's own models of its schema keep what they know and drop the rest."""

    def unknown(ours: Any, kept: Any, at: str = "") -> Iterator[str]:
        if isinstance(ours, dict) and isinstance(kept, dict):
            for name, value in ours.items():
                yield from unknown(value, kept[name], f"{at}/{name}") if name in kept else [f"{at}/{name}"]
        elif isinstance(ours, list) and isinstance(kept, list) and len(ours) == len(kept):
            for number, (one, other) in enumerate(zip(ours, kept, strict=True)):
                yield from unknown(one, other, f"{at}/{number}")
        elif ours != kept:
            yield at

    register_default_plugins()
    kept = json.loads(JSONEncoder(sort_keys=True).encode(Dashboard.from_json(dashboard)))
    # A variable's query as people read it, which newer schemas have.
    assert set(unknown(dashboard, kept)) == {"/templating/list/0/definition"}


def test_panels_do_not_overlap(dashboard: dict[str, Any]) -> None:
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        return {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}

    for one, other in combinations(dashboard["panels"], 2):
        assert not cells(one) & cells(other), (one["title"], other["title"])


def test_queries_use_only_metrics_and_rules_that_exist(
    dashboard: dict[str, Any], rules: dict[str, str], exported_names: set[str]
) -> None:
    variables = [variable["definition"] for variable in dashboard["templating"]["list"]]
    for query in [*queries(dashboard), *variables]:
        used = set(re.findall(r"[a-z_]+:[\w:]+|\bguard_\w+|\bup\b|\bALERTS\b", query))
        assert used, query
        assert used <= exported_names | set(rules) | OF_PROMETHEUS, query


def test_replicas_are_counted_among_the_jobs_that_the_alert_watches(
    dashboard: dict[str, Any], alerts: dict[str, dict[str, Any]]
) -> None:
    jobs = re.findall(r"\bup\{.*?\}", " ".join([*queries(dashboard), alerts["GuardDown"]["expr"]]))
    assert len(jobs) > 1
    assert len(set(jobs)) == 1


def test_queries_are_valid(dashboard: dict[str, Any], tmp_path: Path, promtool: Callable[..., str]) -> None:
    asked = [filled(query) for query in queries(dashboard)]
    assert not any("$" in query for query in asked)
    checks = [{"record": f"panel_query:{number}", "expr": query} for number, query in enumerate(asked)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": checks}]}))
    promtool("check", "rules", path)


def test_what_belongs_together_is_under_one_heading(dashboard: dict[str, Any]) -> None:
    """Rows are open, and what follows one lies below it."""
    headings = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    assert [heading["title"] for heading in headings] == ["Alarms", "Service", "Drift", "Campaigns"]
    assert not any(heading["collapsed"] or heading["panels"] for heading in headings)
    order = [(panel["gridPos"]["y"], panel["gridPos"]["x"]) for panel in dashboard["panels"]]
    assert order == sorted(order)


def test_every_metric_of_the_server_is_looked_at(
    dashboard: dict[str, Any], rules: dict[str, str], exported_names: set[str]
) -> None:
    """By the dashboard, by a rule it or an alert uses, or by one of these, which say what is served."""
    asked = " ".join([*queries(dashboard), *rules.values()])
    looked_at = {name for name in exported_names if re.search(rf"\b{name}\b", asked)}
    families = {re.sub("_(total|bucket|count|sum|created)$", "", name) for name in exported_names}
    missed = {family for family in families if not any(name.startswith(family) for name in looked_at)}
    assert missed == {"guard_store_mutants", "guard_unguarded", "guard_inference_seconds"}


def test_the_band_lies_between_its_two_edges(dashboard: dict[str, Any]) -> None:
    """Grafana fills from one series down to another by its name, which must be that of a query of the same panel."""
    (panel,) = [panel for panel in panels(dashboard) if "repeat" in panel]
    assert panel["repeat"] in {variable["name"] for variable in dashboard["templating"]["list"]}
    names = [target["legendFormat"] for target in panel["targets"]]
    filling = [
        (override["matcher"]["options"], part["value"])
        for override in panel["fieldConfig"]["overrides"]
        for part in override["properties"]
        if part["id"] == "custom.fillBelowTo"
    ]
    assert filling
    assert {name for pair in filling for name in pair} <= set(names)
