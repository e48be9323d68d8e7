"""What the deployment tests share: the repository, its compose file, and the metrics the server has."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

ROOT = Path(__file__).parents[2]
RULE_FILES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


@pytest.fixture(scope="session")
def rules() -> dict[str, str]:
    """Every recording rule: its name and its expression."""
    return {
        rule["record"]: rule["expr"]
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "record" in rule
    }


@pytest.fixture(scope="session")
def alerts() -> dict[str, dict[str, Any]]:
    """Every alert rule by its name."""
    return {
        rule["alert"]: rule
        for path in RULE_FILES
        for group in yaml.safe_load(path.read_text())["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }


@pytest.fixture(scope="session")
def exported_names() -> set[str]:
    """Every name a query may use: what the server's registry exports, by its own account."""
    from service.processes.process_metrics import ProcessMetrics
    from service.telemetry.metrics import Metrics
    from service.telemetry.query_metrics import QueryMetrics

    registry = CollectorRegistry()
    metrics = Metrics(registry)
    metrics.redis_up()
    metrics.redis_refused()
    metrics.api_keys(lambda: 0.0)
    QueryMetrics(metrics)
    suffixes = {
        "counter": ("_total",),
        "histogram": ("_bucket", "_count", "_sum"),
        "info": ("_info",),
        "gauge": ("",),
    }
    families = [*registry.collect(), *ProcessMetrics().registry.collect()]
    return {family.name + suffix for family in families for suffix in suffixes[family.type]}


@pytest.fixture(scope="session")
def promtool() -> Callable[..., str]:
    """Runs promtool and returns what it printed; a finding of its fails the test."""
    binary = shutil.which("promtool")
    if binary is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")

    def run(*arguments: str | Path) -> str:
        done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
