"""``mutant-store``: the command, and one line where a package that it needs is not installed."""

from mutant_guard.missing import run


def main() -> None:
    """Run the command."""
    run("mutant_store.cli.app", "build")
