"""The table of a BypassStream's constraints, for the decoder and for a real API server, as crd_cases.py has it for the others."""

from __future__ import annotations

from dataclasses import replace

from tests.crd_manifests import REQUIRED, SUPPORTED, UNKNOWN, Constraint, Manifest, manifest

FLOW = {"destinationAddress": "239.10.0.1", "destinationPort": 5004}
NO_ADDRESS = "not an IPv4 or IPv6 address"
NOT_OUTSIDE = "neither the unspecified nor a loopback address"
NO_SENDER = "a source is one host's address"
ONE_FAMILY = "must be of one family"
ONE_RATE = "say exactly one of packetsPerSecond, bitsPerSecond, profile"


def stream(*without: str, **fields: object) -> Manifest:
    """A BypassStream of an application, with fields set and others taken out."""
    whole = {"interface": "eth1", "source": {"application": {}}, "flow": FLOW} | fields
    return manifest("BypassStream", {key: value for key, value in whole.items() if key not in without})


def flow(*without: str, **fields: object) -> Manifest:
    whole = FLOW | fields
    return stream(flow={key: value for key, value in whole.items() if key not in without})


def source_address(text: str) -> Manifest:
    return flow(sourceAddress=text, destinationAddress="2001:db8::1" if ":" in text else "10.0.0.9")


def vlan(**fields: object) -> Manifest:
    return flow(vlan=fields)


def pacing(**fields: object) -> Manifest:
    return stream(pacing=fields)


def ring(**fields: object) -> Manifest:
    return stream(ring=fields)


def _bounds(name: str, path: str, low: tuple[Manifest, Manifest], high: tuple[Manifest, Manifest]) -> tuple[Constraint, ...]:
    return (
        Constraint(f"{name}-low", *low, path, "should be greater than or equal to"),
        Constraint(f"{name}-high", *high, path, "should be less than or equal to"),
    )


FIELDS = (
    Constraint("stream-field", stream(txQueue=4), stream(queue=4), "spec.queue", UNKNOWN),
    Constraint("stream-field-of-flow", flow(ttl=1), flow(tos=1), "spec.flow.tos", UNKNOWN),
    Constraint("stream-field-of-vlan", vlan(id=1), vlan(id=1, dei=1), "spec.flow.vlan.dei", UNKNOWN),
    Constraint("stream-field-of-source", stream(), stream(source={"camera": {}}), "spec.source.camera", UNKNOWN),
    Constraint(
        "stream-field-of-application",
        stream(),
        stream(source={"application": {"image": "x"}}),
        "spec.source.application.image",
        UNKNOWN,
    ),
    Constraint(
        "stream-field-of-pacing", pacing(packetsPerSecond=1), pacing(framesPerSecond=1), "spec.pacing.framesPerSecond", UNKNOWN
    ),
    Constraint("stream-field-of-ring", ring(batch=1), ring(headroom=1), "spec.ring.headroom", UNKNOWN),
    Constraint("interface-required", stream(), stream("interface"), "spec.interface", REQUIRED),
    Constraint("source-required", stream(), stream("source"), "spec.source", REQUIRED),
    Constraint("flow-required", stream(), stream("flow"), "spec.flow", REQUIRED),
    Constraint("destination-required", flow(), flow("destinationAddress"), "spec.flow.destinationAddress", REQUIRED),
    Constraint("destination-port-required", flow(), flow("destinationPort"), "spec.flow.destinationPort", REQUIRED),
    Constraint("vlan-id-required", vlan(id=4094), vlan(priority=1), "spec.flow.vlan.id", REQUIRED),
    Constraint("stream-name-63", stream() | {"metadata": {"name": "s" * 63}}, stream() | {"metadata": {"name": "s" * 64}},
               "metadata.name", "may not be more than 63 bytes"),
)  # fmt: skip

