"""Prometheus' configuration and recording rules, judged by promtool and by the metrics the server exports."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml


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


def test_rules_use_only_metrics_the_server_exports(rules: dict[str, str], exported_names: set[str]) -> None:
    for name, expression in rules.items():
        used = set(re.findall(r"\bguard_\w+", expression))
        assert used
        assert used <= exported_names, name


def test_the_rules_count_as_they_say(root: Path, tmp_path: Path, promtool: Callable[..., str]) -> None:
    """A minute: 45 normal and 15 adversarial; 15 more from the cache, which are no new evidence of anything."""

    def series(store: str, verdict: str, cached: str, step: int) -> dict[str, str]:
        labels = f'store="{store}",verdict="{verdict}",cached="{cached}"'
        return {"series": f"guard_verdicts_total{{{labels}}}", "values": f"0+{step}x10"}

    def expect(expression: str, samples: dict[str, float]) -> dict[str, Any]:
        wanted = [{"labels": f"{expression}{labels}", "value": value} for labels, value in samples.items()]
        return {"expr": expression, "eval_time": "10m", "exp_samples": wanted}

    test = {
        "rule_files": [str(root / "deploy/prometheus/rules/guard.yml")],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    series("a", "normal", "false", 45),
                    series("a", "adversarial", "false", 15),
                    series("a", "adversarial", "true", 15),
                    series("quiet", "normal", "false", 60),
                    series("quiet", "adversarial", "false", 0),  # the server starts every series at 0
                ],
                "promql_expr_test": [
                    expect(
                        "store_verdict:guard_verdicts:rate5m",
                        {
                            '{store="a",verdict="normal"}': 0.75,
                            '{store="a",verdict="adversarial"}': 0.5,
                            '{store="quiet",verdict="normal"}': 1.0,
                            '{store="quiet",verdict="adversarial"}': 0.0,
                        },
                    ),
                    expect("store:guard_alarms:ratio_rate5m", {'{store="a"}': 0.25, '{store="quiet"}': 0.0}),
                ],
            }
        ],
    }
    path = tmp_path / "test.yml"
    path.write_text(yaml.safe_dump(test))
    promtool("test", "rules", path)
