"""Metrics: their names, labels and buckets are an interface."""

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from mutant_guard.store.reader import Store
from mutant_guard.wire.verdict import Verdict
from service.guard_service import GuardService
from service.telemetry.metrics import Metrics
from service.telemetry.query_metrics import QueryMetrics
from tests.support.service import HeldSession, digits, encode, running, samples, settings_for

COUNTS = ["1.0", "2.0", "4.0", "8.0", "16.0", "32.0", "64.0", "128.0", "256.0", "512.0", "+Inf"]

BOTH = ("false", "true")

# Kind and labels by name, as documented in the design.
DESIGNED = {
    "guard_verdicts": ("counter", {"store", "verdict", "cached"}),
    "guard_labels": ("counter", {"store", "class_name", "alarm"}),
    "guard_unguarded": ("counter", {"store"}),
    "guard_not_finite": ("counter", {"store", "scores_of"}),
    "guard_request_duration_seconds": ("histogram", set()),
    "guard_stage_duration_seconds": ("histogram", {"stage"}),
    "guard_mutants_evaluated": ("histogram", set()),
    "guard_batch_rows": ("histogram", set()),
    "guard_inference_seconds": ("counter", set()),
    "guard_run_failures": ("counter", set()),
    "guard_requests_in_flight": ("gauge", set()),
    "guard_queue_depth": ("gauge", set()),
    "guard_requests_rejected": ("counter", {"reason"}),
    "guard_cache_requests": ("counter", {"result"}),
    "guard_store_info": ("gauge", {"name", "version", "operator", "rate"}),
    "guard_store_mutants": ("gauge", {"store"}),
    "guard_alarm_baseline_ratio": ("gauge", {"store"}),
    "guard_undecided_baseline_ratio": ("gauge", {"store"}),
    "guard_calibration_images": ("gauge", {"store"}),
    "guard_order_key_info": ("gauge", {"id"}),
    "guard_review_queued": ("counter", {"reason"}),
    "guard_review_lost": ("counter", set()),
    "guard_redis_up": ("gauge", set()),
    "guard_redis_refused": ("counter", set()),
    "guard_api_keys_stale_seconds": ("gauge", set()),
}


def labels_counted(guard: GuardService) -> dict[tuple[str, str], float]:
    """Return the labels that the guard counted, by class and by whether there was an alarm."""
    found = samples(generate_latest(guard.metrics.registry).decode())
    counted = [
        (dict(labels), count) for (name, labels), count in found.items() if name == "guard_labels_total"
    ]
    assert all(labels["store"] == "digits" for labels, _ in counted)
    return {(labels["class_name"], labels["alarm"]): count for labels, count in counted}


def test_there_are_the_designed_metrics_and_no_others() -> None:
    metrics = Metrics()
    metrics.redis_up()
    metrics.redis_refused()
    metrics.api_keys(lambda: 0.0)
    found = {family.name: family.type for family in metrics.registry.collect()}
    assert found == {name: kind for name, (kind, _) in DESIGNED.items()}
    named = {
        metric._name: set(metric._labelnames)
        for metric in vars(metrics).values()
        if hasattr(metric, "_labelnames")
    }
    assert named == {name: labels for name, (_, labels) in DESIGNED.items()}


def test_the_memory_of_queries_has_metrics_of_its_own() -> None:
    metrics = Metrics()
    before = {family.name for family in metrics.registry.collect()}
    found = QueryMetrics(metrics)
    families = {family.name: family.type for family in metrics.registry.collect()}
    assert {name: kind for name, kind in families.items() if name not in before} == {
        "guard_queries": "counter",
        "guard_campaigns": "counter",
        "guard_query_entries": "gauge",
    }
    found.watch("digits", lambda: 7)
    found.asked("digits", 0, probing=False)
    found.asked("digits", 3, probing=False)
    found.asked("digits", 30, probing=True)
    counted = samples(generate_latest(metrics.registry).decode())
    for related in ("none", "some", "probing"):
        labels = frozenset({("store", "digits"), ("related", related)})
        assert counted["guard_queries_total", labels] == 1
    assert counted["guard_campaigns_total", frozenset({("store", "digits")})] == 0
    assert counted["guard_query_entries", frozenset({("store", "digits")})] == 7
    assert counted["guard_review_queued_total", frozenset({("reason", "probing")})] == 0


@pytest.mark.parametrize("name", ["guard_mutants_evaluated", "guard_batch_rows"])
def test_counts_have_buckets_of_powers_of_two(name: str) -> None:
    found = samples(generate_latest(Metrics().registry).decode())
    assert sorted(dict(labels)["le"] for key, labels in found if key == f"{name}_bucket") == sorted(COUNTS)


