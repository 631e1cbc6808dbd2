"""The messages and services by which kubelet talks to a DRA driver, as protobuf descriptors.

Names and field numbers are kubelet's, of k8s.io/kubelet/pkg/apis/pluginregistration/v1 and .../dra/v1 (Kubernetes 1.34); every
kubelet that speaks `v1.DRAPlugin` keeps them. Fields that a newer kubelet adds are ignored, as protobuf has it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

REGISTRATION, DRA = "pluginregistration", "k8s.io.kubelet.pkg.apis.dra.v1"  # packages
SUPPORTED_VERSIONS = ("v1.DRAPlugin",)
PLUGIN_TYPE = "DRAPlugin"

# Of each message: field name -> (number, type). `[]` is repeated, `{}` a map from string; other types than these are messages.
Fields = Mapping[str, tuple[int, str]]
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
_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {"string": _Field.TYPE_STRING, "bool": _Field.TYPE_BOOL}


def _file(package: str, messages: Mapping[str, Fields]) -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind) in fields.items():
            _add_field(message, f".{package}", field, number, kind)
    return file


def _add_field(message: Any, scope: str, name: str, number: int, kind: str) -> None:
    if kind.endswith("{}"):
        kind = _add_entry(message, scope, name, kind[:-2]) + "[]"
    repeated = kind.endswith("[]")
    kind = kind.removesuffix("[]")
    field = message.field.add(name=name, number=number)
    field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    field.type = _SCALARS.get(kind, _Field.TYPE_MESSAGE)
    if kind not in _SCALARS:
        field.type_name = f"{scope}.{kind}"


def _add_entry(message: Any, scope: str, field: str, kind: str) -> str:
    """On the wire a map is a repeated message of key and value. Returns that message's name."""
    entry = message.nested_type.add(name=f"{field.title()}Entry")
    entry.options.map_entry = True
    _add_field(entry, scope, "key", 1, "string")
    _add_field(entry, scope, "value", 2, kind)
    return f"{message.name}.{entry.name}"


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()
    packages = {REGISTRATION: REGISTRATION_MESSAGES, DRA: DRA_MESSAGES}
    for package, messages in packages.items():
        pool.Add(_file(package, messages))
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}"))
        for package, messages in packages.items()
        for name in messages
    }


MESSAGES = _classes()  # by name, without the package


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
