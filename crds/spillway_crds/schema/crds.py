"""The CustomResourceDefinitions: names, columns, subresources around the schemas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spillway_crds import names
from spillway_crds.schema import bypassstream, bypassstream_status, floodfilter, floodfilter_status, nodedataplane
from spillway_crds.schema.fields import Record
from spillway_crds.schema.openapi import openapi

CATEGORY = "spillway"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`. wide: only with -o wide."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of the API group. scope: Cluster or Namespaced."""

    kind: str
    plural: str
    short: str
    description: str
    spec: Record
    status: Record
    columns: tuple[Column, ...]
    max_name_length: int | None = None
    scope: str = "Cluster"

    @property
    def name(self) -> str:
        """The CRD's name."""
        return f"{self.plural}.{names.GROUP}"

    @property
    def scope_words(self) -> str:
        """Its scope, as the reference says it."""
        return "cluster-scoped" if self.scope == "Cluster" else "in a namespace"


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


AGE = Column("Age", ".metadata.creationTimestamp", "Since when it exists.", "date")

FLOOD_FILTER = Kind(
    kind="FloodFilter",
    plural=names.FILTERS_PLURAL,
    short="ff",
    description="Names the packets of a flood; the nodes it selects drop them at the network card, before the kernel spends"
    " anything on them. With mode Monitor, the default, it only counts what it would drop. Some packets no filter can drop: see"
    " the failsafe flows in the documentation.",
    spec=floodfilter.SPEC,
    status=floodfilter_status.STATUS,
    columns=(
        Column("Ready", _condition("Ready", "status"), "Whether every selected node runs it as it is now."),
        Column("Mode", ".spec.mode", "Monitor counts only, Enforce drops."),
        Column("Nodes", ".status.nodes.summary", "Nodes that run it / nodes selected."),
        Column("Dropped", ".status.totals.droppedPackets", "Packets dropped on all nodes.", "integer"),
        Column("Age", AGE.path, AGE.description, AGE.type),
        Column("Reason", _condition("Ready", "reason"), "Why it is ready or not."),
        Column("Would-Drop", ".status.totals.wouldDropPackets", "Packets that Enforce would have dropped.", "integer", wide=True),
        Column("Matched", ".status.totals.matchedPackets", "Packets that matched a rule.", "integer", wide=True),
        Column("Priority", ".spec.priority", "Lower decides first.", "integer", wide=True),
        Column("Revision", ".status.revision", "What the nodes run.", wide=True),
    ),
    max_name_length=names.MAX_NAME_LENGTH,
)

NODE_DATAPLANE = Kind(
    kind="NodeDataplane",
    plural=names.DATAPLANES_PLURAL,
    short="nd",
    description="What one node runs, and how that goes. Named like its Node. Written by Spillway's operator (spec) and by that"
    " node's agent (status), never by hand: what somebody changes is put back.",
    spec=nodedataplane.ORDER,
    status=nodedataplane.STATUS,
    columns=(
        Column("State", ".spec.state", "Active, Idle or Empty."),
        Column("Ready", _condition("Ready", "status"), "Whether the node does what it is told."),
        Column("Attach", ".spec.attach", "Whether it may make a link flap now."),
        Column("Waiting", ".status.waitingForTurn[0]", "First interface that waits for a turn.", wide=True),
        Column("Off", ".status.enforcementOff", "Who pulled the kill switch.", wide=True),
        Column("Agent", ".status.agentVersion", "Version of the agent.", wide=True),
        AGE,
        Column("Reason", _condition("Ready", "reason"), "Why it is ready or not."),
    ),
)

BYPASS_STREAM = Kind(
    kind="BypassStream",
    plural=names.STREAMS_PLURAL,
    short="bs",
    description="One transmit ring on one queue of a node's network card, shared with an application without a copy. It owns the"
    " ResourceClaim of the same name, which a pod names in resourceClaims; the scheduler then puts the pod on a node with a free"
    " queue. Which queues a namespace may have is the administrator's word.",
    spec=bypassstream.SPEC,
    status=bypassstream_status.STATUS,
    columns=(
        Column("Ready", _condition("Ready", "status"), "Whether a pod holds the ring and packets can leave."),
        Column("Node", ".status.node", "Where the ring is."),
        Column("Queue", ".status.queue", "The transmit queue that it is on.", "integer"),
        Column("Mode", ".status.bindMode", "What the kernel gave: ZeroCopy or Copy."),
        Column("Rate", ".status.packetsPerSecond", "Packets a second that leave now.", "integer"),
        Column("Late", ".status.latePackets", "Packets that left more than 1 ms behind the schedule.", "integer"),
        AGE,
        Column("Reason", _condition("Ready", "reason"), "Why it is ready or not.", wide=True),
        Column("Interface", ".spec.interface", "The network interface that it asks for.", wide=True),
        Column("Packets", ".status.packets", "Packets handed to the card since the ring was opened.", "integer", wide=True),
    ),
    max_name_length=names.MAX_NAME_LENGTH,
    scope="Namespaced",
)

KINDS = (FLOOD_FILTER, BYPASS_STREAM, NODE_DATAPLANE)


def crd(kind: Kind) -> dict[str, Any]:
    """The whole CustomResourceDefinition."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.name},
        "spec": {
            "group": names.GROUP,
            "scope": kind.scope,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [kind.short],
                "categories": [CATEGORY],
            },
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> dict[str, Any]:
    return {
        "name": names.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(each) for each in kind.columns],
        "schema": {"openAPIV3Schema": _root(kind)},
    }


def _column(column: Column) -> dict[str, Any]:
    wide = {"priority": 1} if column.wide else {}
    return {"name": column.name, "type": column.type, "jsonPath": column.path, "description": column.description, **wide}


def _root(kind: Kind) -> dict[str, Any]:
    metadata: dict[str, Any] = {"type": "object"}
    if kind.max_name_length:
        metadata["properties"] = {"name": {"type": "string", "maxLength": kind.max_name_length}}
    return {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": metadata,
            "spec": openapi(kind.spec),
            "status": openapi(kind.status),
        },
    }