def test_two_guards_in_one_process_do_not_share_metrics() -> None:
    one, other = Metrics(), Metrics()
    one.redis_up().set(1)
    other.redis_up()
    assert other.registry.get_sample_value("guard_redis_up") == 0


@pytest.mark.anyio
async def test_no_series_says_when_another_was_made(digits_store: Path) -> None:
    async with running(settings_for(digits_store)) as guard:
        await guard.judge(encode(digits(1)[0]))
        assert "_created" not in generate_latest(guard.metrics.registry).decode()


def test_without_redis_nothing_says_that_it_is_down() -> None:
    assert Metrics().registry.get_sample_value("guard_redis_up") is None


@pytest.mark.anyio
async def test_the_store_is_described_before_any_request(digits_store: Path, store: Store) -> None:
    async with running(settings_for(digits_store)) as guard:
        value = guard.metrics.registry.get_sample_value
        info = {"name": "digits", "version": store.version, "operator": "nai", "rate": "0.05"}
        assert value("guard_store_info", info) == 1
        assert value("guard_store_mutants", {"store": "digits"}) == 60
        baseline = store.calibration.policies["calibrated"].alarms.rate
        assert value("guard_alarm_baseline_ratio", {"store": "digits"}) == baseline
        for verdict in ("normal", "adversarial", "undecided"):
            for cached in ("true", "false"):
                labels = {"store": "digits", "verdict": verdict, "cached": cached}
                assert value("guard_verdicts_total", labels) == 0
        assert labels_counted(guard) == {(str(digit), alarm): 0 for digit in range(10) for alarm in BOTH}


@pytest.mark.anyio
@pytest.mark.parametrize("on_undecided", [False, True])
@pytest.mark.parametrize("policy", ["calibrated", "paper"])
async def test_baselines_are_those_of_the_policy_and_of_what_counts_as_an_alarm(
    on_undecided: bool, policy: str, digits_store: Path, store: Store
) -> None:
    settings = settings_for(digits_store, policy=policy, alarm_on_undecided=on_undecided)
    record = store.calibration.policies[policy]
    async with running(settings) as guard:
        value = guard.metrics.registry.get_sample_value
        expected = record.alarms_or_undecided if on_undecided else record.alarms
        assert value("guard_alarm_baseline_ratio", {"store": "digits"}) == expected.rate
        assert value("guard_undecided_baseline_ratio", {"store": "digits"}) == record.undecided.rate
        assert value("guard_calibration_images", {"store": "digits"}) == expected.trials > 100


@pytest.mark.anyio
@pytest.mark.parametrize("on_undecided", [False, True])
async def test_under_a_limit_on_mutants_only_what_is_an_estimate_says_how_good_it_is(
    on_undecided: bool, digits_store: Path
) -> None:
    settings = settings_for(digits_store, max_mutants=2, alarm_on_undecided=on_undecided)
    async with running(settings) as guard:
        value = guard.metrics.registry.get_sample_value
        assert value("guard_undecided_baseline_ratio", {"store": "digits"}) is None
        assert (value("guard_calibration_images", {"store": "digits"}) is None) == on_undecided


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("on_undecided", "changes"), [(False, {"policy": "paper"}), (True, {"max_mutants": 10})]
)
async def test_labels_count_what_was_tested_by_whether_it_was_an_alarm(
    on_undecided: bool, changes: dict[str, object], digits_store: Path
) -> None:
    shared = {"alarm_on_undecided": on_undecided, "cache_seconds": 60.0, "allow_guard_off": True}
    async with running(settings_for(digits_store, **shared, **changes)) as guard:
        expected = dict.fromkeys(labels_counted(guard), 0.0)
        verdicts = set()
        for image in (*digits(60), *digits(60, noise=0.6)):
            bare = await guard.judge(encode(image), guarded=False)
            for answer in (bare, await guard.judge(encode(image)), await guard.judge(encode(image))):
                guard.metrics.answered(answer)
            judgement = answer.judgement
            assert answer.cached
            verdicts.add(judgement.verdict)
            expected[judgement.class_name, "true" if answer.adversarial else "false"] += 1
        assert Verdict.UNDECIDED in verdicts
        assert len(verdicts) > 1
        assert len({alarm for (_, alarm), count in expected.items() if count}) == 2
        assert labels_counted(guard) == expected


@pytest.mark.anyio
async def test_a_new_version_counts_its_own_classes_and_goes_on_with_what_it_shares(
    digits_store: Path, store: Store
) -> None:
    async with running(settings_for(digits_store)) as guard:
        before = await guard.judge(encode(digits(1)[0]))
        model = guard.models.default
        for _ in range(2):
            guard.metrics.answered(before)
        kept = before.judgement.class_name
        classes = [kept, "new"]
        manifest = store.manifest.model_copy(update={"classes": classes})
        guard.metrics.describe(replace(store, manifest=manifest), model.policy, undecided=False)
        assert labels_counted(guard).keys() == {(name, alarm) for name in classes for alarm in BOTH}
        assert labels_counted(guard)[kept, "false"] == 2
        gone = next(name for name in store.manifest.classes if name != kept)
        late = replace(before, judgement=before.judgement.model_copy(update={"class_name": gone}))
        guard.metrics.answered(late)
        assert labels_counted(guard)["(any)", "false"] == 1


