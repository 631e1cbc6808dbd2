"""The node's side: an agent that observes, plans and executes, and what it executes on the kernel."""

__version__ = "0.1.0"
