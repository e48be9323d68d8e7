"""Tables of the mutants of a store that have graphs of their own."""

from rich.markup import escape
from rich.table import Table

from mutant_guard.store.manifest import CompanionRecord, RobustRecord
from mutant_guard.store.reader import Store
from mutant_store.calibrating.contributions import contributions

_FEW_MILLIONS = 10


def mutant_tables(store: Store) -> list[Table]:
    """Return a table of the store's robust mutants and one of its companions, as far as it has any."""
    return [*_robust(store), *_companions(store)]


def _robust(store: Store) -> list[Table]:
    """Return a table of how robust mutants were trained, what they cost and how right they are."""
    manifest = store.manifest
    if not manifest.robust:
        return []
    table = Table(
        title="robust mutants, heard first; right: on the filter's images, then on training images held back",
        title_justify="left",
    )
    for column in ("mutant", "network", "trained"):
        table.add_column(column)
    for column in ("multiply-adds", "right", "held back", "under attack", "certified"):
        table.add_column(column, justify="right")
    for record in manifest.robust:
        network = record.network
        if record.companion is not None:
            network = f"from companion {manifest.companions[record.companion - 1].source}"
        elif record.recipe.get("from_original"):
            network = f"{network} from the original"
        table.add_row(
            str(record.mutant),
            escape(network),
            escape(_recipe(record)),
            _work(record),
            f"{manifest.accuracies[record.mutant - 1]:.1%}",
            f"{record.accuracy:.1%}",
            f"{record.robust_accuracy:.1%}",
            "yes" if record.bounds else "no",
        )
    return [table]


def _recipe(record: RobustRecord) -> str:
    """Return the main settings of a training, as far as they are recorded."""
    size, epochs = record.recipe.get("epsilon"), record.recipe.get("epochs")
    parts = [str(record.recipe.get("method", ""))]
    parts += [f"ε {size:.3g}"] if isinstance(size, float) else []
    parts += [f"{epochs} epochs"] if epochs is not None else []
    parts += ["mirrored"] if record.recipe.get("mirror") else []
    networks = record.recipe.get("ensemble", 1)
    parts += [f"{networks} networks"] if networks != 1 else []
    return ", ".join(filter(None, parts))


def _companions(store: Store) -> list[Table]:
    """Return a table of what each companion costs and adds, in the order in which requests meet them.

    There is none for a store without companions.
    """
    found = contributions(store)
    if not found:
        return []
    table = Table(
        title=f"companions, cheapest first; found: of {found[0].wrong} clean images that the original gets wrong",
        title_justify="left",
    )
    table.add_column("companion")
    for column in ("multiply-adds", "right", "agrees", "weight", "found alone", "with those before"):
        table.add_column(column, justify="right")
    for each in found:
        shares = [_share(share, each.interval(share)) for share in (each.alone, each.together)]
        table.add_row(
            escape(each.companion.source),
            _work(each.companion),
            f"{each.accuracy:.1%}",
            f"{each.agreement:.1%}",
            f"{each.weight:.2f}",
            *(shares if each.wrong else ["–", "–"]),
        )
    return [table]


def _share(share: float, interval: tuple[float, float]) -> str:
    return f"{share:.0%} ({interval[0]:.0%} to {interval[1]:.0%})"


def _work(record: CompanionRecord | RobustRecord) -> str:
    millions = record.multiply_adds / 1e6
    shown = f"{millions:,.0f}" if millions >= _FEW_MILLIONS else f"{millions:.2g}"
    return f"{shown} M, {record.relative_cost:.2f}×"
