"""A real Prometheus on a loopback port, with the deployed rules and a configuration made from the deployed one."""

from __future__ import annotations

import copy
import math
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.service import free_port

INTERVAL = "1s"
"""How often is scraped and evaluated, in place of what is deployed."""
WAIT = "2s"
"""How long an alert's condition must hold, in place of what is deployed."""

Labels = dict[str, str]


def quickened(rules: dict[str, Any]) -> dict[str, Any]:
    """A rule file that does not let one wait: ``for`` and ``interval`` alone are other ones."""
    quick = copy.deepcopy(rules)
    for group in quick["groups"]:
        group.pop("interval", None)
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = WAIT
    return quick


def configuration(deployed: dict[str, Any], rules: Path, ports: Sequence[int]) -> dict[str, Any]:
    """The deployed configuration with these targets in place of those looked up in DNS, and short intervals."""
    made = copy.deepcopy(deployed)
    made["global"] |= {
        "scrape_interval": INTERVAL,
        "scrape_timeout": INTERVAL,
        "evaluation_interval": INTERVAL,
    }
    made["rule_files"] = [f"{rules}/{Path(pattern).name}" for pattern in deployed["rule_files"]]
    made["scrape_configs"] = [job for job in made["scrape_configs"] if job["job_name"] == "guard"]
    (job,) = made["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    return made


class PrometheusServer:
    """Its HTTP API."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def query(self, expression: str) -> list[tuple[Labels, float]]:
        """Every sample of an instant vector."""
        said = self._get("query", query=expression)
        return [(sample["metric"], float(sample["value"][1])) for sample in said["result"]]

    def value(self, expression: str) -> float:
        """The one sample there is, NaN where there is none."""
        found = self.query(expression)
        assert len(found) <= 1, f"{expression} gives {len(found)} samples"
        return found[0][1] if found else math.nan

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its health and the state of an alert."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def states(self) -> dict[str, str]:
        """Every alert's state: inactive, pending or firing."""
        return {rule["name"]: rule["state"] for rule in self.rules() if rule["type"] == "alerting"}

    def alerts(self, name: str) -> list[dict[str, Any]]:
        """What is active of an alert: labels, annotations and state."""
        return [alert for alert in self._get("alerts")["alerts"] if alert["labels"]["alertname"] == name]

    def until(self, holds: Callable[[], bool], *, seconds: float = 30) -> float:
        """Ask until something holds. Returns the seconds it took; fails after ``seconds``."""
        started = time.monotonic()
        while not holds():
            assert time.monotonic() - started < seconds, f"not within {seconds} s; alerts: {self.states()}"
            time.sleep(0.1)  # Prometheus tells nobody that it has evaluated
        return time.monotonic() - started

    def _get(self, path: str, **parameters: str) -> Any:
        answer = self._client.get(f"/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]


@contextmanager
def prometheus(
    binary: str, deployed: Path, ports: Sequence[int], directory: Path
) -> Iterator[PrometheusServer]:
    """Prometheus as deployed in a folder, but quicker, looking at guards on these ports of the loopback."""
    rules = directory / "rules"
    rules.mkdir(parents=True)
    for path in deployed.glob("rules/*.yml"):
        (rules / path.name).write_text(yaml.safe_dump(quickened(yaml.safe_load(path.read_text()))))
    config = directory / "prometheus.yml"
    made = configuration(yaml.safe_load((deployed / "prometheus.yml").read_text()), rules, ports)
    config.write_text(yaml.safe_dump(made))
    port, log = free_port(), directory / "prometheus.log"
    command = [
        binary,
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(process, port, log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
            yield PrometheusServer(client)
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"Prometheus is not ready after 30 s: {log.read_text()}")
