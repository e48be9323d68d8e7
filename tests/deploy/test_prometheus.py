"""Prometheus' configuration and rules, judged by promtool and by the metrics the server exports."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.conftest import ROOT, RULE_FILES

RULE_TESTS = sorted((ROOT / "deploy/prometheus/tests").glob("*.yml"))


@pytest.fixture(scope="module")
def configuration(root: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((root / "deploy/prometheus/prometheus.yml").read_text())
    return loaded


def test_the_configuration_is_valid_and_finds_its_rules(root: Path, promtool: Callable[..., str]) -> None:
    printed = promtool("check", "config", "--lint-fatal", root / "deploy/prometheus/prometheus.yml")
    assert re.search("SUCCESS: [1-9]", printed)


def test_every_replica_is_found_under_the_service_name(
    configuration: dict[str, Any], compose: dict[str, Any], root: Path
) -> None:
    jobs = {job["job_name"]: job for job in configuration["scrape_configs"]}
    (lookup,) = jobs["guard"]["dns_sd_configs"]
    assert set(lookup["names"]) <= set(compose["services"])
    for name in ("guard-gpu", "guard-mnist"):
        assert compose["services"][name]["networks"]["scrape"]["aliases"] == lookup["names"]
    assert f"GUARD_PROBE_PORT={lookup['port']}" in (root / "Dockerfile").read_text()
    assert jobs.keys() == {"prometheus", "guard"}


def test_rules_use_only_metrics_and_rules_that_exist(
    rules: dict[str, str], alerts: dict[str, dict[str, Any]], exported_names: set[str]
) -> None:
    asked = rules | {name: alert["expr"] for name, alert in alerts.items()}
    for name, expression in asked.items():
        used = set(re.findall(r"[a-z_]+:[\w:]+|\bguard_\w+|\bup\b", expression))
        assert used, name
        assert used <= exported_names | set(rules) | {"up"}, name


def test_every_alert_says_how_bad_it_is_what_it_saw_and_what_to_do(
    root: Path, alerts: dict[str, dict[str, Any]]
) -> None:
    headings = re.findall(r"^#+ (.+)$", (root / "docs/operations.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for name, alert in alerts.items():
        assert alert["labels"]["severity"] in {"critical", "warning"}, name
        assert alert["for"], name
        assert {"summary", "description", "runbook"} <= alert["annotations"].keys(), name
        file, anchor = alert["annotations"]["runbook"].split("#")
        assert (file, anchor) == ("docs/operations.md", name.lower())
        assert anchor in anchors, name


def test_rules_pass_promtool(promtool: Callable[..., str]) -> None:
    printed = promtool("check", "rules", "--lint-fatal", *RULE_FILES)
    assert printed.count("SUCCESS") == len(RULE_FILES)


@pytest.mark.slow
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem)
def test_rules_do_as_they_say(path: Path, promtool: Callable[..., str]) -> None:
    assert "SUCCESS" in promtool("test", "rules", path)


def test_every_rule_file_has_its_tests(alerts: dict[str, dict[str, Any]]) -> None:
    """And in them every alert is seen both active and not.

    Tests of one file are in its namesake, and in those whose names go on with a dash.
    """
    assert {path.stem.split("-")[0] for path in RULE_TESTS} == {path.stem for path in RULE_FILES}
    cases = [
        case
        for path in RULE_TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", [])
    ]
    for name in alerts:
        seen = {bool(case["exp_alerts"]) for case in cases if case["alertname"] == name}
        assert seen == {True, False}, name
