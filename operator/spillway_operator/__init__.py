"""The cluster's side: watches what users write and writes each node's order. Never touches a network card."""

__version__ = "0.1.0"
