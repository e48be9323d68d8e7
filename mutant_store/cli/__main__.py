"""``python -m mutant_store.cli``: the command ``mutant-store``, where it is not installed."""

from mutant_store.cli import main

if __name__ == "__main__":
    main()