CHOICES = (
    Constraint("bind-mode", stream(bindMode="ZeroCopy"), stream(bindMode="zerocopy"), "spec.bindMode", SUPPORTED),
    Constraint("queue-word", stream(txQueue="Any"), stream(txQueue="any"), "spec.txQueue", "a queue's number or Any"),
    Constraint("queue-word-length", stream(txQueue="Any"), stream(txQueue="None"), "spec.txQueue", "Too long"),
    Constraint("queue-type", stream(txQueue=0), stream(txQueue=[0]), "spec.txQueue", 'must be of type integer,string: "array"'),
    Constraint("one-source", stream(), stream(source={}), "spec.source", "say exactly one of application"),
    Constraint(
        "interface-name", stream(interface="eth1.100"), stream(interface="eth*"), "spec.interface", "not the name of an interface"
    ),
    Constraint("interface-lo", stream(interface="lo1"), stream(interface="lo"), "spec.interface", "lo has no card"),
    Constraint(
        "interface-15", stream(interface="e" * 15), stream(interface="e" * 16), "spec.interface", "may not be more than 15 bytes"
    ),
    Constraint("pacing-none", pacing(bitsPerSecond=1_000_000), stream(pacing={}), "spec.pacing", ONE_RATE),
    Constraint(
        "pacing-both",
        pacing(packetsPerSecond=1),
        pacing(packetsPerSecond=1, bitsPerSecond=1_000_000),
        "spec.pacing",
        ONE_RATE,
    ),
)

NUMBERS = (
    *_bounds("queue", "spec.txQueue", (stream(txQueue=0), stream(txQueue=-1)), (stream(txQueue=1023), stream(txQueue=1024))),
    *_bounds("source-port", "spec.flow.sourcePort", (flow(sourcePort=1), flow(sourcePort=0)),
             (flow(sourcePort=65535), flow(sourcePort=65536))),
    *_bounds("destination-port", "spec.flow.destinationPort", (flow(destinationPort=1), flow(destinationPort=0)),
             (flow(destinationPort=65535), flow(destinationPort=65536))),
    *_bounds("ttl", "spec.flow.ttl", (flow(ttl=1), flow(ttl=0)), (flow(ttl=255), flow(ttl=256))),
    *_bounds("dscp", "spec.flow.dscp", (flow(dscp=0), flow(dscp=-1)), (flow(dscp=63), flow(dscp=64))),
    *_bounds("vlan-id", "spec.flow.vlan.id", (vlan(id=1), vlan(id=0)), (vlan(id=4094), vlan(id=4095))),
    *_bounds("vlan-priority", "spec.flow.vlan.priority", (vlan(id=1, priority=0), vlan(id=1, priority=-1)),
             (vlan(id=1, priority=7), vlan(id=1, priority=8))),
    *_bounds("packets", "spec.pacing.packetsPerSecond", (pacing(packetsPerSecond=1), pacing(packetsPerSecond=0)),
             (pacing(packetsPerSecond=200_000_000), pacing(packetsPerSecond=200_000_001))),
    *_bounds("bits", "spec.pacing.bitsPerSecond", (pacing(bitsPerSecond=1000), pacing(bitsPerSecond=999)),
             (pacing(bitsPerSecond=10**12), pacing(bitsPerSecond=10**12 + 1))),
    *_bounds("descriptors", "spec.ring.descriptors", (ring(descriptors=64), ring(descriptors=63)),
             (ring(descriptors=8192), ring(descriptors=8193))),
    *_bounds("frame-bytes", "spec.ring.frameBytes", (ring(frameBytes=2048), ring(frameBytes=2047)),
             (ring(frameBytes=16384), ring(frameBytes=16385))),
    *_bounds("batch", "spec.ring.batch", (ring(batch=1), ring(batch=0)),
             (ring(descriptors=8192, batch=8192), ring(descriptors=8192, batch=8193))),
    Constraint("descriptors-power", ring(descriptors=128), ring(descriptors=100), "spec.ring.descriptors", "one of 64, 128, 256"),
    Constraint("frame-bytes-power", ring(frameBytes=4096), ring(frameBytes=3000), "spec.ring.frameBytes",
               "one of 2048, 4096, 8192, 16384"),
    Constraint("frame-bytes-three-pages", ring(frameBytes=8192), ring(frameBytes=12288), "spec.ring.frameBytes",
               "one of 2048, 4096, 8192, 16384"),
    Constraint(
        "batch-in-ring",
        ring(descriptors=64, batch=64),
        ring(descriptors=64, batch=65),
        "spec.ring.batch",
        "batch must not be above descriptors",
    ),
    *(
        Constraint(
            f"batch-of-{frame_bytes}-in-ring",
            ring(descriptors=256, frameBytes=frame_bytes, batch=most),
            ring(descriptors=256, frameBytes=frame_bytes, batch=most + 1),
            "spec.ring.batch",
            "batch times frameBytes / 4096 must not be above descriptors",
        )
        for frame_bytes, most in ((8192, 128), (16384, 64))
    ),
)  # fmt: skip

