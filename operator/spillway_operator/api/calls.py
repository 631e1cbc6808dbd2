"""The operator's own calls to the API server, by `kubernetes.aio`. Nothing here decides anything.

kopf watches; everything else goes through here, kind by kind alike. The client's generated methods would turn each of a thousand
Nodes into models.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any

from kubernetes.aio import client, config

from spillway_crds import names
from spillway_operator.filters.wire import Raw

TIMEOUT_S = 10.0
PAGE = 250  # a listing of 1,000 Nodes is 21 MB of JSON otherwise, all at once
JSON = "application/json"
METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
APPLY_PATCH = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
YAML = "application/yaml"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object. namespace: where its objects are; empty for a kind without namespaces, and for all of them."""

    name: str
    api_version: str
    plural: str
    namespace: str = ""

    @property
    def path(self) -> str:
        """Where its objects are."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        return f"{root}/namespaces/{self.namespace}/{self.plural}" if self.namespace else f"{root}/{self.plural}"


NODES = Kind("Node", "v1", "nodes")
STREAMS = Kind("BypassStream", names.API_VERSION, names.STREAMS_PLURAL)
CLAIMS = Kind("ResourceClaim", names.RESOURCE_API, "resourceclaims")
SLICES = Kind("ResourceSlice", names.RESOURCE_API, "resourceslices")
PODS = Kind("Pod", "v1", "pods")
FILTERS = Kind("FloodFilter", names.API_VERSION, names.FILTERS_PLURAL)
DATAPLANES = Kind("NodeDataplane", names.API_VERSION, names.DATAPLANES_PLURAL)
CRDS = Kind("CustomResourceDefinition", "apiextensions.k8s.io/v1", "customresourcedefinitions")
EVENTS = Kind("Event", "events.k8s.io/v1", "events")
API_SERVER_SLICES = Kind("EndpointSlice", "discovery.k8s.io/v1", "endpointslices", "default")
CLUSTER_INFO = Kind("ConfigMap", "v1", "configmaps", "kube-public")


def within(kind: Kind, namespace: str) -> Kind:
    """The objects of a kind in one namespace."""
    return replace(kind, namespace=namespace)


def config_maps(namespace: str) -> Kind:
    """ConfigMaps of one namespace."""
    return Kind("ConfigMap", "v1", "configmaps", namespace)


def revisions(namespace: str) -> Kind:
    """ControllerRevisions of one namespace."""
    return Kind("ControllerRevision", "apps/v1", "controllerrevisions", namespace)


class ApiFailure(Exception):
    """The API server refused. status: the HTTP status; decide on it, never on the text."""

    def __init__(self, *, method: str, path: str, status: int, body: bytes) -> None:
        super().__init__(f"{method} {path}: {status} {body[:300]!r}")
        self.method = method
        self.path = path
        self.status = status
        self.body = body

    @property
    def words(self) -> str:
        """What the API server said, for a person."""
        try:
            return str(json.loads(self.body)["message"])
        except (ValueError, KeyError, TypeError):
            return str(self)


class ApiServer:
    """One connection pool to the API server."""

    def __init__(self, api: Any) -> None:
        self._api = api

    async def list(
        self, kind: Kind, *, query: Mapping[str, str] | None = None, metadata_only: bool = False
    ) -> tuple[list[Raw], int]:
        """Return all objects and the version of the listing as a whole.

        Raises ApiFailure; status 410 means that the pages took too long and the listing has to start again.
        """
        found: list[Raw] = []
        wanted = {"limit": str(PAGE), **(query or {})}
        while True:
            page = await self._request("GET", kind.path, query=wanted, accept=METADATA_ONLY if metadata_only else JSON)
            found += page["items"] or ()  # null in an empty listing of metadata
            if not (token := page["metadata"].get("continue")):
                return found, int(page["metadata"]["resourceVersion"])
            wanted["continue"] = token

    async def count(self, kind: Kind) -> int:
        """Return how many objects there are. One page of one: it costs the same whether there are two or ten thousand."""
        page = await self._request("GET", kind.path, query={"limit": "1"}, accept=METADATA_ONLY)
        return len(page["items"] or ()) + int(page["metadata"].get("remainingItemCount") or 0)

    async def get(self, kind: Kind, name: str) -> Raw | None:
        """Return one object as it is now, or None if there is none."""
        with tolerate(HTTPStatus.NOT_FOUND):
            return await self._request("GET", f"{kind.path}/{name}")
        return None

    async def discover(self, api_version: str) -> set[str]:
        """Plural names of what the server says that it serves under a group's version."""
        with tolerate(HTTPStatus.NOT_FOUND):
            answer = await self._request("GET", f"/apis/{api_version}")
            return {each["name"] for each in answer.get("resources") or ()}
        return set()

    async def apply(self, kind: Kind, body: Mapping[str, Any], *, subresource: str = "") -> Raw:
        """Server-side apply as the one field manager, taking over what others hold. Returns the object as it is now.

        body: metadata with at least the name, and what is to be so.
        """
        query = {"fieldManager": names.OPERATOR_FIELD_MANAGER, "force": "true"}
        path = f"{kind.path}/{body['metadata']['name']}{subresource}"
        whole = {"apiVersion": kind.api_version, "kind": kind.name, **body}
        return await self._request("PATCH", path, query=query, body=whole, content_type=APPLY_PATCH)

    async def create(self, kind: Kind, body: Mapping[str, Any]) -> Raw:
        """Create an object. Raises ApiFailure; status 409 means that there is one of that name."""
        return await self._request("POST", kind.path, body=body)

    async def create_packed(self, kind: Kind, body: Mapping[str, Any]) -> Raw:
        """The same for an object that holds raw JSON, as a ResourceClaim's parameters: sent as YAML, of which JSON is a part.

        What comes as JSON is kept to the byte, with its blanks and its order; a later patch of anything packs and sorts it, and
        the API server takes that for a change of what cannot be changed. What comes as YAML is packed and sorted at once.
        """
        return await self._request("POST", kind.path, body=json.dumps(body), content_type=YAML)

    async def merge(self, kind: Kind, name: str, body: Mapping[str, Any]) -> Raw:
        """Change what `body` names and nothing else; null takes a key away."""
        return await self._request("PATCH", f"{kind.path}/{name}", body=body, content_type=MERGE_PATCH)

    async def delete(self, kind: Kind, name: str, *, uid: str, version: int | None = None) -> None:
        """Delete this object and no namesake that came after it. Gone already is fine.

        version: delete it only as it was seen; changed since is fine, too, and leaves it there.
        """
        preconditions = {"uid": uid} if version is None else {"uid": uid, "resourceVersion": str(version)}
        with tolerate(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            await self._request("DELETE", f"{kind.path}/{name}", body={"preconditions": preconditions})

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | str | None = None,
        accept: str = JSON,
        content_type: str = JSON,
    ) -> dict[str, Any]:
        request = await self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params={"Accept": accept, "Content-Type": content_type},
            body=body,
            auth_settings=["BearerToken"],
        )
        response = await self._api.call_api(*request, _request_timeout=TIMEOUT_S)
        answer = await response.read()
        if response.status >= HTTPStatus.BAD_REQUEST:
            raise ApiFailure(method=method, path=path, status=response.status, body=answer)
        return json.loads(answer)  # type: ignore[no-any-return]


@contextlib.contextmanager
def tolerate(*statuses: int) -> Iterator[None]:
    """Let the block end quietly when the API server answers with one of these."""
    try:
        yield
    except ApiFailure as failure:
        if failure.status not in statuses:
            raise


def in_cluster() -> bool:
    """Whether this is a pod that was told nothing else."""
    return "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ


@contextlib.asynccontextmanager
async def connect() -> AsyncIterator[ApiServer]:
    """In a pod: its service account, whose token is read again as it is renewed; else what KUBECONFIG names."""
    if in_cluster():
        config.load_incluster_config()
    else:
        await config.load_kube_config()
    configuration = client.Configuration.get_default_copy()
    configuration.client_session_kwargs = {"trust_env": False}  # else each request asks a thread for ~/.netrc: twice the CPU
    async with client.ApiClient(configuration) as api:
        yield ApiServer(api)
