"""Entry point of ``mutant-store``; a package that is missing is reported on one line."""

from mutant_guard.missing import run


def main() -> None:
    """Run the command ``mutant-store``."""
    run("mutant_store.cli.app", "build")