ADDRESSES = (
    Constraint(
        "destination-address",
        flow(destinationAddress="ff05::1"),
        flow(destinationAddress="239.10.0"),
        "spec.flow.destinationAddress",
        NO_ADDRESS,
    ),
    Constraint(
        "destination-no-prefix",
        flow(destinationAddress="10.0.0.1"),
        flow(destinationAddress="10.0.0.1/32"),
        "spec.flow.destinationAddress",
        NO_ADDRESS,
    ),
    Constraint(
        "destination-mapped",
        flow(destinationAddress="64:ff9b::a00:1"),
        flow(destinationAddress="::ffff:10.0.0.1"),
        "spec.flow.destinationAddress",
        NO_ADDRESS,
    ),
    Constraint(
        "destination-unspecified",
        flow(destinationAddress="255.255.255.255"),
        flow(destinationAddress="0.0.0.0"),
        "spec.flow.destinationAddress",
        NOT_OUTSIDE,
    ),
    Constraint(
        "destination-loopback",
        flow(destinationAddress="::2"),
        flow(destinationAddress="::1"),
        "spec.flow.destinationAddress",
        NOT_OUTSIDE,
    ),
    Constraint(
        "destination-39",
        flow(destinationAddress="2001:0db8:1111:2222:3333:4444:5555:6666"),
        flow(destinationAddress="2001:0db8:1111:2222:3333:4444:5555:66666"),
        "spec.flow.destinationAddress",
        "Too long",
    ),
    Constraint("source-address", source_address("10.0.0.7"), source_address("10.0.0.256"), "spec.flow.sourceAddress", NO_ADDRESS),
    Constraint(
        "source-loopback", source_address("10.0.0.7"), source_address("127.0.0.1"), "spec.flow.sourceAddress", NOT_OUTSIDE
    ),
    Constraint(
        "source-multicast", source_address("223.255.255.1"), source_address("224.0.0.1"), "spec.flow.sourceAddress", NO_SENDER
    ),
    Constraint("source-multicast-6", source_address("fe80::1"), source_address("ff02::1"), "spec.flow.sourceAddress", NO_SENDER),
    Constraint(
        "source-broadcast",
        source_address("255.255.255.254"),
        source_address("255.255.255.255"),
        "spec.flow.sourceAddress",
        NO_SENDER,
    ),
    Constraint(
        "source-39",
        source_address("2001:0db8:1111:2222:3333:4444:5555:6666"),
        source_address("2001:0db8:1111:2222:3333:4444:5555:66666"),
        "spec.flow.sourceAddress",
        "Too long",
    ),
    Constraint(
        "one-family",
        flow(sourceAddress="2001:db8::7", destinationAddress="ff05::1"),
        flow(sourceAddress="2001:db8::7", destinationAddress="239.10.0.1"),
        "spec.flow.sourceAddress",
        ONE_FAMILY,
    ),
)

PICTURE = {"widthPixels": 1920, "heightPixels": 1080, "exactFrameRate": "50", "pattern": "ColorBars"}
LEG = {"interface": "eth2", "flow": FLOW}
NO_FILE = "a path inside the volume"
WHOLE_OCTETS = "lines of whole octets"
ONE_VOLUME = "say exactly one of persistentVolumeClaim, configMap"


def video(*without: str, **fields: object) -> Manifest:
    whole = PICTURE | fields
    return stream(source={"video": {key: value for key, value in whole.items() if key not in without}})


def clip(*without: str, **fields: object) -> Manifest:
    return video("pattern", *without, **{"file": "clip.raw", "volume": {"persistentVolumeClaim": "clips"}, **fields})


