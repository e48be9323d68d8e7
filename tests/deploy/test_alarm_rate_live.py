"""Two guards with the demo store, Redis and Prometheus with the deployed rules: what alerts do under real traffic.

Clean images, some of them labelled wrongly, must not raise any; images that an attack has made of them must.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.serving.redis_server import RedisServer
from evaluation.samples import Attack, attack_images
from mutant_store.datasets import load
from mutant_store.networks import weights
from tests.deploy.dashboard import filled, load_dashboard, queries
from tests.deploy.prometheus_server import PrometheusServer, prometheus
from tests.support.kept import kept
from tests.support.process import Server, serve
from tests.support.service import encode

pytestmark = pytest.mark.slow

_LOG = logging.getLogger(__name__)
"""What was measured: ``pytest --log-cli-level=info``."""

EPSILON = 0.15
"""Most that the attack changes a pixel, as a share of its range."""


@dataclass(frozen=True)
class Deployment:
    """What runs."""

    model: Path
    servers: tuple[Server, ...]
    redis: RedisServer
    prometheus: PrometheusServer

    def send(self, images: NDArray[np.uint8]) -> list[dict[str, object]]:
        """The answers to images uint8 [N, H, W, 1], by each replica in turn."""
        with httpx.Client(trust_env=False) as client:
            answers = [
                client.post(
                    f"{server.url}/classify",
                    content=encode(image[..., 0]),
                    headers={"Content-Type": "image/png"},
                )
                for image, server in zip(images, cycle(self.servers), strict=False)
            ]
        assert {answer.status_code for answer in answers} == {200}
        return [answer.json() for answer in answers]

    def wait_until_counted(self, verdicts: int) -> None:
        """Until Prometheus knows of so many verdicts, and for so long that any alert on them would fire."""
        self.prometheus.until(
            lambda: self.prometheus.value("sum(guard_verdicts_total offset 5s)") == verdicts
        )


@dataclass(frozen=True)
class Phase:
    """What came of traffic of one kind.

    Attributes:
        answers: as they were given.
        labels: the true ones.
        ratio: alarms of those tested, as Prometheus has it.
        z: sigmas above the baseline.
    """

    answers: list[dict[str, object]]
    labels: NDArray[np.int64]
    ratio: float
    z: float

    @property
    def alarms(self) -> int:
        return sum(bool(answer["adversarial"]) for answer in self.answers)

    @property
    def mislabelled(self) -> int:
        return sum(answer["label"] != label for answer, label in zip(self.answers, self.labels, strict=True))


@pytest.fixture(scope="module")
def demo(root: Path) -> Path:
    """A folder with the demo classifier and its store, made by the step that make and the images use."""

    def make(folder: Path) -> None:
        places = {name.upper(): str(folder / name) for name in ("models", "stores", "samples")}
        environment = os.environ | {"BIN": str(Path(sys.executable).parent)} | places
        environment["DEMO_OPTIONS"] = "--mutants 3 --epochs 5 --robust-epochs 25"
        subprocess.run(
            [str(root / "deploy/steps/demo-store.sh")], env=environment, check=True, capture_output=True
        )

    return kept("demo", make)


@pytest.fixture(scope="module")
def deployment(demo: Path, tmp_path_factory: pytest.TempPathFactory, root: Path) -> Iterator[Deployment]:
    binaries = {name: shutil.which(name) for name in ("prometheus", "redis-server")}
    for name, binary in binaries.items():
        if binary is None:
            pytest.skip(f"{name} is not installed (Debian: apt-get install {name})")
    folder = tmp_path_factory.mktemp("live")
    with ExitStack() as stack:
        redis = RedisServer(str(binaries["redis-server"]), folder)
        stack.callback(redis.kill)
        redis.start()
        servers = tuple(
            stack.enter_context(
                serve(
                    demo / "stores/digits",
                    folder / f"guard-{number}.log",
                    GUARD_REDIS_URL=redis.url,
                    GUARD_REDIS_TIMEOUT_MS="1000",  # a busy machine is no reason for an alert
                    GUARD_QUERY_MEMORY="observe",
                )
            )
            for number in range(2)
        )
        ports = [server.port for server in servers]
        watching = prometheus(
            str(binaries["prometheus"]), root / "deploy/prometheus", ports, folder / "prometheus"
        )
        yield Deployment(demo / "models/digits.onnx", servers, redis, stack.enter_context(watching))


@pytest.fixture(scope="module")
def clean(deployment: Deployment) -> Phase:
    """The digits' test images, each once."""
    data = load("digits@test")
    deployment.wait_until_counted(0)
    answers = deployment.send(data.images)
    deployment.wait_until_counted(len(data))
    ratio, z = (deployment.prometheus.value(f"store:guard_alarms:{what}5m") for what in ("ratio", "z"))
    return Phase(answers, data.labels, ratio, z)


@pytest.fixture(scope="module")
def repeated(clean: Phase, deployment: Deployment) -> list[dict[str, object]]:
    """What raised an alarm comes again, over and over, and what is no image is refused."""
    images = load("digits@test").images[[bool(answer["adversarial"]) for answer in clean.answers]]
    answers = [answer for _ in range(20) for answer in deployment.send(images)]
    for server in deployment.servers:
        for _ in range(15):
            refused = httpx.post(
                f"{server.url}/classify", content=b"GIF", headers={"Content-Type": "image/gif"}
            )
            assert refused.status_code in {400, 415, 422}
    deployment.wait_until_counted(len(clean.answers) + len(answers))
    return answers


