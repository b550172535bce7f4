"""`python -m sqbert_cli` and the `sqbert` script."""

from sqbert_cli.cli import main

if __name__ == "__main__":
    main()