def capture(*without: str, **fields: object) -> Manifest:
    whole = {"file": "flood.pcap", "volume": {"configMap": "captures"}} | fields
    return stream(source={"pcap": {key: value for key, value in whole.items() if key not in without}})


def clip_volume(**fields: object) -> Manifest:
    return clip(volume=fields)


def capture_volume(**fields: object) -> Manifest:
    return capture(volume=fields)


def leg(*without: str, **fields: object) -> Manifest:
    whole = LEG | fields
    return video(legs=[{key: value for key, value in whole.items() if key not in without}])


def of_video(**fields: object) -> Manifest:
    return stream(source={"video": PICTURE}, **fields)


def with_leg(**fields: object) -> Manifest:
    """A stream on queue 4 of eth1 that goes out twice."""
    return stream(txQueue=4, source={"video": PICTURE | {"legs": [LEG | fields]}})


VIDEO, PCAP = "spec.source.video", "spec.source.pcap"
SOURCES = (
    Constraint("video-field", video(), video(width=1), f"{VIDEO}.width", UNKNOWN),
    Constraint("pcap-field", capture(), capture(rate=1), f"{PCAP}.rate", UNKNOWN),
    Constraint("leg-field", leg(), leg(queue=1), f"{VIDEO}.legs[0].queue", UNKNOWN),
    Constraint("volume-field", clip(), clip_volume(hostPath="/"), f"{VIDEO}.volume.hostPath", UNKNOWN),
    Constraint("clock-field", of_video(clock={}), of_video(clock={"domain": 1}), "spec.clock.domain", UNKNOWN),
    Constraint("two-sources", video(), stream(source={"video": PICTURE, "application": {}}), "spec.source", "say exactly one of"),
    Constraint("width-required", video(), video("widthPixels"), f"{VIDEO}.widthPixels", REQUIRED),
    Constraint("height-required", video(), video("heightPixels"), f"{VIDEO}.heightPixels", REQUIRED),
    Constraint("rate-required", video(), video("exactFrameRate"), f"{VIDEO}.exactFrameRate", REQUIRED),
    Constraint("pcap-file-required", capture(), capture("file"), f"{PCAP}.file", REQUIRED),
    Constraint("pcap-volume-required", capture(), capture("volume"), f"{PCAP}.volume", REQUIRED),
    Constraint("leg-interface-required", leg(), leg("interface"), f"{VIDEO}.legs[0].interface", REQUIRED),
    Constraint("leg-flow-required", leg(), leg("flow"), f"{VIDEO}.legs[0].flow", REQUIRED),
    Constraint("standard", video(standard="ST2110-20"), video(standard="ST2022-6"), f"{VIDEO}.standard", SUPPORTED),
    Constraint("sampling", video(sampling="RGB"), video(sampling="YCbCr-4:2:0"), f"{VIDEO}.sampling", SUPPORTED),
    Constraint("colorimetry", clip(colorimetry="BT2020"), clip(colorimetry="BT.2020"), f"{VIDEO}.colorimetry", SUPPORTED),
    Constraint(
        "transfer",
        clip(transferCharacteristicSystem="PQ"),
        clip(transferCharacteristicSystem="HDR10"),
        f"{VIDEO}.transferCharacteristicSystem",
        SUPPORTED,
    ),
    Constraint("range", clip(range="FULL"), clip(range="full"), f"{VIDEO}.range", SUPPORTED),
    Constraint(
        "aspect-shape",
        video(pixelAspectRatio="16:11"),
        video(pixelAspectRatio="0:1"),
        f"{VIDEO}.pixelAspectRatio",
        "not two whole",
    ),
    Constraint(
        "aspect-9", clip(pixelAspectRatio="1:1"), clip(pixelAspectRatio="10000:1000"), f"{VIDEO}.pixelAspectRatio", "Too long"
    ),
    Constraint("colours-of-a-file", clip(range="FULL"), video(range="FULL"), f"{VIDEO}.pattern", "are a file's"),
    Constraint("pattern", video(pattern="Ramp"), video(pattern="Bars"), f"{VIDEO}.pattern", SUPPORTED),
    Constraint(
        "clock-source", of_video(clock={"source": "PTP"}), of_video(clock={"source": "NTP"}), "spec.clock.source", SUPPORTED
    ),
    Constraint(
        "profile",
        of_video(pacing={"profile": "ST2110-21-Wide"}),
        of_video(pacing={"profile": "Wide"}),
        "spec.pacing.profile",
        SUPPORTED,
    ),
    Constraint(
        "profile-and-rate",
        of_video(pacing={"profile": "ST2110-21-Wide"}),
        of_video(pacing={"profile": "ST2110-21-Wide", "packetsPerSecond": 1}),
        "spec.pacing",
        ONE_RATE,
    ),
    *_bounds(
        "width",
        f"{VIDEO}.widthPixels",
        (video(widthPixels=2), video(widthPixels=0)),
        (video(widthPixels=32766), video(widthPixels=32768)),
    ),
    *_bounds(
        "height",
        f"{VIDEO}.heightPixels",
        (video(heightPixels=1), video(heightPixels=0)),
        (video(heightPixels=32767), video(heightPixels=32768)),
    ),
    *_bounds("depth", f"{VIDEO}.depthBits", (video(depthBits=8), video(depthBits=7)), (video(depthBits=12), video(depthBits=13))),
    *_bounds(
        "payload-type",
        f"{VIDEO}.payloadType",
        (video(payloadType=96), video(payloadType=95)),
        (video(payloadType=127), video(payloadType=128)),
    ),
    *_bounds(
        "ptp-domain",
        "spec.clock.ptpDomain",
        (of_video(clock={"ptpDomain": 0}), of_video(clock={"ptpDomain": -1})),
        (of_video(clock={"ptpDomain": 127}), of_video(clock={"ptpDomain": 128})),
    ),
    *_bounds("cpu", "spec.cpu", (of_video(cpu=0), of_video(cpu=-1)), (of_video(cpu=4095), of_video(cpu=4096))),
    Constraint("depth-steps", video(depthBits=10), video(depthBits=9), f"{VIDEO}.depthBits", "one of 8, 10, 12"),
    Constraint("legs-least", leg(), video(legs=[]), f"{VIDEO}.legs", "should have at least 1 items"),
    Constraint("legs-most", leg(), video(legs=[LEG, LEG]), f"{VIDEO}.legs", "must have at most 1 item"),
    *(
        Constraint(
            f"legs-apart-{name}",
            with_leg(**apart),
            with_leg(interface="eth1", txQueue=4),
            "spec.txQueue",
            "the second path asks for the same queue",
        )
        for name, apart in (
            ("queue", {"interface": "eth1", "txQueue": 5}),
            ("interface", {"interface": "eth2", "txQueue": 4}),
            ("any", {"interface": "eth1"}),
        )
    ),
    Constraint(
        "rate-shape", video(exactFrameRate="60000/1001"), video(exactFrameRate="59.94"), f"{VIDEO}.exactFrameRate", "not a rate"
    ),
    Constraint("rate-zero", video(exactFrameRate="1"), video(exactFrameRate="0"), f"{VIDEO}.exactFrameRate", "not a rate"),
    Constraint(
        "rate-15",
        video(exactFrameRate="1000000/1000001"),
        video(exactFrameRate="1000000/10000011"),
        f"{VIDEO}.exactFrameRate",
        "Too long",
    ),
    Constraint("speed-shape", capture(speed="0.5"), capture(speed="0.0"), f"{PCAP}.speed", "not a factor"),
    Constraint("speed-13", capture(speed="123456.123456"), capture(speed="123456.1234567"), f"{PCAP}.speed", "Too long"),
    Constraint("pattern-or-file", video(), video("pattern"), VIDEO, "say exactly one of pattern, file"),
    Constraint("pattern-and-file", clip(), video(file="f", volume={"configMap": "c"}), VIDEO, "say exactly one of pattern, file"),
    Constraint("file-needs-volume", clip(), clip("volume"), f"{VIDEO}.volume", "a file needs a volume"),
    Constraint("pattern-no-volume", video(), video(volume={"configMap": "c"}), f"{VIDEO}.volume", "a file needs a volume"),
    Constraint("width-422", video(widthPixels=1922), video(widthPixels=1921), f"{VIDEO}.widthPixels", WHOLE_OCTETS),
    Constraint(
        "width-444-10",
        video(sampling="RGB", widthPixels=1924),
        video(sampling="RGB", widthPixels=1922),
        f"{VIDEO}.widthPixels",
        WHOLE_OCTETS,
    ),
    Constraint(
        "width-444-12",
        video(sampling="RGB", depthBits=12, widthPixels=1922),
        video(sampling="RGB", depthBits=12, widthPixels=1921),
        f"{VIDEO}.widthPixels",
        WHOLE_OCTETS,
    ),
    Constraint(
        "width-444-8",
        video(sampling="RGB", depthBits=8, widthPixels=1921),
        video(depthBits=8, widthPixels=1921),
        f"{VIDEO}.widthPixels",
        WHOLE_OCTETS,
    ),
    Constraint(
        "interlaced",
        video(interlaced=True),
        video(interlaced=True, heightPixels=1081),
        f"{VIDEO}.heightPixels",
        "even number of lines",
    ),
    Constraint("file-relative", clip(file="a/clip.raw"), clip(file="/etc/passwd"), f"{VIDEO}.file", NO_FILE),
    Constraint("file-inside", clip(file="a/..b"), clip(file="a/../../b"), f"{VIDEO}.file", NO_FILE),
    Constraint("file-empty", clip(file="c"), clip(file=""), f"{VIDEO}.file", NO_FILE),
    Constraint("file-1024", clip(file="c" * 1024), clip(file="c" * 1025), f"{VIDEO}.file", "Too long"),
    Constraint("pcap-inside", capture(file="a.pcap"), capture(file="../a.pcap"), f"{PCAP}.file", NO_FILE),
    Constraint("pcap-1024", capture(file="c" * 1024), capture(file="c" * 1025), f"{PCAP}.file", "Too long"),
    Constraint("volume-one", clip(), clip_volume(), f"{VIDEO}.volume", ONE_VOLUME),
    Constraint(
        "volume-both",
        clip_volume(configMap="c"),
        clip_volume(configMap="c", persistentVolumeClaim="c"),
        f"{VIDEO}.volume",
        ONE_VOLUME,
    ),
    Constraint("pcap-volume-one", capture(), capture_volume(), f"{PCAP}.volume", ONE_VOLUME),
    *(
        Constraint(f"{name}-{field}-{what}", volume(**{field: good}), volume(**{field: bad}), f"{path}.volume.{field}", words)
        for name, volume, path in (("clip", clip_volume, VIDEO), ("capture", capture_volume, PCAP))
        for field in ("persistentVolumeClaim", "configMap")
        for what, good, bad, words in (("name", "a.b-c", "A_b", "should match"), ("253", "c" * 253, "c" * 254, "Too long"))
    ),
    Constraint(
        "selector-of-application",
        of_video(nodeSelector={}),
        stream(nodeSelector={}),
        "spec.nodeSelector",
        "an application's pod has a selector of its own",
    ),
    Constraint("cpu-of-application", of_video(cpu=1), stream(cpu=1), "spec.cpu", "an application chooses its core itself"),
    Constraint(
        "clock-of-capture",
        of_video(clock={}),
        stream(source=capture()["spec"]["source"], clock={}),
        "spec.clock",
        "a capture is aligned to no clock",
    ),
    Constraint(
        "video-by-rate",
        of_video(pacing={"profile": "ST2110-21-Wide"}),
        of_video(pacing={"packetsPerSecond": 1}),
        "spec.pacing",
        "video is paced by a profile",
    ),
    Constraint(
        "application-by-profile",
        pacing(bitsPerSecond=1000),
        pacing(profile="ST2110-21-Wide"),
        "spec.pacing",
        "video is paced by a profile",
    ),
)

CONSTRAINTS = tuple(
    replace(each, id=f"stream-{each.id.removeprefix('stream-')}") for each in (*FIELDS, *CHOICES, *NUMBERS, *ADDRESSES, *SOURCES)
)
