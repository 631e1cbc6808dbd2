"""The few calls that the agent makes to the API, on plain JSON. Every call ends: time-outs here, keepalive for watches."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from kubernetes.client.api_client import ApiClient
from kubernetes.client.configuration import Configuration
from kubernetes.client.exceptions import ApiException
from kubernetes.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.utils.keepalive import tcp_keepalive_socket_options
from urllib3.exceptions import HTTPError

from spillway_crds.errors import Transient
from spillway_dataplane.node.peers import Endpoint

Raw = Mapping[str, Any]
CONNECT_S, ANSWER_S = 3.0, 7.0
WATCH_S = 280  # the API server ends a watch then; its answer is a new one
JSON, APPLY = "application/json", "application/apply-patch+yaml"
NOT_FOUND, CONFLICT = 404, 409
KEEPALIVE = {"idle": 10, "interval": 5, "count": 3}  # a peer that is gone without a word is noticed after 25 s


class ApiRefused(Transient):
    """The API answered with an error. status: HTTP's."""

    def __init__(self, *, operation: str, status: int, detail: str) -> None:
        super().__init__(operation=operation, detail=f"{status} {detail}")
        self.status = status


def load_configuration() -> Configuration:
    """Return how to reach the API: as a pod does, else as KUBECONFIG says. Raises Transient when neither is there."""
    configuration = Configuration()
    try:
        if os.environ.get("KUBERNETES_SERVICE_HOST"):
            load_incluster_config(client_configuration=configuration)
        else:
            load_kube_config(client_configuration=configuration)
    except (ConfigException, OSError) as error:
        raise Transient(operation="read the API's address and token", detail=str(error)) from error
    configuration.retries = False  # retries are ours: with a pause, and told
    configuration.socket_options = tcp_keepalive_socket_options(**KEEPALIVE)
    return configuration


class ApiCalls:
    """One client. Each thread may call. Raises ApiRefused for what the API refuses, Transient for what keeps us from it."""

    def __init__(self, configuration: Configuration, user_agent: str) -> None:
        self._client = ApiClient(configuration)
        self._client.user_agent = user_agent
        self._host = urlsplit(configuration.host)

    def get(self, path: str, **query: str | int) -> Raw:
        """Return one object, or one list."""
        return self._json("GET", path, query)

    def watch(self, path: str, **query: str | int) -> Iterator[Raw]:
        """Yield events until the server ends the watch, which is no error."""
        query = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": WATCH_S}
        response = self._call("GET", path, query, timeout_s=(CONNECT_S, WATCH_S + ANSWER_S))
        try:
            yield from _lines(response.response)
        except (HTTPError, OSError, ValueError) as error:
            raise Transient(operation=f"watch {path}", detail=str(error)) from error
        finally:
            response.response.close()  # what is left unread must not be the next call's answer

    def apply(self, path: str, body: Raw, *, manager: str) -> Raw:
        """Server-side apply: what is in `body` is ours from now on."""
        return self._json("PATCH", path, {"fieldManager": manager, "force": "true"}, body)

    def create(self, path: str, body: Raw) -> Raw:
        """Post an object."""
        return self._json("POST", path, {}, body)

    def get_bytes(self, path: str, content_type: str) -> bytes:
        """Return one object in another form than JSON."""
        return self._bytes("GET", path, {}, None, content_type)

    def put_bytes(self, path: str, body: bytes, content_type: str, *, manager: str) -> None:
        """Replace an object, if nobody else changed it since; else ApiRefused has CONFLICT."""
        self._bytes("PUT", path, {"fieldManager": manager}, body, content_type)

    def delete(self, path: str) -> None:
        """Delete an object; one that is not there is no error."""
        try:
            self._json("DELETE", path, {})
        except ApiRefused as error:
            if error.status != NOT_FOUND:
                raise

    def _json(self, method: str, path: str, query: Mapping[str, str | int], body: Raw | None = None) -> Raw:
        try:
            value = json.loads(self._bytes(method, path, query, body, APPLY if method == "PATCH" else JSON))
        except ValueError as error:
            raise Transient(operation=f"{method} {path}", detail=str(error)) from error
        return value if isinstance(value, dict) else {}

    def _bytes(
        self, method: str, path: str, query: Mapping[str, str | int], body: Raw | bytes | None, content_type: str
    ) -> bytes:
        response = self._call(method, path, query, body, content_type, timeout_s=(CONNECT_S, ANSWER_S))
        try:
            return bytes(response.read())
        except (HTTPError, OSError) as error:
            raise Transient(operation=f"{method} {path}", detail=str(error)) from error

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int],
        body: Raw | bytes | None = None,
        content_type: str = JSON,
        *,
        timeout_s: tuple[float, float],
    ) -> Any:
        accepted = JSON if content_type == APPLY else content_type
        headers = {"Accept": accepted} | ({"Content-Type": content_type} if body is not None else {})
        try:
            request = self._client.param_serialize(
                method, path, query_params=list(query.items()), header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = self._client.call_api(*request, _request_timeout=timeout_s)
        except (ApiException, ConfigException, HTTPError, OSError) as error:
            raise Transient(operation=f"{method} {path}", detail=str(error)) from error
        if response.status >= 400:
            raise ApiRefused(operation=f"{method} {path}", status=response.status, detail=_reason(response))
        return response

    def endpoints(self) -> frozenset[Endpoint]:
        """Return where the API's name leads now; nothing while it cannot be resolved."""
        port = self._host.port or 443
        try:
            found = socket.getaddrinfo(self._host.hostname, port, type=socket.SOCK_STREAM)
        except OSError:
            return frozenset()
        return frozenset((ip_address(str(address[0]).partition("%")[0]), port) for *_, address in found)

    def close(self) -> None:
        """Close idle connections."""
        self._client.close()


def _reason(response: Any) -> str:
    try:
        return str(json.loads(response.read()).get("message", response.reason))
    except (HTTPError, OSError, ValueError, AttributeError):
        return str(response.reason)


def _lines(response: Any) -> Iterator[Raw]:
    rest = b""
    for piece in response.stream(amt=None, decode_content=True):
        *lines, rest = (rest + piece).split(b"\n")
        yield from (json.loads(line) for line in lines if line)
