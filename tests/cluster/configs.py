"""What each program of the cluster is told: arguments and configuration files, as values. Pure, no I/O.

Time and memory are those of one small machine with several nodes; what is left out has Kubernetes' default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.cluster.addresses import (
    ALL_PODS,
    API_ADDRESS,
    API_PORT,
    SERVICES,
    node_address,
    node_name,
    node_pods,
)
from tests.cluster.images import PAUSE
from tests.cluster.layout import Home

ETCD_CLIENTS = "http://127.0.0.1:12379"
ETCD_PEERS = "http://127.0.0.1:12380"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
STATIC_PODS = "/etc/kubernetes/manifests"
CNI_PLUGINS = "/usr/lib/cni"  # Debian's containernetworking-plugins
CNI_CONFIGURATION = "/etc/cni/net.d"
GONE_AFTER = "20s"  # a silent node is NotReady after this; Kubernetes' own 50 s only make tests wait

Json = dict[str, Any]


# ---- control plane ----------------------------------------------------------------------------------------------------


def etcd_arguments(home: Home) -> list[str]:
    """Without fsync: what is written survives the process, and nobody cuts this machine's power for a test."""
    return [
        f"--data-dir={home.etcd}",
        f"--listen-client-urls={ETCD_CLIENTS}",
        f"--advertise-client-urls={ETCD_CLIENTS}",
        f"--listen-peer-urls={ETCD_PEERS}",
        f"--initial-advertise-peer-urls={ETCD_PEERS}",
        f"--initial-cluster=default={ETCD_PEERS}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver_arguments(home: Home) -> list[str]:
    pki = home.pki
    return [
        f"--etcd-servers={ETCD_CLIENTS}",
        f"--bind-address={API_ADDRESS}",
        f"--advertise-address={API_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={SERVICES}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki}/tokens.pub",
        f"--service-account-signing-key-file={pki}/tokens.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        *aggregation_arguments(pki),
    ]


def aggregation_arguments(pki: Path) -> list[str]:
    """How the API server proves itself to extension servers."""
    return [
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
    ]


def controller_manager_arguments(home: Home) -> list[str]:
    pki = home.pki
    return [
        f"--kubeconfig={home.kubeconfig('controller-manager')}",
        "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki}/tokens.key",
        f"--root-ca-file={pki}/ca.crt",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--allocate-node-cidrs=false",
        f"--flex-volume-plugin-dir={home.root}/flexvolumes",  # it would make one in /usr
        "--authentication-skip-lookup",
        "--bind-address=127.0.0.1",
        f"--node-monitor-grace-period={GONE_AFTER}",
    ]


def scheduler_arguments(home: Home) -> list[str]:
    return [
        f"--kubeconfig={home.kubeconfig('scheduler')}",
        "--leader-elect=false",
        "--authentication-skip-lookup",
        "--bind-address=127.0.0.1",
    ]


# ---- nodes ------------------------------------------------------------------------------------------------------------


def kubelet_arguments(home: Home, index: int) -> list[str]:
    return [
        f"--config={home.node(index)}/kubelet.json",
        f"--kubeconfig={home.kubeconfig(node_name(index))}",
        f"--hostname-override={node_name(index)}",
        f"--node-ip={node_address(index)}",
        "--root-dir=/var/lib/kubelet",
    ]


def kubelet_configuration(home: Home, index: int) -> Json:
    """oomScoreAdj and maxOpenFiles: what a machine without CAP_SYS_RESOURCE can give."""
    pki = home.pki
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "oomScoreAdj": 0,
        "maxOpenFiles": 20000,
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "clusterDomain": "cluster.local",
        "tlsCertFile": f"{pki}/{node_name(index)}.crt",
        "tlsPrivateKeyFile": f"{pki}/{node_name(index)}.key",
        "address": node_address(index),
        "healthzBindAddress": "127.0.0.1",
        "resolvConf": "",
        "staticPodPath": STATIC_PODS,
        "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        "enforceNodeAllocatable": ["pods"],
        "failSwapOn": False,
        "nodeStatusUpdateFrequency": "4s",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
    }


def kube_proxy_configuration(home: Home, index: int) -> Json:
    """conntrack zeros: its limits belong to the machine, not to a node."""
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clientConnection": {"kubeconfig": str(home.kubeconfig("proxy"))},
        "hostnameOverride": node_name(index),
        "clusterCIDR": ALL_PODS,
        "oomScoreAdj": 0,
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def pod_network(index: int, mtu_bytes: int) -> Json:
    """CNI configuration: a routed link for every pod, no bridge, no address translation."""
    ranges = [[{"subnet": node_pods(index)}]]
    addresses = {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}]}
    plugins = [
        {"type": "ptp", "ipMasq": False, "mtu": mtu_bytes, "ipam": addresses},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return {"cniVersion": "0.4.0", "name": "spillway", "plugins": plugins}


def store_configuration(root: Path, state: str) -> str:
    """For a containerd that only fills a store: without the part for Kubernetes, which would name every image twice."""
    return f"""\
version = 2
root = "{root}"
state = "{state}"
oom_score = 0
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/opt"
"""


def containerd_configuration(root: Path, state: str, optional: Path) -> str:
    """containerd's configuration, version 2 of its format.

    root: the image store. state: sockets and running containers. optional: a folder that it makes and we keep off /opt.
    """
    return f"""\
version = 2
root = "{root}"
state = "{state}"
oom_score = 0
[plugins."io.containerd.internal.v1.opt"]
  path = "{optional}"
[grpc]
  address = "{state}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  max_container_log_line_size = 16384
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{CNI_CONFIGURATION}"
"""
