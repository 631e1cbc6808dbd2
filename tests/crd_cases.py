"""One table of constraints for the decoder and for a real API server: what each lets in, and what it refuses with which words.

tests/unit/test_crds_decode.py runs it through the decoder, tests/e2e/test_crds_api.py through the API server.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.crd_manifests import (
    NO_ITEMS,
    REQUIRED,
    SUPPORTED,
    UNKNOWN,
    Constraint,
    Manifest,
    expression,
    flags,
    manifest,
    many_rules,
    match,
    named,
    nets,
    ports,
    refused_prefix,
    rule,
    rules,
    selector,
    spec,
    types,
    udp,
)
from tests.order_cases import ORDERS

NET = match(sources=["10.0.0.0/24"])
NET6 = match(sources=["2001:db8::/32"])
NO_PREFIX = "not an IPv4 or IPv6 prefix"
NO_PORTS = "not a port or a range of ports"
NO_INTERFACE = "not an interface name or glob"
NO_KEY = "not a label key"
NO_HEADER = "later fragments carry no transport header"
MATCH, FIRST = "spec.rules[0].match", "spec.rules[0]"
SELECTOR = "spec.nodeSelector"
LENGTHS = match(ipLengthBytes={"min": 0, "max": 65575})

FIELDS = (
    Constraint("field-of-manifest", spec(), spec() | {"specs": {}}, "specs", UNKNOWN),
    Constraint("field-of-metadata", spec(), manifest("FloodFilter", spec()["spec"], label={}), "metadata.label", UNKNOWN),
    Constraint("field-of-spec", spec(priority=7), spec(prio=7), "spec.prio", UNKNOWN),
    Constraint("field-of-selector", selector(), selector(labels={}), f"{SELECTOR}.labels", UNKNOWN),
    Constraint("field-of-rule", rules(rule()), rules(rule(then="Drop")), f"{FIRST}.then", UNKNOWN),
    Constraint("field-of-match", udp(), udp(vlans=[1]), f"{MATCH}.vlans", UNKNOWN),
    Constraint(
        "field-of-length", LENGTHS, match(ipLengthBytes={"min": 1, "maximum": 2}), f"{MATCH}.ipLengthBytes.maximum", UNKNOWN
    ),
    Constraint("field-of-flags", flags(set=["SYN"]), flags(set=["SYN"], clear=["ACK"]), f"{MATCH}.tcpFlags.clear", UNKNOWN),
    Constraint("field-of-queues", spec(rxQueues={"ids": [1]}), spec(rxQueues={"ids": [1], "id": 1}), "spec.rxQueues.id", UNKNOWN),
    Constraint("spec-required", spec(), {key: spec()[key] for key in ("apiVersion", "kind", "metadata")}, "spec", REQUIRED),
    Constraint("selector-required", selector(), spec("nodeSelector"), SELECTOR, REQUIRED),
    Constraint("rules-required", spec(), spec("rules"), "spec.rules", REQUIRED),
    Constraint("rule-name-required", rules(rule()), rules({"match": {}, "action": "Count"}), f"{FIRST}.name", REQUIRED),
    Constraint("match-required", rules(rule()), rules({"name": "one", "action": "Count"}), MATCH, REQUIRED),
    Constraint("action-required", rules(rule()), rules({"name": "one", "match": {}}), f"{FIRST}.action", REQUIRED),
    Constraint("ids-required", spec(rxQueues={"ids": [0]}), spec(rxQueues={}), "spec.rxQueues.ids", REQUIRED),
    Constraint("selector-is-object", selector(), spec(nodeSelector=[]), SELECTOR, 'must be of type object: "array"'),
    Constraint("priority-is-integer", spec(priority=7), spec(priority="7"), "spec.priority", 'must be of type integer: "string"'),
    Constraint(
        "suspend-is-boolean", spec(suspend=True), spec(suspend="yes"), "spec.suspend", 'must be of type boolean: "string"'
    ),
    Constraint("rules-is-array", spec(), spec(rules={}), "spec.rules", 'must be of type array: "object"'),
    Constraint(
        "port-is-string",
        udp(sourcePorts=["53"]),
        udp(sourcePorts=[53]),
        f"{MATCH}.sourcePorts[0]",
        'must be of type string: "integer"',
    ),
    Constraint("null-is-not-given", udp(sourcePorts=None), spec(rules=None), "spec.rules", REQUIRED),
    Constraint(
        "null-in-a-list", spec(interfaces=None), spec(interfaces=[None]), "spec.interfaces[0]", 'must be of type string: "null"'
    ),
    Constraint("null-where-a-default-is", spec(mode=None), spec(mode=7), "spec.mode", 'must be of type string: "integer"'),
)

CHOICES = (
    Constraint("mode", spec(mode="Enforce"), spec(mode="enforce"), "spec.mode", SUPPORTED),
    Constraint("xdp-mode", spec(xdpMode="Auto"), spec(xdpMode="Offload"), "spec.xdpMode", SUPPORTED),
    Constraint("action", rules(rule(action="Count")), rules(rule(action="Reject")), f"{FIRST}.action", SUPPORTED),
    Constraint("protocol", match(protocol="ESP"), match(protocol="udp"), f"{MATCH}.protocol", SUPPORTED),
    Constraint("fragments", udp(fragments="Later"), udp(fragments="Last"), f"{MATCH}.fragments", SUPPORTED),
    Constraint("flag-set", flags(set=["CWR"]), flags(set=["NS"]), f"{MATCH}.tcpFlags.set[0]", SUPPORTED),
    Constraint("flag-unset", flags(unset=["ECE"]), flags(unset=["syn"]), f"{MATCH}.tcpFlags.unset[0]", SUPPORTED),
    Constraint(
        "operator",
        expression(key="edge", operator="Exists"),
        expression(key="edge", operator="Gt"),
        f"{SELECTOR}.matchExpressions[0].operator",
        SUPPORTED,
    ),
)

NUMBERS = (
    Constraint("priority-low", spec(priority=1), spec(priority=0), "spec.priority", "greater than or equal to 1"),
    Constraint("priority-high", spec(priority=1000), spec(priority=1001), "spec.priority", "less than or equal to 1000"),
    Constraint(
        "queue-low",
        spec(rxQueues={"ids": [0]}),
        spec(rxQueues={"ids": [-1]}),
        "spec.rxQueues.ids[0]",
        "greater than or equal to 0",
    ),
    Constraint(
        "queue-high",
        spec(rxQueues={"ids": [1023]}),
        spec(rxQueues={"ids": [1024]}),
        "spec.rxQueues.ids[0]",
        "less than or equal to 1023",
    ),
    Constraint(
        "protocol-number-low",
        match(protocolNumber=0),
        match(protocolNumber=-1),
        f"{MATCH}.protocolNumber",
        "greater than or equal to 0",
    ),
    Constraint(
        "protocol-number-high",
        match(protocolNumber=255),
        match(protocolNumber=256),
        f"{MATCH}.protocolNumber",
        "less than or equal to 255",
    ),
    Constraint("icmp-type-low", types(0), types(-1), f"{MATCH}.icmpTypes[0]", "greater than or equal to 0"),
    Constraint("icmp-type-high", types(255), types(256), f"{MATCH}.icmpTypes[0]", "less than or equal to 255"),
    Constraint(
        "length-min-low", LENGTHS, match(ipLengthBytes={"min": -1}), f"{MATCH}.ipLengthBytes.min", "greater than or equal to 0"
    ),
    Constraint(
        "length-max-high",
        LENGTHS,
        match(ipLengthBytes={"max": 65576}),
        f"{MATCH}.ipLengthBytes.max",
        "less than or equal to 65575",
    ),
    Constraint(
        "length-min-high",
        LENGTHS,
        match(ipLengthBytes={"min": 65576}),
        f"{MATCH}.ipLengthBytes.min",
        "less than or equal to 65575",
    ),
    Constraint(
        "length-max-low", LENGTHS, match(ipLengthBytes={"max": -1}), f"{MATCH}.ipLengthBytes.max", "greater than or equal to 0"
    ),
    Constraint("length-says-something", LENGTHS, match(ipLengthBytes={}), f"{MATCH}.ipLengthBytes", "say min, max or both"),
    Constraint(
        "length-order",
        match(ipLengthBytes={"min": 7, "max": 7}),
        match(ipLengthBytes={"min": 8, "max": 7}),
        f"{MATCH}.ipLengthBytes.min",
        "min must not be above max",
    ),
)

SIZES = (
    Constraint("rules-some", many_rules(1), rules(), "spec.rules", NO_ITEMS),
    Constraint("rules-64", many_rules(64), many_rules(65), "spec.rules", "must have at most 64 items"),
    Constraint("sources-some", match(sources=nets(1)), match(sources=[]), f"{MATCH}.sources", NO_ITEMS),
    Constraint("sources-16", match(sources=nets(16)), match(sources=nets(17)), f"{MATCH}.sources", "must have at most 16 items"),
    Constraint("destinations-some", match(destinations=nets(1)), match(destinations=[]), f"{MATCH}.destinations", NO_ITEMS),
    Constraint(
        "destinations-16",
        match(destinations=nets(16)),
        match(destinations=nets(17)),
        f"{MATCH}.destinations",
        "must have at most 16 items",
    ),
    Constraint("exempt-some", spec(exempt=nets(1)), spec(exempt=[]), "spec.exempt", NO_ITEMS),
    Constraint("exempt-16", spec(exempt=nets(16)), spec(exempt=nets(17)), "spec.exempt", "must have at most 16 items"),
    Constraint("source-ports-some", udp(sourcePorts=ports(1)), udp(sourcePorts=[]), f"{MATCH}.sourcePorts", NO_ITEMS),
    Constraint(
        "source-ports-16",
        udp(sourcePorts=ports(16)),
        udp(sourcePorts=ports(17)),
        f"{MATCH}.sourcePorts",
        "must have at most 16 items",
    ),
    Constraint(
        "dest-ports-some", udp(destinationPorts=ports(1)), udp(destinationPorts=[]), f"{MATCH}.destinationPorts", NO_ITEMS
    ),
    Constraint(
        "dest-ports-16",
        udp(destinationPorts=ports(16)),
        udp(destinationPorts=ports(17)),
        f"{MATCH}.destinationPorts",
        "must have at most 16 items",
    ),
    Constraint("icmp-types-some", types(3), types(), f"{MATCH}.icmpTypes", NO_ITEMS),
    Constraint("icmp-types-16", types(*range(16)), types(*range(17)), f"{MATCH}.icmpTypes", "must have at most 16 items"),
    Constraint("flags-set-some", flags(set=["FIN"]), flags(set=[]), f"{MATCH}.tcpFlags.set", NO_ITEMS),
    Constraint("flags-unset-some", flags(unset=["FIN"]), flags(unset=[]), f"{MATCH}.tcpFlags.unset", NO_ITEMS),
    Constraint("interfaces-some", spec(interfaces=["eth0"]), spec(interfaces=[]), "spec.interfaces", NO_ITEMS),
    Constraint(
        "interfaces-16",
        spec(interfaces=[f"eth{index}" for index in range(16)]),
        spec(interfaces=[f"eth{index}" for index in range(17)]),
        "spec.interfaces",
        "must have at most 16 items",
    ),
    Constraint("ids-some", spec(rxQueues={"ids": [5]}), spec(rxQueues={"ids": []}), "spec.rxQueues.ids", NO_ITEMS),
    Constraint(
        "ids-64",
        spec(rxQueues={"ids": list(range(64))}),
        spec(rxQueues={"ids": list(range(65))}),
        "spec.rxQueues.ids",
        "must have at most 64 items",
    ),
    Constraint(
        "labels-some", selector(), selector(matchLabels={}), f"{SELECTOR}.matchLabels", "should have at least 1 properties"
    ),
    Constraint(
        "labels-16",
        selector(matchLabels={f"k{index}": "v" for index in range(16)}),
        selector(matchLabels={f"k{index}": "v" for index in range(17)}),
        f"{SELECTOR}.matchLabels",
        "must have at most 16 items",
    ),
    Constraint(
        "expressions-some",
        expression(key="edge", operator="Exists"),
        selector(matchExpressions=[]),
        f"{SELECTOR}.matchExpressions",
        NO_ITEMS,
    ),
    Constraint(
        "expressions-16",
        selector(matchExpressions=[{"key": "edge", "operator": "Exists"}] * 16),
        selector(matchExpressions=[{"key": "edge", "operator": "Exists"}] * 17),
        f"{SELECTOR}.matchExpressions",
        "must have at most 16 items",
    ),
    Constraint(
        "values-64",
        expression(key="edge", operator="In", values=[f"v{index}" for index in range(64)]),
        expression(key="edge", operator="In", values=[f"v{index}" for index in range(65)]),
        f"{SELECTOR}.matchExpressions[0].values",
        "must have at most 64 items",
    ),
    Constraint(
        "values-some",
        expression(key="edge", operator="In", values=[""]),
        expression(key="edge", operator="In", values=[]),
        f"{SELECTOR}.matchExpressions[0].values",
        NO_ITEMS,
    ),
)

NAMES = (
    Constraint("name-63", named("a" * 63), named("a" * 64), "metadata.name", "may not be more than 63 bytes"),
    Constraint("name-syntax", named("a.b-c"), named("A"), "metadata.name", "a lowercase RFC 1123 subdomain must consist of"),
    Constraint(
        "rule-name-63",
        rules(rule(name="a" * 63)),
        rules(rule(name="a" * 64)),
        f"{FIRST}.name",
        "may not be more than 63 bytes",
    ),
    Constraint("rule-name-syntax", rules(rule(name="a-0")), rules(rule(name="a_0")), f"{FIRST}.name", "should match '^[a-z0-9]"),
    Constraint(
        "rule-names-differ",
        rules(rule(name="a"), rule(name="b")),
        rules(rule(name="a"), rule(name="b"), rule(name="b")),
        "spec.rules",
        "two rules are named b",
    ),
    Constraint(
        "interface-15",
        spec(interfaces=["enp129s0f0np0v1"]),
        spec(interfaces=["enp129s0f0np0v12"]),
        "spec.interfaces[0]",
        "may not be more than 15 bytes",
    ),
    Constraint(
        "interface-15-bytes",
        spec(interfaces=["\u00f6" * 7]),
        spec(interfaces=["\u00f6" * 8]),
        "spec.interfaces[0]",
        "at most 15 bytes",
    ),
    Constraint("interface-slash", spec(interfaces=["eth0.100"]), spec(interfaces=["eth/0"]), "spec.interfaces[0]", NO_INTERFACE),
    Constraint("interface-blank", spec(interfaces=["en?[ps]*"]), spec(interfaces=["eth 0"]), "spec.interfaces[0]", NO_INTERFACE),
    Constraint(
        "interface-bracket", spec(interfaces=["eth[0-3]"]), spec(interfaces=["eth[0-3"]), "spec.interfaces[0]", NO_INTERFACE
    ),
    Constraint("interface-control", spec(interfaces=["eth0"]), spec(interfaces=["eth0\x1b"]), "spec.interfaces[0]", NO_INTERFACE),
    Constraint("interface-empty", spec(interfaces=["*"]), spec(interfaces=[""]), "spec.interfaces[0]", NO_INTERFACE),
    Constraint("interface-lo", spec(interfaces=["lo0"]), spec(interfaces=["lo"]), "spec.interfaces[0]", "lo is never filtered"),
    Constraint(
        "interface-dots",
        spec(interfaces=["..."]),
        spec(interfaces=[".."]),
        "spec.interfaces[0]",
        "no interface can have this name",
    ),
    Constraint(
        "interfaces-differ",
        spec(interfaces=["eth0", "eth1"]),
        spec(interfaces=["eth0", "eth0"]),
        "spec.interfaces[1]",
        "Duplicate value",
    ),
    Constraint(
        "ids-differ", spec(rxQueues={"ids": [2, 1]}), spec(rxQueues={"ids": [2, 2]}), "spec.rxQueues.ids[1]", "Duplicate value"
    ),
    Constraint("icmp-types-differ", types(8, 0), types(8, 8), f"{MATCH}.icmpTypes[1]", "Duplicate value"),
    Constraint(
        "flags-set-differ", flags(set=["SYN", "ECE"]), flags(set=["SYN", "SYN"]), f"{MATCH}.tcpFlags.set[1]", "Duplicate value"
    ),
    Constraint(
        "flags-unset-differ",
        flags(unset=["SYN", "ECE"]),
        flags(unset=["SYN", "SYN"]),
        f"{MATCH}.tcpFlags.unset[1]",
        "Duplicate value",
    ),
    Constraint(
        "label-key",
        selector(matchLabels={"example.com/Edge_1": ""}),
        selector(matchLabels={"a b": ""}),
        f"{SELECTOR}.matchLabels",
        NO_KEY,
    ),
    Constraint(
        "label-key-63",
        selector(matchLabels={"k" * 63: ""}),
        selector(matchLabels={"k" * 64: ""}),
        f"{SELECTOR}.matchLabels",
        NO_KEY,
    ),
    Constraint(
        "label-value",
        selector(matchLabels={"edge": "a_b.c-D"}),
        selector(matchLabels={"edge": "-a"}),
        f"{SELECTOR}.matchLabels.edge",
        "should match '^([A-Za-z0-9]",
    ),
    Constraint(
        "label-value-63",
        selector(matchLabels={"edge": "a" * 63}),
        selector(matchLabels={"edge": "a" * 64}),
        f"{SELECTOR}.matchLabels.edge",
        "may not be more than 63 bytes",
    ),
    Constraint(
        "label-value-is-string",
        selector(matchLabels={"edge": "true"}),
        selector(matchLabels={"edge": True}),
        f"{SELECTOR}.matchLabels.edge",
        'must be of type string: "boolean"',
    ),
    Constraint(
        "expression-key",
        expression(key="example.com/edge", operator="Exists"),
        expression(key="Example.com/edge", operator="Exists"),
        f"{SELECTOR}.matchExpressions[0].key",
        NO_KEY,
    ),
    Constraint(
        "expression-key-317",
        expression(key=f"{'a' * 253}/{'b' * 63}", operator="Exists"),
        expression(key=f"{'a' * 254}/{'b' * 63}", operator="Exists"),
        f"{SELECTOR}.matchExpressions[0].key",
        "may not be more than 317 bytes",
    ),
    Constraint(
        "expression-value",
        expression(key="edge", operator="In", values=["a"]),
        expression(key="edge", operator="In", values=["a/b"]),
        f"{SELECTOR}.matchExpressions[0].values[0]",
        "should match '^([A-Za-z0-9]",
    ),
    Constraint(
        "expression-value-63",
        expression(key="edge", operator="NotIn", values=["a" * 63]),
        expression(key="edge", operator="NotIn", values=["a" * 64]),
        f"{SELECTOR}.matchExpressions[0].values[0]",
        "may not be more than 63 bytes",
    ),
    Constraint(
        "expression-key-required",
        expression(key="edge", operator="Exists"),
        expression(operator="Exists"),
        f"{SELECTOR}.matchExpressions[0].key",
        REQUIRED,
    ),
    Constraint(
        "expression-operator-required",
        expression(key="edge", operator="Exists"),
        expression(key="edge"),
        f"{SELECTOR}.matchExpressions[0].operator",
        REQUIRED,
    ),
    Constraint(
        "in-needs-values",
        expression(key="edge", operator="NotIn", values=["a"]),
        expression(key="edge", operator="NotIn"),
        f"{SELECTOR}.matchExpressions[0].values",
        "In and NotIn need values",
    ),
    Constraint(
        "exists-takes-none",
        expression(key="edge", operator="DoesNotExist"),
        expression(key="edge", operator="DoesNotExist", values=["a"]),
        f"{SELECTOR}.matchExpressions[0].values",
        "Exists and DoesNotExist take no values",
    ),
)

SOURCE = f"{MATCH}.sources[0]"
PREFIXES = (
    Constraint("prefix-word", NET, refused_prefix("anywhere"), SOURCE, NO_PREFIX),
    Constraint("prefix-43", NET6, refused_prefix("f" * 44), SOURCE, "may not be more than 43 bytes"),
    Constraint("prefix-longest", match(sources=[f"{'1234:' * 7}1234/128"]), refused_prefix("1::2::3/64"), SOURCE, NO_PREFIX),
    Constraint("prefix-length-4", match(sources=["10.0.0.1/32"]), refused_prefix("10.0.0.1/33"), SOURCE, NO_PREFIX),
    Constraint("prefix-length-6", match(sources=["::/0"]), refused_prefix("2001:db8::/129"), SOURCE, NO_PREFIX),
    Constraint("prefix-zeros", match(sources=["0.0.0.0/0"]), refused_prefix("10.0.0.0/08"), SOURCE, NO_PREFIX),
    Constraint("prefix-octal", NET, refused_prefix("010.0.0.0/8"), SOURCE, NO_PREFIX),
    Constraint("prefix-netmask", NET, refused_prefix("10.0.0.0/255.0.0.0"), SOURCE, NO_PREFIX),
    Constraint("prefix-zone", NET6, refused_prefix("fe80::%eth0/64"), SOURCE, NO_PREFIX),
    Constraint("prefix-short", NET, refused_prefix("10.0/16"), SOURCE, NO_PREFIX),
    Constraint("prefix-blank", NET, refused_prefix(" 10.0.0.0/8"), SOURCE, NO_PREFIX),
    Constraint("bare-4", NET, refused_prefix("192.0.2.7"), SOURCE, "a prefix needs its length: use 192.0.2.7/32"),
    Constraint("bare-6", NET6, refused_prefix("2001:db8::7"), SOURCE, "a prefix needs its length: use 2001:db8::7/128"),
    Constraint("mapped", NET, refused_prefix("::ffff:192.0.2.0/120"), SOURCE, "IPv4-mapped IPv6: write the IPv4 prefix"),
    Constraint("mapped-hex", NET6, refused_prefix("::FFFF:c000:0200/120"), SOURCE, "IPv4-mapped IPv6: write the IPv4 prefix"),
    Constraint("mapped-bare", NET, refused_prefix("0:0:0:0:0:ffff:192.0.2.1"), SOURCE, "IPv4-mapped IPv6: write the IPv4 prefix"),
    Constraint("host-bits-4", NET, refused_prefix("10.0.0.1/24"), SOURCE, "host bits set: use 10.0.0.0/24"),
    Constraint("host-bits-6", NET6, refused_prefix("2001:db8::1/64"), SOURCE, "host bits set: use 2001:db8::/64"),
    Constraint(
        "destination-host-bits",
        match(destinations=["203.0.113.0/25"]),
        match(destinations=["10.0.0.0/8", "203.0.113.64/25"]),
        f"{MATCH}.destinations[1]",
        "host bits set: use 203.0.113.0/25",
    ),
    Constraint(
        "exempt-host-bits", spec(exempt=["::1/128"]), spec(exempt=["::1/127"]), "spec.exempt[0]", "host bits set: use ::/127"
    ),
    Constraint("prefix-any-case", match(sources=["2001:DB8::/32"]), refused_prefix("2001:DB8::G/32"), SOURCE, NO_PREFIX),
)

ONE_PORT = f"{MATCH}.sourcePorts[0]"
TRANSPORT = (
    Constraint("port-digits", udp(sourcePorts=["0"]), udp(sourcePorts=["domain"]), ONE_PORT, NO_PORTS),
    Constraint("port-zeros", udp(sourcePorts=["53"]), udp(sourcePorts=["053"]), ONE_PORT, NO_PORTS),
    Constraint("port-blank", udp(sourcePorts=["1-2"]), udp(sourcePorts=["1 - 2"]), ONE_PORT, NO_PORTS),
    Constraint("port-open", udp(sourcePorts=["1024-65535"]), udp(sourcePorts=["1024-"]), ONE_PORT, NO_PORTS),
    Constraint("port-11", udp(sourcePorts=["10000-20000"]), udp(sourcePorts=["100000-20000"]), ONE_PORT, "more than 11 bytes"),
    Constraint("port-65535", udp(sourcePorts=["65535"]), udp(sourcePorts=["65536"]), ONE_PORT, "ports end at 65535"),
    Constraint("port-last", udp(sourcePorts=["1-65535"]), udp(sourcePorts=["1-65536"]), ONE_PORT, "ports end at 65535"),
    Constraint("port-order", udp(sourcePorts=["5-5"]), udp(sourcePorts=["6-5"]), ONE_PORT, "must not be above the last"),
    Constraint(
        "port-order-by-number", udp(sourcePorts=["9-10"]), udp(sourcePorts=["100-99"]), ONE_PORT, "must not be above the last"
    ),
    Constraint(
        "destination-port",
        udp(destinationPorts=["1", "2-3"]),
        udp(destinationPorts=["1", "3-2"]),
        f"{MATCH}.destinationPorts[1]",
        "must not be above the last",
    ),
    Constraint(
        "protocol-once",
        match(protocolNumber=17),
        match(protocol="UDP", protocolNumber=17),
        f"{MATCH}.protocolNumber",
        "say protocol or protocolNumber, not both",
    ),
    Constraint(
        "source-ports-protocol",
        match(protocol="SCTP", sourcePorts=["1"]),
        match(sourcePorts=["1"]),
        f"{MATCH}.sourcePorts",
        "ports need protocol UDP, TCP or SCTP",
    ),
    Constraint(
        "destination-ports-protocol",
        match(protocol="TCP", destinationPorts=["1"]),
        match(protocol="ICMP", destinationPorts=["1"]),
        f"{MATCH}.destinationPorts",
        "ports need protocol UDP, TCP or SCTP",
    ),
    Constraint(
        "ports-protocol-number",
        match(protocolNumber=132, sourcePorts=["1"]),
        match(protocolNumber=33, sourcePorts=["1"]),
        f"{MATCH}.sourcePorts",
        "ports need protocol UDP, TCP or SCTP",
    ),
    Constraint(
        "flags-protocol",
        match(protocol="TCP", tcpFlags={"set": ["SYN"]}),
        match(protocol="UDP", tcpFlags={"set": ["SYN"]}),
        f"{MATCH}.tcpFlags",
        "tcpFlags need protocol TCP",
    ),
    Constraint(
        "flags-protocol-number",
        match(protocolNumber=6, tcpFlags={"set": ["SYN"]}),
        match(protocolNumber=17, tcpFlags={"set": ["SYN"]}),
        f"{MATCH}.tcpFlags",
        "tcpFlags need protocol TCP",
    ),
    Constraint(
        "types-protocol",
        match(protocol="ICMPv6", icmpTypes=[128]),
        match(protocol="UDP", icmpTypes=[128]),
        f"{MATCH}.icmpTypes",
        "icmpTypes need protocol ICMP or ICMPv6",
    ),
    Constraint(
        "types-protocol-number",
        match(protocolNumber=58, icmpTypes=[128]),
        match(icmpTypes=[128]),
        f"{MATCH}.icmpTypes",
        "icmpTypes need protocol ICMP or ICMPv6",
    ),
    Constraint(
        "later-source-ports",
        udp(sourcePorts=["1"], fragments="First"),
        udp(sourcePorts=["1"], fragments="Later"),
        f"{MATCH}.sourcePorts",
        NO_HEADER,
    ),
    Constraint(
        "later-destination-ports",
        udp(destinationPorts=["1"], fragments="None"),
        udp(destinationPorts=["1"], fragments="Later"),
        f"{MATCH}.destinationPorts",
        NO_HEADER,
    ),
    Constraint(
        "later-flags",
        match(protocol="TCP", tcpFlags={"set": ["SYN"]}, fragments="Any"),
        match(protocol="TCP", tcpFlags={"set": ["SYN"]}, fragments="Later"),
        f"{MATCH}.tcpFlags",
        NO_HEADER,
    ),
    Constraint(
        "later-types",
        match(protocol="ICMP", icmpTypes=[8], fragments="First"),
        match(protocol="ICMP", icmpTypes=[8], fragments="Later"),
        f"{MATCH}.icmpTypes",
        NO_HEADER,
    ),
    Constraint("flags-some", flags(set=["SYN"]), flags(), f"{MATCH}.tcpFlags", "say set, unset or both"),
    Constraint(
        "flags-disjoint",
        flags(set=["SYN"], unset=["ACK", "RST"]),
        flags(set=["SYN", "RST"], unset=["ACK", "RST"]),
        f"{MATCH}.tcpFlags.unset",
        "RST cannot be both set and unset",
    ),
    Constraint("drop-something", rules(rule(match={}, action="Count")), match(), MATCH, "an empty match is every packet"),
    Constraint("drop-some-fragments", match(fragments="Later"), match(fragments="Any"), MATCH, "an empty match is every packet"),
)

CONSTRAINTS = (*FIELDS, *CHOICES, *NUMBERS, *SIZES, *NAMES, *PREFIXES, *TRANSPORT, *ORDERS)


def largest() -> Manifest:
    """A filter with every list at its limit and every text at its longest: the CEL rules' run-time cost must hold for it."""
    prefix = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff{:x}/128"
    sources = [prefix.format(index) for index in range(16)]
    each: Mapping[str, object] = {
        "protocol": "TCP",
        "sources": sources,
        "destinations": sources,
        "sourcePorts": [f"{10000 + index}-65535" for index in range(16)],
        "destinationPorts": [f"{20000 + index}-65535" for index in range(16)],
        "ipLengthBytes": {"min": 10000, "max": 65575},
        "tcpFlags": {"set": ["FIN", "SYN", "RST", "PSH"], "unset": ["ACK", "URG", "ECE", "CWR"]},
        "fragments": "First",
    }
    expressions = [{"key": f"k{index:02}/{'k' * 63}", "operator": "In", "values": ["v" * 63] * 64} for index in range(16)]
    return spec(
        nodeSelector={"matchLabels": {f"k{index:062}": "v" * 63 for index in range(16)}, "matchExpressions": expressions},
        interfaces=[f"enp129s0f0np0{index:02}" for index in range(16)],
        rxQueues={"ids": list(range(960, 1024))},
        exempt=sources,
        rules=[{"name": f"r{index:062}", "match": each, "action": "Drop"} for index in range(64)],
    )
