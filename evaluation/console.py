"""Console that all commands of the evaluation print to."""

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
