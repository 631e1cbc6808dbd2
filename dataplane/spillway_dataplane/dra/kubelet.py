"""The gRPC server that kubelet calls: registration, and claims in and out.

Every process serves and registers, also one that waits for the node's lock: its answers wait with it. So an update has no moment
in which kubelet knows no driver. Kubelet prefers the driver that registered last and is connected.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from spillway_crds.errors import KernelError, SpillwayError
from spillway_dataplane.dra.cdi import device_id
from spillway_dataplane.dra.claims import ClaimRecord, ClaimRef
from spillway_dataplane.dra.names import QUEUE_DRIVER
from spillway_dataplane.dra.prepare import Claims
from spillway_dataplane.dra.protocol import DRA, MESSAGES, PLUGIN_TYPE, REGISTRATION, SUPPORTED_VERSIONS, handlers

LOG = logging.getLogger(__name__)
PATIENCE_S = 40.0  # kubelet's own is 45 s: defaultClientCallTimeout in pkg/kubelet/cm/dra/plugin
MARGIN_S = 3.0
CALLS = 256  # threads at most: one that waits for a queue must not keep the call waiting that gives it back
Acting = Callable[[float], Claims]  # waits until this monotonic time; raises Transient while another process acts


class Kubelet:
    """The server and its two sockets. acting: gives the claims once this process may act."""

    def __init__(self, plugin_socket: Path, registration_socket: Path, acting: Acting) -> None:
        self._sockets = (plugin_socket, registration_socket)
        self._acting = acting
        self._server = grpc.server(ThreadPoolExecutor(CALLS, "spillway-grpc"))
        self._server.add_generic_rpc_handlers(
            (
                handlers(
                    f"{REGISTRATION}.Registration",
                    {"GetInfo": self._get_info, "NotifyRegistrationStatus": self._notify_registration},
                ),
                handlers(
                    f"{DRA}.DRAPlugin",
                    {"NodePrepareResources": self._prepare_all, "NodeUnprepareResources": self._unprepare_all},
                ),
            )
        )
        self.registered = False

    def start(self) -> None:
        """Serve, and be found by kubelet. Raises KernelError if a socket cannot be made."""
        for path in self._sockets:
            path.unlink(missing_ok=True)
            try:
                self._server.add_insecure_port(f"unix:{path}")
            except RuntimeError as error:  # grpc's only word for every reason
                raise KernelError(errno=0, operation=f"listen on {path}", detail=str(error)) from error
        self._server.start()

    def stop(self, grace_s: float) -> None:
        """Leave: kubelet forgets us first, then calls under way have this long to end."""
        self._sockets[1].unlink(missing_ok=True)
        self._server.stop(grace_s).wait()
        self._sockets[0].unlink(missing_ok=True)

    def _get_info(self, request: Any, context: grpc.ServicerContext) -> Any:
        return MESSAGES["PluginInfo"](
            type=PLUGIN_TYPE, name=QUEUE_DRIVER, endpoint=str(self._sockets[0]), supported_versions=SUPPORTED_VERSIONS
        )

    def _notify_registration(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.registered = request.plugin_registered
        if request.plugin_registered:
            LOG.info("kubelet has registered this driver")
        else:
            LOG.error("kubelet refuses this driver: %s", request.error)
        return MESSAGES["RegistrationStatusResponse"]()

    def _prepare_all(self, request: Any, context: grpc.ServicerContext) -> Any:
        response, deadline = MESSAGES["NodePrepareResourcesResponse"](), _deadline(context)
        for claim in request.claims:
            ref = ClaimRef(claim.namespace, claim.name, claim.uid)
            answer, started = response.claims[ref.uid], time.monotonic()
            try:
                record = self._acting(deadline).prepare(ref, deadline)
            except Exception as error:
                answer.error = _told(f"prepare claim {ref}", error)
            else:
                _add_devices(answer, record)
                LOG.info("claim %s prepared in %d ms", ref, (time.monotonic() - started) * 1000)
        return response

    def _unprepare_all(self, request: Any, context: grpc.ServicerContext) -> Any:
        response, deadline = MESSAGES["NodeUnprepareResourcesResponse"](), _deadline(context)
        for claim in request.claims:
            answer = response.claims[claim.uid]  # has to be there also without an error
            try:
                self._acting(deadline).unprepare(claim.uid)
            except Exception as error:
                answer.error = _told(f"give up claim {claim.namespace}/{claim.name}", error)
            else:
                answer.error = ""
                LOG.info("claim %s/%s given up", claim.namespace, claim.name)
        return response


def _deadline(context: grpc.ServicerContext) -> float:
    remaining_s = context.time_remaining()
    return time.monotonic() + min(PATIENCE_S, max(0.0, (remaining_s if remaining_s is not None else PATIENCE_S) - MARGIN_S))


def _told(what: str, error: Exception) -> str:
    """Log an error and return it in a form for the pod's Event. A mistake of ours is logged with its place, and told without."""
    if isinstance(error, SpillwayError):
        LOG.warning("%s: %s: %s", what, error.reason, error)
        return f"{error.reason}: {error}"
    LOG.error("%s failed by a defect of spillway itself", what, exc_info=error)
    return f"internal error: {type(error).__name__}: {error}"


def _add_devices(answer: Any, record: ClaimRecord) -> None:
    for ring in record.rings:
        answer.devices.add(
            request_names=[ring.request],
            pool_name=ring.pool,
            device_name=ring.device,
            cdi_device_ids=[device_id(record, ring)],
        )
