"""Command ``mutant-store layers``: the blocks of a classifier, and where mutants may begin."""

from math import ceil
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from mutant_guard.store.choices import Layout
from mutant_store.cli.console import errors_shown
from mutant_store.cli.input_options import size_of

app = typer.Typer()


@app.command()
def layers(
    model: Annotated[str, typer.Argument(help="The classifier, as mutant-store build takes it.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC",
            help="Images of the size that the model takes, where neither the model nor --size says it. "
            "Default: the model is run on noise.",
        ),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Weights of a network by name or MODULE:CALLABLE, as for build.")
    ] = None,
    layout: Annotated[
        Layout | None, typer.Option(help="Order of the input's axes behind the batch, as for build.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HEIGHTxWIDTH", help="Size of the model's images, as for build.")
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Output that holds the class scores, as for build.")
    ] = None,
) -> None:
    """List the blocks of a classifier, and propose where tail mutants may begin.

    Between two blocks all that comes later depends on one tensor, the feature. build --from takes
    the name of a block or of a layer.
    """
    from mutant_store.bank.blocks import find_blocks, proposed, seconds_from
    from mutant_store.cli.tables import blocks_table
    from mutant_store.graph.activations import Activations
    from mutant_store.graph.graph import Graph
    from mutant_store.graph.neurons import find_layers
    from mutant_store.loading.input_spec import InputOptions, probe_inputs
    from mutant_store.loading.model_source import ModelSource, open_original

    with errors_shown():
        options = InputOptions(layout=layout, size=size_of(size))
        source = ModelSource(model, weights)
        classifier = open_original(source, data or "", options, output=output).classifier
        activations = Activations(classifier, probe_inputs(classifier, data, options))
        blocks = find_blocks(activations, find_layers(Graph(classifier.model)))
        chosen = proposed(blocks)
        console = Console()
        console.print(blocks_table(blocks, seconds_from(activations, blocks), chosen))
        console.print(
            f"proposed: --from '{chosen.name}' or --last {ceil(1000 * chosen.share) / 1000:g}; a mutant then repeats "
            f"{chosen.share:.0%} of the multiply-adds, and training keeps {2 * chosen.values:,} bytes an image",
            highlight=False,
            soft_wrap=True,
        )
