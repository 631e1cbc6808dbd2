"""BypassStream.status: what the node that holds the ring says of it in the claim, made short by the operator."""

from __future__ import annotations

from spillway_crds.schema.common import CONDITIONS, count, text
from spillway_crds.schema.fields import Many, Record, Whole

LEG = Record(
    description="One path.",
    fields={
        "interface": text("Interface of this path.", 15),
        "queue": Whole(description="Transmit queue of this path."),
        "bindMode": text("As of the stream.", 16),
        "nextHopMacAddress": text("As of the stream.", 17),
        "packets": count("Packets handed to this path's card."),
        "bytes": count("Bytes of those packets."),
        "latePackets": count("Packets that left late on this path."),
        "packetsPerSecond": Whole(description="Packets a second on this path.", wide=True),
    },
    required=("queue",),
)

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
        "packets": count(
            "Packets handed to the card since the ring was opened; of a stream that goes out twice, on both paths together."
        ),
        "bytes": count("Bytes of those packets: whole frames without FCS."),
        "latePackets": count("Packets that left more than 1 ms behind the schedule since the ring was opened."),
        "packetsPerSecond": Whole(description="Packets a second over the last report.", wide=True),
        "legs": Many(
            description="Of a stream that goes out twice: each path, its own ring first. What stands outside is of its own ring,"
            " but counts are of both.",
            item=LEG,
            most=2,
        ),
        "core": Whole(description="Core that a built-in source sends on."),
        "coreChosenBy": text(
            "Given: `cpu` names it. Chosen: the source did, among those that its pod may use. Cpuset: its pod may use no other.",
            16,
        ),
        "sdp": text("Of video: the SDP text that a receiver needs, lines ended by CR LF; `spillway sdp` prints it, too.", 8192),
        "conditions": CONDITIONS,
    },
)
