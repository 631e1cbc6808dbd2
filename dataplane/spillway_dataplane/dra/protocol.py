"""The messages and services by which kubelet talks to a DRA driver, as protobuf descriptors.

Names and field numbers are kubelet's, of k8s.io/kubelet/pkg/apis/pluginregistration/v1 and .../dra/v1 (Kubernetes 1.34); every
kubelet that speaks `v1.DRAPlugin` keeps them. Fields that a newer kubelet adds are ignored, as protobuf has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc

from spillway_dataplane.dra.messages import Fields, message_classes

REGISTRATION, DRA = "pluginregistration", "k8s.io.kubelet.pkg.apis.dra.v1"  # packages
SUPPORTED_VERSIONS = ("v1.DRAPlugin",)
PLUGIN_TYPE = "DRAPlugin"

REGISTRATION_MESSAGES: Mapping[str, Fields] = {
    "InfoRequest": {},
    "PluginInfo": {
        "type": (1, "string"),
        "name": (2, "string"),
        "endpoint": (3, "string"),
        "supported_versions": (4, "string[]"),
    },
    "RegistrationStatus": {"plugin_registered": (1, "bool"), "error": (2, "string")},
    "RegistrationStatusResponse": {},
}
DRA_MESSAGES: Mapping[str, Fields] = {
    "Claim": {"namespace": (1, "string"), "uid": (2, "string"), "name": (3, "string")},
    "Device": {
        "request_names": (1, "string[]"),
        "pool_name": (2, "string"),
        "device_name": (3, "string"),
        "cdi_device_ids": (4, "string[]"),
    },
    "NodePrepareResourcesRequest": {"claims": (1, "Claim[]")},
    "NodePrepareResourceResponse": {"devices": (1, "Device[]"), "error": (2, "string")},
    "NodePrepareResourcesResponse": {"claims": (1, "NodePrepareResourceResponse{}")},
    "NodeUnprepareResourcesRequest": {"claims": (1, "Claim[]")},
    "NodeUnprepareResourceResponse": {"error": (1, "string")},
    "NodeUnprepareResourcesResponse": {"claims": (1, "NodeUnprepareResourceResponse{}")},
}
# Of each service: method -> (request, response).
SERVICES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    f"{REGISTRATION}.Registration": {
        "GetInfo": ("InfoRequest", "PluginInfo"),
        "NotifyRegistrationStatus": ("RegistrationStatus", "RegistrationStatusResponse"),
    },
    f"{DRA}.DRAPlugin": {
        "NodePrepareResources": ("NodePrepareResourcesRequest", "NodePrepareResourcesResponse"),
        "NodeUnprepareResources": ("NodeUnprepareResourcesRequest", "NodeUnprepareResourcesResponse"),
    },
}
MESSAGES = message_classes({REGISTRATION: REGISTRATION_MESSAGES, DRA: DRA_MESSAGES})  # by name, without the package


def handlers(service: str, methods: Mapping[str, Callable[[Any, grpc.ServicerContext], Any]]) -> grpc.GenericRpcHandler:
    """Return what a grpc server answers to for one service. methods: all of the service's, each from (request, context)."""
    made = {
        name: grpc.unary_unary_rpc_method_handler(
            methods[name],
            request_deserializer=MESSAGES[request].FromString,
            response_serializer=MESSAGES[response].SerializeToString,
        )
        for name, (request, response) in SERVICES[service].items()
    }
    return grpc.method_handlers_generic_handler(service, made)
