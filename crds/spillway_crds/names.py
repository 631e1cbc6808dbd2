"""Names and limits that both sides and the chart agree on. SEMANTICS: docs/semantics.md, section 6."""

from __future__ import annotations

GROUP = "spillway.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
FILTERS_PLURAL = "floodfilters"
DATAPLANES_PLURAL = "nodedataplanes"
STREAMS_PLURAL = "bypassstreams"

OPERATOR_FIELD_MANAGER = "spillway-operator"
AGENT_FIELD_MANAGER = "spillway-agent"
NODE_LABEL = "dataplane.spillway.node-restriction.kubernetes.io/wanted"  # a kubelet cannot set it on its own node
NODE_LABEL_VALUE = "true"
REVISION_LABEL = f"{GROUP}/floodfilter"  # on a ControllerRevision: the filter it belongs to

QUEUE_DRIVER = f"tx-queue.{GROUP}"  # the DRA driver; a namespace's DeviceClass is <namespace>.<this>
RING_REQUEST = "ring"  # the request of a BypassStream's claim
RESOURCE_API = "resource.k8s.io/v1"

PEERS_CONFIGMAP = "spillway-peers"
SWITCH_CONFIGMAP = "spillway-switch"
SWITCH_KEY = "enforcement"
SWITCH_OFF = "Off"

MAX_RULES = 64
MAX_PREFIXES = 16  # of each list of a rule, and of `exempt`
MAX_PORT_RANGES = 16
MAX_ICMP_TYPES = 16
MAX_INTERFACES = 16
MAX_QUEUE_IDS = 64
MAX_QUEUE_ID = 1023
MAX_NAME_LENGTH = 63
MAX_FILTERS_PER_NODE = 24
MAX_RING_INTERFACES = 16  # of a node
MAX_FILTER_BYTES = 512 * 1024  # of JSON
MAX_ORDER_BYTES = 12 * 1024
MAX_NODE_STATUS_BYTES = 16 * 1024
RULE_STATUS_BYTES = 12 * 1024  # rules are listed in a node's status until so much is used
REVISION_HISTORY_LIMIT = 10
