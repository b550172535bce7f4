"""Whatever bytes come in: no crash, no hang, no unbounded memory. `python -m tests.fuzz --help` tells how to run it."""
