"""Entry point of ``mutant-guard``, with a one-line error where a package it needs is missing."""

from mutant_guard.missing import run


def main() -> None:
    """Run the command."""
    run("service.cli.app", "server")