@pytest.fixture(scope="module")
def calm(clean: Phase, repeated: Sequence[object], deployment: Deployment) -> dict[str, str]:
    """The state of every alert after all of the clean traffic; those on verdicts were never even pending."""
    ever = deployment.prometheus.query('max_over_time(ALERTS{alertname=~"Guard(Alarm|Undecided).*"}[5m])')
    assert not ever
    return deployment.prometheus.states()


@pytest.fixture(scope="module")
def attacked(clean: Phase, repeated: Sequence[object], calm: dict[str, str], deployment: Deployment) -> Phase:
    """Of the test images, those that fool the classifier once they are attacked."""
    victim = weights.load(deployment.model.with_suffix(".safetensors"))
    data = load("digits@test", shape=victim.classifier.shape)
    made, _, fooling = attack_images(victim, data, Attack.pgd, EPSILON)
    watched = deployment.prometheus
    with ThreadPoolExecutor(1) as attacker:
        answering = attacker.submit(deployment.send, made[fooling])
        seconds = watched.until(lambda: watched.states()["GuardAlarmRateHigh"] == "firing")
        answers = answering.result()
    deployment.wait_until_counted(len(clean.answers) + len(repeated) + len(answers))
    ratio, z = (watched.value(f"store:guard_alarms:{what}5m") for what in ("ratio", "z"))
    phase = Phase(answers, data.labels[fooling], ratio, z)
    for name, one in (("clean", clean), ("attack", phase)):
        _LOG.info(
            "%s: %d images, %d labelled wrongly, %d alarms; alarm rate since the start %.3f, z %.2f",
            *(name, len(one.answers), one.mislabelled, one.alarms, one.ratio, one.z),
        )
    _LOG.info("GuardAlarmRateHigh fires %.1f s after the first attack image", seconds)
    return phase


def test_the_clean_traffic_is_what_alarms_are_easily_raised_on(clean: Phase) -> None:
    """Otherwise the next test proves little: there are wrong labels and alarms among it, and enough of all."""
    assert clean.mislabelled >= 1
    assert clean.alarms >= clean.mislabelled
    assert sum(not answer["cached"] for answer in clean.answers) == len(clean.answers) >= 200
    assert clean.ratio == pytest.approx(clean.alarms / len(clean.answers), rel=0.05)


def test_clean_traffic_raises_no_alert(
    clean: Phase, calm: dict[str, str], alerts: dict[str, object], deployment: Deployment
) -> None:
    assert abs(clean.z) < 3
    assert calm == dict.fromkeys(alerts, "inactive")


def test_repeats_of_an_alarm_are_cached_and_no_new_evidence(
    clean: Phase, repeated: list[dict[str, object]], calm: dict[str, str]
) -> None:
    assert len(repeated) >= 100
    assert all(answer["cached"] and answer["adversarial"] for answer in repeated)
    assert calm["GuardAlarmRateHigh"] == "inactive"


def test_an_attack_goes_from_inactive_to_firing(
    clean: Phase, calm: dict[str, str], attacked: Phase, deployment: Deployment
) -> None:
    assert calm["GuardAlarmRateHigh"] == "inactive"
    assert len(attacked.answers) >= 200
    assert attacked.mislabelled >= 0.98 * len(attacked.answers)  # the service itself is fooled
    assert attacked.alarms > 0.8 * len(attacked.answers)
    assert attacked.z > 4 > clean.z
    (alert,) = deployment.prometheus.alerts("GuardAlarmRateHigh")
    assert alert["labels"]["store"] == "digits"
    assert f"{attacked.z:.1f} sigmas" in alert["annotations"]["description"]


def test_an_attack_sets_off_the_alerts_on_alarms_and_no_others(
    attacked: Phase, deployment: Deployment
) -> None:
    watched = deployment.prometheus
    watched.until(lambda: watched.states()["GuardAlarmRateDrift"] == "firing")
    active = {name for name, state in watched.states().items() if state != "inactive"}
    assert active == {"GuardAlarmRateHigh", "GuardAlarmRateDrift"}


def test_every_rule_is_evaluated_without_a_fault(attacked: Phase, deployment: Deployment) -> None:
    found = deployment.prometheus.rules()
    assert Counter(rule["health"] for rule in found) == {"ok": len(found)}
    recorded = {rule["name"] for rule in found if rule["type"] == "recording"}
    empty = {name for name in recorded if not deployment.prometheus.query(name)}
    assert not empty


def test_every_query_of_the_dashboard_returns_data(
    attacked: Phase, deployment: Deployment, root: Path
) -> None:
    asked = queries(load_dashboard(root))
    assert len(asked) > 20
    for query in asked:
        found = deployment.prometheus.query(filled(query))
        assert any(math.isfinite(value) for _, value in found), query


def test_the_loss_of_redis_and_of_a_replica_is_noticed(attacked: Phase, deployment: Deployment) -> None:
    watched, lost = deployment.prometheus, deployment.servers[0]
    deployment.redis.kill()
    watched.until(lambda: len(watched.alerts("GuardRedisDown")) == 2)
    lost.process.kill()
    watched.until(lambda: watched.states()["GuardDown"] == "firing")
    (alert,) = watched.alerts("GuardDown")
    assert alert["labels"]["instance"] == f"127.0.0.1:{lost.port}"
