"""A whole experiment with a robust mutant before others.

Its store is not built anew but one that other tests use, of another classifier of digits and with other mutants beside
the robust one: what is counted is what they say, whoever the images were made to fool.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from evaluation.experiment.material import pools as module
from evaluation.experiment.material.config import read_config
from evaluation.experiment.material.pools import Pools
from evaluation.experiment.material.samples import Samples, make_samples
from evaluation.experiment.material.subject import ExperimentSubject
from evaluation.experiment.measuring.cost import generate_seconds
from evaluation.experiment.measuring.verdicts import server_order
from evaluation.experiment.records.results import Results
from mutant_guard.store.reader import Store
from mutant_store.build import BuildSettings
from mutant_store.loading.model_source import ModelSource
from tests.support.demo import SilentReport
from tests.support.experiment import Ran, run_cli
from tests.support.robust_experiment import OPERATOR, robust_config_text

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built() -> list[tuple[ModelSource, Path, BuildSettings]]:
    """What the experiment asked to be built."""
    return []


@pytest.fixture(scope="module")
def ran(
    tiny_model: Path,
    robust_store: Store,
    tmp_path_factory: pytest.TempPathFactory,
    built: list[tuple[ModelSource, Path, BuildSettings]],
) -> Ran:
    folder = tmp_path_factory.mktemp("robust")
    config = folder / "robust.toml"
    config.write_text(robust_config_text(tiny_model), encoding="utf-8")

    def build(
        model: ModelSource,
        spec: str,
        out: Path,
        settings: BuildSettings,
        report: object,
        *,
        cluster: object,
    ) -> None:
        assert cluster is None
        built.append((model, out, settings))
        shutil.copytree(robust_store.path.parent, out, dirs_exist_ok=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "build", build)
        result = run_cli(config, folder / "report", folder / "work")
    assert result.exit_code == 0, result.output
    return Ran(config, read_config(config), folder / "report", folder / "work", result.output)


@pytest.fixture(scope="module")
def results(ran: Ran) -> Results:
    return ran.results


@pytest.fixture(scope="module")
def pools(ran: Ran) -> Pools:
    settings = ran.settings
    spec, train = (settings.spec(split, Path()) for split in ("holdout", "train"))
    return Pools(settings.model, spec, settings.pools, ran.workspace, SilentReport(), 1, train)


@pytest.fixture(scope="module")
def store(pools: Pools) -> Store:
    return pools.required(pools.keys(OPERATOR)[0])


@pytest.fixture(scope="module")
def samples(ran: Ran) -> Samples:
    return make_samples(ExperimentSubject(ran.settings, Path()), ran.workspace, SilentReport(), 1)


def test_the_pool_is_built_as_the_configuration_says(
    ran: Ran, built: list[tuple[ModelSource, Path, BuildSettings]], tiny_model: Path
) -> None:
    ((source, out, settings),) = built
    assert source.model == str(tiny_model.with_suffix(".safetensors"))
    assert out.parent == ran.work / "stores"
    assert out.name.startswith("mixed-robust-retrain-0.5-0-")
    assert settings.operator == OPERATOR
    assert (settings.selection.mutants, settings.selection.rate) == (4, 0.5)
    assert settings.robust is not None
    assert (settings.robust.method, settings.robust.epsilon, settings.robust.mutants) == ("fast", 0.1, 1)
    assert settings.retraining is not None
    assert settings.retraining.train_data == "digits@train"


def test_verdicts_hear_the_robust_mutant_first(
    pools: Pools, store: Store, samples: Samples, results: Results
) -> None:
    policy, key = store.policy("calibrated"), pools.keys(OPERATOR)[0]
    clears, alarms = policy.boundaries.normal_at_most, policy.boundaries.adversarial_at_least
    for kind, some in samples.sets.items():
        recording = pools.recorded(key, some)
        said, own = recording.evidence(policy)
        order = server_order(store, some)
        assert (order[:, 0] == 0).all()
        adversarial, mutants, together = [], [], []
        for doubts, start, numbers in zip(said, own, order, strict=True):
            sums = start + np.cumsum(doubts[numbers])
            place = next(n for n in range(1, 6) if not clears[n] < sums[n - 1] < alarms[n])
            adversarial.append(sums[place - 1] >= alarms[place])
            mutants.append(place)
            together.append(sums[0] >= alarms[1] or sums[-1] >= alarms[-1])
        (cell,) = [c for c in results.early if (c.policy, c.kind) == ("calibrated", kind)]
        assert cell.adversarial.value == pytest.approx(np.mean(adversarial))
        assert cell.mutants.value == pytest.approx(np.mean(mutants))
        assert cell.all_mutants.value == pytest.approx(np.mean(together))
    assert all(cell.same == cell.posted == 3 for cell in results.agreement)
    assert len(results.agreement) == 2 * 3


def test_a_robust_mutant_alone_is_detection_too(
    pools: Pools, store: Store, samples: Samples, results: Results
) -> None:
    key, bounds = pools.keys(OPERATOR)[0], store.policy("calibrated").boundaries.adversarial_at_least
    assert bounds[1] < bounds[-1], "else there is nothing to see"

    def scores(of: object) -> list[float]:
        said, own = of.evidence(store.policy("calibrated"))  # type: ignore[attr-defined]
        return [
            max(start + doubts.sum(), bounds[-1] / bounds[1] * (start + doubts[0]))
            for doubts, start in zip(said.astype(np.int64), own, strict=True)
        ]

    clean = np.sort(scores(pools.calibration(key).only_correct()))
    threshold = next(level for level in clean if (clean > level).mean() <= 0.05)
    found = np.mean(np.array(scores(pools.recorded(key, samples.sets["fgsm"]))) > threshold)
    (cell,) = [
        c for c in results.cells if (c.method, c.kind) == (f"doubt {OPERATOR}", "fgsm") and c.detected_5
    ]
    assert cell.detected_5.value == pytest.approx(found, abs=0.051)
    (target,) = results.targets
    assert target.value == cell.detected_1


def test_nobody_knows_how_long_a_store_took_that_was_put_there(
    pools: Pools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pools, "build_seconds", lambda *_: None)
    assert generate_seconds(pools, pools.keys(OPERATOR)[0], SilentReport()) is None


def test_the_report_shows_it(ran: Ran, results: Results, store: Store) -> None:
    assert results.sizes == {OPERATOR: 5}
    assert {m.name: m.forward_passes for m in results.methods}[f"doubt {OPERATOR}"] == 6
    (pool,) = results.trained
    assert pool.seconds is not None
    assert results.costs[0].generate_seconds == pytest.approx(pool.seconds / 5)
    (robust,) = pool.robust
    assert (robust.network, robust.relative_cost) == ("perceptron", store.manifest.robust[0].relative_cost)
    assert pool.alone is not None
    assert pool.alone < pool.threshold
    page = (ran.folder / "report.md").read_text(encoding="utf-8")
    assert f"| {OPERATOR} | 0 | perceptron | " in page
    assert "[reports/digits-robust](../digits-robust/report.md)" in page
    assert "(histogram-mixed-robust-retrain.png)" in page
    assert (ran.folder / "histogram-mixed-robust-retrain.png").exists()
