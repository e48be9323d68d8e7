"""Grafana's dashboard as the tests read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def load_dashboard(root: Path) -> dict[str, Any]:
    """The dashboard that is deployed from a repository."""
    loaded: dict[str, Any] = json.loads((root / "deploy/grafana/dashboards/guard.json").read_text())
    return loaded


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """All that ask for something: the headings of rows do not."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries(dashboard: dict[str, Any]) -> list[str]:
    """Every query, its variables not filled in."""
    return [target["expr"] for panel in panels(dashboard) for target in panel["targets"]]


def filled(query: str) -> str:
    """A query as Grafana sends it with all stores chosen."""
    return query.replace("$__rate_interval", "1m").replace("$store", ".*")
