"""BypassStream: what the owner of an application writes. docs/semantics.md, section 9, says what it means."""

from __future__ import annotations

from spillway_crds import names
from spillway_crds.schema.fields import Record, Text, WholeOr
from spillway_crds.schema.ring import PARAMETER_FIELDS
from spillway_crds.schema.stream_laws import DEVICE_LAWS, QUEUE_LAWS, SOURCE_CHOICE_LAWS

MAX_IFNAME_CHARS = 15  # IFNAMSIZ less the end mark
ANY_QUEUE = "Any"

SOURCE = Record(
    description="Who fills the frames. Exactly one field. Example: {application: {}}.",
    fields={
        "application": Record(
            description="Pods that name the stream's ResourceClaim build packets in the shared frames themselves. Example: {}."
        ),
    },
    laws=SOURCE_CHOICE_LAWS,
)

SPEC = Record(
    description="Which ring, and what leaves through it. A change makes a new claim, once no pod holds the old one.",
    fields={
        "interface": Text(
            description="Network interface by its exact name, at most 15 characters; never lo. Example: eth1.",
            max_length=MAX_IFNAME_CHARS,
            laws=DEVICE_LAWS,
        ),
        "txQueue": WholeOr(
            description="Transmit queue by its number, from 0, or Any (default): any that the namespace may have and nobody"
            " holds. Example: 4.",
            word=ANY_QUEUE,
            maximum=names.MAX_QUEUE_ID,
            default=ANY_QUEUE,
            laws=QUEUE_LAWS,
        ),
        "source": SOURCE,
        **PARAMETER_FIELDS,
    },
    required=("interface", "source", "flow"),
)
