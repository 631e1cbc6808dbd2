"""What fills a ring without code: pictures and captures. docs/streams/media.md says what each field does to the wire."""

from __future__ import annotations

from spillway_crds import names
from spillway_crds.schema.fields import Field, Flag, Many, Record, Text, Whole, WholeOr
from spillway_crds.schema.laws import shape
from spillway_crds.schema.ring import CLOCK_SOURCE, FLOW
from spillway_crds.schema.stream_laws import DEPTH_LAW, DEVICE_LAWS, FILE_LAW, QUEUE_LAWS, VIDEO_LAWS, VOLUME_LAWS

MAX_IFNAME_CHARS = 15  # IFNAMSIZ less the end mark
ANY_QUEUE = "Any"
MAX_PIXELS = 32767  # ST 2110-20: a row's number and a sample's offset have 15 bits
SAMPLINGS = ("YCbCr-4:2:2", "YCbCr-4:4:4", "RGB")
COLORIMETRIES = ("BT601", "BT709", "BT2020", "BT2100", "ST2065-1", "ST2065-3", "XYZ", "UNSPECIFIED")  # ST 2110-20, 7.5
TRANSFERS = ("SDR", "PQ", "HLG", "LINEAR", "BT2100LINPQ", "BT2100LINHLG", "ST2065-1", "ST428-1", "DENSITY", "UNSPECIFIED")  # 7.6
RANGES = ("NARROW", "FULLPROTECT", "FULL")  # 7.3
ASPECT = "^[1-9][0-9]{0,3}:[1-9][0-9]{0,3}$"
PATTERNS = ("ColorBars", "Ramp", "FrameCounter")
RATE = "^[1-9][0-9]{0,6}(/[1-9][0-9]{0,6})?$"
SPEED = r"^(0\.[0-9]{0,5}[1-9]|[1-9][0-9]{0,5}(\.[0-9]{1,6})?)$"
OBJECT_NAME = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

INTERFACE = Text(
    description="Network interface by its exact name, at most 15 characters; never lo. Example: eth1.",
    max_length=MAX_IFNAME_CHARS,
    laws=DEVICE_LAWS,
)
TX_QUEUE = WholeOr(
    description="Transmit queue by its number, from 0, or Any (default): any that the namespace may have and nobody holds."
    " Example: 4.",
    word=ANY_QUEUE,
    maximum=names.MAX_QUEUE_ID,
    default=ANY_QUEUE,
    laws=QUEUE_LAWS,
)


def _object_name(description: str) -> Text:
    return Text(description=description, pattern=OBJECT_NAME, max_length=253)


VOLUME = Record(
    description="Where the file is, in the stream's own namespace. Exactly one field. Example: {persistentVolumeClaim: clips}.",
    fields={
        "persistentVolumeClaim": _object_name("Name of a PersistentVolumeClaim, mounted read-only. Example: clips."),
        "configMap": _object_name("Name of a ConfigMap, for what is small. Example: capture."),
    },
    laws=VOLUME_LAWS,
)


def _file(description: str) -> Text:
    return Text(description=description, max_length=1024, laws=(FILE_LAW,))


LEG = Record(
    description="The second path of a stream that goes out twice.",
    fields={"interface": INTERFACE, "txQueue": TX_QUEUE, "flow": FLOW},
    required=("interface", "flow"),
)

VIDEO = Record(
    description="Uncompressed video by SMPTE ST 2110-20, from a pattern or a raw file. Example: {widthPixels: 1920, heightPixels:"
    ' 1080, exactFrameRate: "50", pattern: ColorBars}.',
    fields={
        "standard": Text(description="The standard. Default ST2110-20.", choices=("ST2110-20",), default="ST2110-20"),
        "widthPixels": Whole(description="Pixels of a line. Example: 1920.", minimum=1, maximum=MAX_PIXELS),
        "heightPixels": Whole(
            description="Lines of a frame, both fields of an interlaced one. Example: 1080.", minimum=1, maximum=MAX_PIXELS
        ),
        "exactFrameRate": Text(
            description='Frames a second, a whole number or a fraction, as a string. Example: "60000/1001".',
            max_length=15,
            laws=(shape(RATE, 'not a rate, as "50" or "60000/1001"'),),
        ),
        "sampling": Text(description="Samples of a pixel. Default YCbCr-4:2:2.", choices=SAMPLINGS, default=SAMPLINGS[0]),
        "depthBits": Whole(
            description="Bits of a sample: 8, 10 or 12. Default 10.", minimum=8, maximum=12, default=10, laws=(DEPTH_LAW,)
        ),
        "colorimetry": Text(
            description="Colours of a file, for the SDP. Left out: BT709, which a pattern always is.", choices=COLORIMETRIES
        ),
        "transferCharacteristicSystem": Text(
            description="Transfer characteristics of a file, for the SDP (TCS). Left out: SDR, which a pattern always is.",
            choices=TRANSFERS,
        ),
        "range": Text(
            description="Range of a file's samples, for the SDP. Left out: NARROW, which a pattern always is.", choices=RANGES
        ),
        "pixelAspectRatio": Text(
            description='Width and height of a pixel, for the SDP (PAR). Left out: 1:1. Example: "16:11", of 576 lines in 16:9.',
            max_length=9,
            laws=(shape(ASPECT, 'not two whole numbers, as "16:11"'),),
        ),
        "interlaced": Flag(description="Send each frame as two fields. Default false.", default=False),
        "pattern": Text(
            description="A picture that the source makes: ColorBars; Ramp, which moves; FrameCounter, with each frame's number."
            " Example: ColorBars.",
            choices=PATTERNS,
        ),
        "file": _file("A raw file of packed frames in the volume, as they stand in RTP. Example: clip.raw."),
        "volume": VOLUME,
        "loop": Flag(description="Begin the file again at its end. Default true.", default=True),
        "payloadType": Whole(description="RTP's payload type. Default 96.", minimum=96, maximum=127, default=96),
        "legs": Many(
            description="The second path, for SMPTE ST 2022-7: the same packets leave there too, from the same node. Example:"
            " [{interface: eth2, flow: {destinationAddress: 239.20.0.1, destinationPort: 5004}}].",
            item=LEG,
            most=1,
        ),
    },
    required=("widthPixels", "heightPixels", "exactFrameRate"),
    laws=VIDEO_LAWS,
)

PCAP = Record(
    description="Replay a capture: whole frames as they are, at its own pace or at `pacing`. Example: {file: flood.pcap, volume:"
    " {configMap: captures}}.",
    fields={
        "file": _file("A pcap or pcapng file in the volume. Example: flood.pcap."),
        "volume": VOLUME,
        "loop": Flag(description="Begin again at its end. Default false.", default=False),
        "speed": Text(
            description='Factor on the capture\'s own pace, as a string. Default "1". Example: "0.5".',
            max_length=13,
            default="1",
            laws=(shape(SPEED, 'not a factor above 0, as "0.5" or "2"'),),
        ),
    },
    required=("file", "volume"),
)

CLOCK = Record(
    description="What frames of video are aligned to, and which clock an application's pod is given. Omitted: the system's."
    " Example: {source: PTP}.",
    fields={
        "source": CLOCK_SOURCE,
        "ptpDomain": Whole(description="Domain of source PTP, for the SDP. Default 127.", minimum=0, maximum=127, default=127),
    },
)

SOURCE_FIELDS: dict[str, Field] = {
    "application": Record(
        description="Pods that name the stream's ResourceClaim build packets in the shared frames themselves. Example: {}."
    ),
    "video": VIDEO,
    "pcap": PCAP,
}