@pytest.mark.anyio
async def test_very_many_classes_are_counted_together(digits_store: Path, store: Store) -> None:
    async with running(settings_for(digits_store)) as guard:
        manifest = store.manifest.model_copy(update={"classes": [f"class {n}" for n in range(1001)]})
        guard.metrics.describe(
            replace(store, manifest=manifest), guard.models.default.policy, undecided=False
        )
        assert labels_counted(guard) == {("(any)", alarm): 0 for alarm in BOTH}
        guard.metrics.answered(await guard.judge(encode(digits(1)[0])))
        assert sum(labels_counted(guard).values()) == 1


@pytest.mark.anyio
async def test_a_baseline_that_is_no_estimate_any_more_goes(digits_store: Path, store: Store) -> None:
    async with running(settings_for(digits_store)) as guard:
        value, policy = guard.metrics.registry.get_sample_value, guard.models.default.policy
        assert value("guard_undecided_baseline_ratio", {"store": "digits"}) is not None
        guard.metrics.describe(store, policy.up_to(1), undecided=True)
        assert value("guard_undecided_baseline_ratio", {"store": "digits"}) is None
        assert value("guard_calibration_images", {"store": "digits"}) is None


@pytest.mark.anyio
@pytest.mark.parametrize("on_undecided", [False, True])
async def test_a_limit_on_mutants_leaves_the_baseline_a_bound(
    on_undecided: bool, digits_store: Path, store: Store
) -> None:
    """The baseline is counted without the limit, which only moves verdicts to undecided.

    The metric's help says so.
    """
    alarms = []
    for limit in (None, 10):
        settings = settings_for(digits_store, max_mutants=limit, alarm_on_undecided=on_undecided)
        async with running(settings) as guard:
            record = store.calibration.policies["calibrated"]
            baseline = (record.alarms_or_undecided if on_undecided else record.alarms).rate
            value = guard.metrics.registry.get_sample_value
            assert value("guard_alarm_baseline_ratio", {"store": "digits"}) == baseline
            judged = [(await guard.judge(encode(image))).adversarial for image in digits(80, noise=0.6)]
            alarms.append(sum(judged))
    unlimited, limited = alarms
    assert limited > unlimited if on_undecided else limited < unlimited


async def observed(guard: GuardService) -> dict[str, float]:
    value = guard.metrics.registry.get_sample_value
    stages = {
        stage: value("guard_stage_duration_seconds_count", {"stage": stage}) or 0
        for stage in ("decode", "queue", "mutants")
    }
    return stages | {
        "verdicts": value("guard_mutants_evaluated_count") or 0,
        "consumed": value("guard_mutants_evaluated_sum") or 0,
        "runs": value("guard_batch_rows_count") or 0,
        "rows": value("guard_batch_rows_sum") or 0,
    }


@pytest.mark.anyio
async def test_computed_judgements_are_observed_and_cached_ones_only_decoded(digits_store: Path) -> None:
    async with running(settings_for(digits_store, cache_seconds=60.0, batch_rows=1)) as guard:
        judgement = (await guard.judge(encode(digits(1)[0]))).judgement
        first = await observed(guard)
        assert (first["decode"], first["queue"], first["mutants"], first["verdicts"]) == (1, 1, 1, 1)
        assert first["consumed"] == judgement.mutants
        assert first["rows"] >= judgement.mutants
        assert first["runs"] >= 1
        await guard.judge(encode(digits(1)[0]))
        assert await observed(guard) == first | {"decode": 2}
        value = guard.metrics.registry.get_sample_value
        assert value("guard_cache_requests_total", {"result": "miss"}) == 1
        assert value("guard_cache_requests_total", {"result": "hit"}) == 1


@pytest.mark.anyio
async def test_load_is_read_off_the_scheduler_when_scraped(
    digits_store: Path, held_guard_session: HeldSession, store: Store
) -> None:
    spec = store.manifest.input
    async with running(settings_for(digits_store)) as guard:
        value = guard.metrics.registry.get_sample_value
        assert (value("guard_requests_in_flight"), value("guard_queue_depth")) == (0, 0)
        for image in digits(3)[..., None]:
            model = guard.models.default
            model.scheduler.submit(spec.tensor(image[None]), model.order.mutants(image))
            assert held_guard_session.entered.wait(10)
        assert (value("guard_requests_in_flight"), value("guard_queue_depth")) == (3, 2)
        held_guard_session.release()
