"""Who this process is when it stands for the lease, and how it begins anew when it lost it.

Identity: `<uid of the Deployment>/<uid of the pod>`. A container that comes back goes on with its own lease, and a holder of
another release is known not to come back.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
import uuid
from http import HTTPStatus
from typing import Any, NoReturn

from kubernetes import client
from kubernetes import config as kubernetes_config
from urllib3.exceptions import HTTPError

from spillway_operator.api.calls import in_cluster
from spillway_operator.leader import TIMEOUTS_S, Lease, impatient_client
from spillway_operator.reconcile import Place

log = logging.getLogger(__name__)
LEASE_NAME = "spillway-operator"
ASK_AGAIN_S = 2.0
REFUSALS = (HTTPStatus.FORBIDDEN, HTTPStatus.UNAUTHORIZED)
REFUSED_FOR_S = 10.0  # an API server that has just begun refuses everybody for a moment: it has not read tokens and rights yet


def make_lease(place: Place, stop: threading.Event) -> Lease:
    """The lease that the leader holds. Waits for an API server that is away, until `stop`."""
    kubernetes_config.load_incluster_config() if in_cluster() else kubernetes_config.load_kube_config()
    pod = os.environ.get("POD_UID") or f"{socket.gethostname()}-{uuid.uuid4()}"
    identity = f"{deployment_uid(client.AppsV1Api(impatient_client()), place, stop)}/{pod}"
    return Lease(client.CoordinationV1Api(impatient_client()), namespace=place.namespace, name=LEASE_NAME, identity=identity)


def deployment_uid(api: Any, place: Place, stop: threading.Event) -> str:
    """uid of the operator's own Deployment, which tells releases apart; empty if there is none, or it may not be read.

    An API server that is away is asked again: who guessed then would not know the own lease afterwards, and wait for its end.
    """
    refused_since: float | None = None
    while not stop.is_set():
        try:
            found = api.read_namespaced_deployment(place.deployment, place.namespace, _request_timeout=TIMEOUTS_S)
            return str(found.metadata.uid)
        except (client.ApiException, HTTPError) as error:
            status = getattr(error, "status", None)
            log.warning("Deployment %s not read: %s", place.deployment, status or error)
        if status == HTTPStatus.NOT_FOUND:
            break
        refused_since = (refused_since or time.monotonic()) if status in REFUSALS else None
        if refused_since is not None and time.monotonic() - refused_since > REFUSED_FOR_S:
            break
        stop.wait(ASK_AGAIN_S)
    return ""


def begin_anew() -> NoReturn:
    """End this process at once, as another may lead already and no write may follow, and begin it anew in its place.

    An exit would do, but kubelet lets a container wait for up to five minutes that ended a few times: an API server that came and
    went would leave a cluster without an operator for as long. All sockets are closed by exec (PEP 446).
    """
    log.error("beginning anew")
    os.execv(sys.executable, sys.orig_argv)  # noqa: S606 -- our own command line again
