"""Filters and the nodes that run them: what is remembered of them, and what is said of a filter. Nothing here does I/O."""
