"""The demo: a flood dies on a real cluster while you watch. `python -m tests.demo [--keep]`, or `make demo`."""
