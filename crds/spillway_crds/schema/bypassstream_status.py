"""BypassStream.status: what the node that holds the ring says of it in the claim, made short by the operator."""

from __future__ import annotations

from spillway_crds.schema.common import CONDITIONS, count, text
from spillway_crds.schema.fields import Record, Whole

STATUS = Record(
    description="What became of it, as the node's kernel says.",
    fields={
        "observedGeneration": count("Generation of the spec that this status describes."),
        "claim": text("ResourceClaim that a pod names to get the ring; empty while there is none of the present spec.", 253),
        "node": text("Node where the ring is; empty while no pod holds it.", 253),
        "interface": text("Interface where the ring is.", 15),
        "queue": Whole(description="Transmit queue where the ring is."),
        "bindMode": text("What the kernel gave: ZeroCopy, told only after a frame was completed, or Copy.", 16),
        "macAddress": text("The interface's own MAC address, which frames carry as their source.", 17),
        "nextHopMacAddress": text("MAC address that frames go to now; empty while it is not resolved.", 17),
        "packets": count("Packets handed to the card since the ring was opened."),
        "bytes": count("Bytes of those packets: whole frames without FCS."),
        "latePackets": count("Packets that left more than 1 ms behind the schedule since the ring was opened."),
        "packetsPerSecond": Whole(description="Packets a second over the last report.", wide=True),
        "core": Whole(description="Core that a built-in source sends on."),
        "coreChosenBy": text(
            "Given: `cpu` names it. Chosen: the source did, among those that its pod may use. Cpuset: its pod may use no other.",
            16,
        ),
        "sdp": text("Of video: the SDP text that a receiver needs, lines ended by CR LF; `spillway sdp` prints it, too.", 8192),
        "conditions": CONDITIONS,
    },
)
