"""The DRA driver of one node: hands out transmit queues as rings. A process of its own, `python -m spillway_dataplane streams`.

Environment
    NODE_NAME            spec.nodeName
    NODE_IP              status.hostIPs: metrics are served on the first of these addresses only
    POD_UID              metadata.uid: the sockets of two pods that overlap in an update get different names
    SPILLWAY_STREAMS_CONFIG        file of grants (grants.py), default /etc/spillway/streams.json; its changes are followed
    SPILLWAY_KUBELET_DIR           kubelet's directory on the host, default /var/lib/kubelet
    SPILLWAY_CDI_DIR               where containerd looks for CDI files, default /var/run/cdi
    SPILLWAY_STREAMS_METRICS_PORT  default 9466; 0: no server. /metrics, /healthz, /readyz
    SPILLWAY_MEMORY_LIMIT          the container's limits.memory in bytes (resourceFieldRef): rings that do not fit are refused

Mounts, all hostPath and writable; the first two at the same path inside and outside: kubelet and containerd are told paths
    <kubelet dir>/plugins/tx-queue.spillway.dev   DirectoryOrCreate: lock, sockets, checkpoints, one directory a claim
    <kubelet dir>/plugins_registry                Directory: where kubelet finds us
    /var/run/cdi                                  DirectoryOrCreate, from the host's /var/run/cdi
    the ConfigMap with streams.json at /etc/spillway, as a directory: a file mounted by subPath never changes

The pod is on the host's network, uid 0 (it owns what it makes there), read-only root, no other capability than NET_RAW (AF_XDP),
NET_ADMIN (zero copy) and IPC_LOCK (frames above the limit for locked memory). The memory limit has to cover the frames of all
rings of the node: they count as this container's until the application's end too.

Rights (RBAC)
    nodes                                       get                                          the owner of our slices
    resource.k8s.io resourceslices              get, list, watch, create, patch, delete      by field selector, our own
    resource.k8s.io resourceclaims              get
    resource.k8s.io resourceclaims/status       patch
"""
