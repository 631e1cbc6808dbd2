"""BypassStream: what the owner of an application writes. docs/semantics.md, section 9, says what it means."""

from __future__ import annotations

from dataclasses import replace

from spillway_crds.schema.fields import Record, Text, Whole
from spillway_crds.schema.ring import PACING, PARAMETER_FIELDS
from spillway_crds.schema.selector import NODE_SELECTOR
from spillway_crds.schema.sources import CLOCK, INTERFACE, SOURCE_FIELDS, TX_QUEUE
from spillway_crds.schema.stream_laws import RATES, SOURCES, STREAM_LAWS, exactly_one
from spillway_crds.streams import SenderProfile

MAX_CPU = 4095

SOURCE = Record(
    description="Who fills the frames. Exactly one field. Example: {application: {}}.",
    fields=SOURCE_FIELDS,
    laws=(exactly_one(*SOURCES),),
)
STREAM_PACING = Record(
    description="How packets are spread over time. Exactly one field. Omitted: video by ST2110-21-Wide, a capture at its own"
    " pace, an application as fast as it sends. Example: {packetsPerSecond: 340000}.",
    fields={
        **PACING.fields,
        "profile": Text(
            description="Of video: the sender type of SMPTE ST 2110-21. The narrow ones need a card that launches packets at a"
            " time; without one they end in NotSupported. Example: ST2110-21-Wide.",
            choices=tuple(SenderProfile),
        ),
    },
    laws=(exactly_one(*RATES, "profile"),),
)

SPEC = Record(
    description="Which ring, and what leaves through it. A change makes a new claim, once no pod holds the old one; the pod of a"
    " built-in source is replaced for it.",
    fields={
        "nodeSelector": replace(
            NODE_SELECTOR,
            description="Which nodes may run a built-in source, by their labels; omitted: every node with a free queue. An"
            ' application\'s pod has a selector of its own. Example: {matchLabels: {studio: "true"}}.',
        ),
        "interface": INTERFACE,
        "txQueue": TX_QUEUE,
        "source": SOURCE,
        **PARAMETER_FIELDS,
        "pacing": STREAM_PACING,
        "clock": CLOCK,
        "cpu": Whole(
            description="Core that a built-in source stays on, one that its pod may use; omitted: the source chooses"
            " an idle one near the card, and another when somebody shares it. `status.core` says which. Example: 3.",
            minimum=0,
            maximum=MAX_CPU,
        ),
    },
    required=("interface", "source", "flow"),
    laws=STREAM_LAWS,
)
