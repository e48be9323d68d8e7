"""Setup of the measurement: classifier, samples, pools, machine, agreement of the real server."""

from evaluation.experiment.records.results import KindResult, PoolResult, Results
from evaluation.report.cells import unique
from evaluation.report.markdown import (
    MISSING,
    code,
    listed,
    number,
    percent,
    percent_interval,
    plain,
    plural,
    section,
    table,
)

SAMPLES, POOLS, AGREEMENT, ENVIRONMENT, FOLDING = "samples", "pools", "agreement", "environment", "folding"


def setup_sections(results: Results) -> list[str]:
    """Return the sections, those that have something to say."""
    sections = [_samples(results)]
    if results.pools:
        sections.append(_pools(results))
    if results.folded:
        sections.append(_folding())
    if results.agreement:
        sections.append(_agreement(results))
    return [*sections, _environment(results)]


def _samples(results: Results) -> str:
    head = ["Kind", "Paper's column", "Method", "Settings", "Attacked", "Success", "Images"]
    head += ["L2", "L∞", "L∞ at most", "Seconds"]
    return section(
        "Samples",
        SAMPLES,
        f"Classifier {code(results.model)}, {percent_interval(results.accuracy)} accurate on "
        f"{plural(results.test_images, 'test image')} of {code(results.data)}.",
        "An attack succeeds when it fools the classifier after rounding to 8 bits. Distances are means over the "
        "images kept, pixels from 0 to 1.",
        table(head, [_sample(kind) for kind in results.kinds], text=4),
    )


def _sample(kind: KindResult) -> list[str]:
    settings = ", ".join(f"{name} {_setting(value)}" for name, value in kind.settings.items())
    return [
        kind.kind,
        kind.paper or MISSING,
        kind.method or MISSING,
        settings,
        f"{kind.attempts:,}" if kind.method else MISSING,
        percent_interval(kind.success),
        f"{kind.images:,}",
        number(kind.l2, 2),
        number(kind.linf),
        number(kind.linf_most),
        plain(kind.seconds),
    ]


def _setting(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _pools(results: Results) -> str:
    groups = unique((pool.operator, pool.rate) for pool in results.pools)
    rows = []
    for operator, rate in groups:
        pools = [pool for pool in results.pools if (pool.operator, pool.rate) == (operator, rate)]
        main = results.main_rates.get(operator) == rate
        mutants = results.sizes.get(operator, results.mutants)
        rows.append([operator, f"{rate:g}{' (main)' if main else ''}", *_drawn(pools, mutants)])
    seeds = ", ".join(str(seed) for seed in results.seeds)
    return section(
        "Mutant pools",
        POOLS,
        f"{_sizes(results)} a pool; pools of the seeds {seeds}.",
        table(["Operator", "Rate", "Refused because", "Drawn, by seed", "Accurate"], rows, text=3),
    )


def _sizes(results: Results) -> str:
    """Return the one size of all pools, or each operator's."""
    sizes = {operator: results.sizes.get(operator, results.mutants) for operator in results.operators}
    if len(set(sizes.values())) == 1:
        return plural(next(iter(sizes.values())), "accurate mutant")
    return f"{listed([f'{size:,} by {operator}' for operator, size in sizes.items()])} accurate mutants"


def _drawn(pools: list[PoolResult], mutants: int) -> list[str]:
    refused = "; ".join(unique(pool.refused for pool in pools if pool.refused))
    drawn = [pool.drawn for pool in pools if pool.drawn is not None]
    counts = ", ".join(MISSING if pool.drawn is None else f"{pool.drawn:,}" for pool in pools)
    return [refused, counts, percent(mutants * len(drawn) / sum(drawn)) if sum(drawn) else MISSING]


def _folding() -> str:
    return section(
        "Folded batch normalisation",
        FOLDING,
        "Batch normalisation was folded into the layers before it, as the mutant bank does, before anything was "
        "mutated. So neurons, N (the number of neurons or parameters that a rate is a share of) and σ (the standard "
        "deviation that GF draws parameters with) differ from the paper's, and the same rate is not quite the same "
        "mutation.",
    )


def _agreement(results: Results) -> str:
    rows = [
        [cell.kind, cell.policy, f"{cell.posted:,}", f"{cell.same:,}", f"{cell.posted - cell.same:,}"]
        for cell in results.agreement
    ]
    return section(
        "Agreement with the server",
        AGREEMENT,
        "Images posted to the real server over HTTP: answers whose label, verdict and mutants are those of the "
        "evaluation.",
        table(["Kind", "Policy", "Posted", "Same", "Other"], rows, text=2),
    )


def _environment(results: Results) -> str:
    environment = results.environment
    rows = [["hardware", environment.hardware], *([*pair] for pair in environment.versions.items())]
    seconds = [[step, plain(taken)] for step, taken in environment.seconds.items()]
    parts = [table(["What", "Which"], rows, text=2)]
    if seconds:
        parts.append(table(["Step", "Seconds"], seconds))
    return section("Environment", ENVIRONMENT, *parts)
