"""Our messages on the wire, byte by byte as kubelet 1.34 writes and reads them: field number << 3 | 2, length, content."""

from __future__ import annotations

from typing import Any

import pytest

from spillway_dataplane.dra.protocol import MESSAGES, SERVICES


def filled(kind: str, /, **fields: Any) -> Any:
    return MESSAGES[kind](**fields)


def prepared() -> Any:
    message = filled("NodePrepareResourcesResponse")
    device = {"request_names": ["r"], "pool_name": "p", "device_name": "d", "cdi_device_ids": ["c", "e"]}
    message.claims["u"].devices.add(**device)
    return message


def with_error(name: str) -> Any:
    message = filled(name)
    message.claims["u"].error = "x"
    return message


@pytest.mark.parametrize(
    ("message", "wire"),
    [
        pytest.param(
            filled("PluginInfo", type="t", name="n", endpoint="e", supported_versions=["v", "w"]),
            "0a0174 12016e 1a0165 220176 220177",
            id="PluginInfo",
        ),
        pytest.param(filled("InfoRequest"), "", id="InfoRequest"),
        pytest.param(filled("RegistrationStatus", plugin_registered=True, error="x"), "0801 120178", id="RegistrationStatus"),
        pytest.param(filled("Claim", namespace="a", uid="b", name="c"), "0a0161 120162 1a0163", id="Claim"),
        pytest.param(
            filled("NodePrepareResourcesRequest", claims=[{"namespace": "a", "uid": "b"}]),
            "0a06 0a0161 120162",
            id="prepare request",
        ),
        pytest.param(filled("NodeUnprepareResourcesRequest", claims=[{"uid": "b"}]), "0a03 120162", id="unprepare request"),
        pytest.param(prepared(), "0a16 0a0175 1211 0a0f 0a0172 120170 1a0164 220163 220165", id="prepared"),
        pytest.param(with_error("NodePrepareResourcesResponse"), "0a08 0a0175 1203 120178", id="not prepared"),
        pytest.param(with_error("NodeUnprepareResourcesResponse"), "0a08 0a0175 1203 0a0178", id="not given back"),
    ],
)
def test_a_message_has_kubelet_s_numbers(message: Any, wire: str) -> None:
    expected = bytes.fromhex(wire)
    assert message.SerializeToString() == expected
    assert type(message).FromString(expected) == message


def test_what_a_newer_kubelet_adds_is_ignored() -> None:
    claim = MESSAGES["Claim"].FromString(bytes.fromhex("0a0161 120162 1a0163 a20101 7a"))
    assert (claim.namespace, claim.uid, claim.name) == ("a", "b", "c")


def test_services_have_kubelet_s_names() -> None:
    assert {f"/{service}/{method}" for service, methods in SERVICES.items() for method in methods} == {
        "/pluginregistration.Registration/GetInfo",
        "/pluginregistration.Registration/NotifyRegistrationStatus",
        "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodePrepareResources",
        "/k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin/NodeUnprepareResources",
    }
