"""A real Kubernetes cluster on one machine, for the tests, the demo and the benches.

`Cluster.up()` starts it, `Cluster.load()` finds the one that runs. `python -m tests.cluster --help` does the same by hand.
"""

from tests.cluster.cluster import Cluster
from tests.cluster.errors import ClusterError, CommandFailed, NotUp, TimedOut
from tests.cluster.places import Host, Network, Node

__all__ = ["Cluster", "ClusterError", "CommandFailed", "Host", "Network", "Node", "NotUp", "TimedOut"]
