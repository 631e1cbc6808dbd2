"""The pod of a built-in source: what it is, how it is seen, and what to do about it. Pure.

An ordinary pod of the stream's own namespace, of the restricted profile, without a token: the namespace's quota and policies hold
for it, and nothing of it depends on the dataplane's pods but the ring.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spillway_crds import names
from spillway_crds.canonical import sha256_hex
from spillway_crds.encode import without_empty
from spillway_crds.filters import NodeSelector
from spillway_crds.streams import FileVolume, PcapSource, VideoSource
from spillway_crds.streams_wire import STREAM_KIND
from spillway_operator.api.pods import pod_trouble
from spillway_operator.streams.plan import ClaimPlan, Step
from spillway_operator.streams.sights import PodSight, StreamSight
from spillway_operator.streams.wire import Raw, rings_of

STREAM_LABEL = f"{names.GROUP}/bypassstream"
MADE_OF = f"{names.GROUP}/made-of"  # annotation: hash of what of the stream the pod was made of
NAME_SUFFIX = "-source"
CONTAINER, CLAIM, MEDIA = "source", "ring", "media"
COMMAND = ("/opt/spillway/bin/python", "-m", "spillway_stream.source")
NOBODY_ID = 65532
METRICS_PORT = 9467
TOLD_TO_STOP = 143  # exit code of a source that SIGTERM ended before its end: no fault of its own
REQUESTS = {"cpu": "500m", "memory": "128Mi"}
CONFLICTING = "pod {} is there and is not this stream's: give the stream another name, or delete the pod"


@dataclass(frozen=True, slots=True)
class SourceImage:
    """What the pod runs: the dataplane's own image."""

    name: str
    pull_policy: str = "IfNotPresent"


def pod_name(sight: StreamSight) -> str:
    """The name of a stream's source pod."""
    return f"{sight.own_name}{NAME_SUFFIX}"


def made_of(sight: StreamSight) -> str:
    """Hash of all of a stream that its pod depends on. The image is not: an upgrade ends nobody's picture."""
    subject = sight.subject
    selector = repr(subject.spec.node_selector) if subject is not None else ""
    return sha256_hex([dict(sight.wanted), dict(sight.document), selector])[:16]


def pod_body(sight: StreamSight, image: SourceImage) -> dict[str, Any]:
    """The Pod to create."""
    owner = {"apiVersion": names.API_VERSION, "kind": STREAM_KIND, "name": sight.own_name, "uid": sight.uid}
    labels = {
        "app.kubernetes.io/name": "spillway-source",
        "app.kubernetes.io/managed-by": "spillway",
        STREAM_LABEL: sight.own_name,
    }
    metadata = {
        "name": pod_name(sight),
        "namespace": sight.namespace,
        "labels": labels,
        "annotations": {MADE_OF: made_of(sight)},
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": False}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": _pod_spec(sight, image)}


def _pod_spec(sight: StreamSight, image: SourceImage) -> dict[str, Any]:
    volume = volume_of(sight)
    fields = {
        "affinity": _affinity(sight),
        "volumes": [{"name": MEDIA, **_volume(volume)}] if volume else [],
    }
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "OnFailure",
        "terminationGracePeriodSeconds": 5,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": NOBODY_ID,
            "runAsGroup": NOBODY_ID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resourceClaims": [{"name": CLAIM, "resourceClaimName": sight.own_name}],
        "containers": [_container(sight, image, with_media=volume is not None)],
        **without_empty(fields),
    }


def _container(sight: StreamSight, image: SourceImage, *, with_media: bool) -> dict[str, Any]:
    mounts = [{"name": MEDIA, "mountPath": f"/{MEDIA}", "readOnly": True}] if with_media else []
    return {
        "name": CONTAINER,
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "command": list(COMMAND),
        "env": [{"name": "SPILLWAY_SOURCE", "value": source_text(sight)}],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": METRICS_PORT}, "periodSeconds": 2, "timeoutSeconds": 5},
        "resources": {"requests": dict(REQUESTS), "claims": [{"name": CLAIM}]},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **without_empty({"volumeMounts": mounts}),
    }


def source_text(sight: StreamSight) -> str:
    """SPILLWAY_SOURCE: what `python -m spillway_stream.source` is told."""
    told = {
        "stream": sight.name,
        "uid": sight.uid,
        "rings": [f"/run/spillway/{request}/ring.sock" for request in rings_of(sight)],
        "files": f"/{MEDIA}",
        "metricsPort": METRICS_PORT,
        **sight.document,
    }
    return json.dumps(told, sort_keys=True)


def volume_of(sight: StreamSight) -> FileVolume | None:
    """Where a stream's file comes from; None for a pattern."""
    source = sight.subject.spec.source if sight.subject is not None else None
    return source.volume if isinstance(source, VideoSource | PcapSource) else None


def _volume(volume: FileVolume) -> dict[str, Any]:
    if volume.claim:
        return {"persistentVolumeClaim": {"claimName": volume.claim, "readOnly": True}}
    return {"configMap": {"name": volume.config_map, "optional": True}}  # the source says that it is missing; kubelet only waits


def _affinity(sight: StreamSight) -> dict[str, Any]:
    selector = sight.subject.spec.node_selector if sight.subject is not None else None
    expressions = list(_expressions(selector)) if selector is not None else []
    if not expressions:
        return {}
    term = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}


def _expressions(selector: NodeSelector) -> list[dict[str, Any]]:
    labels = [{"key": key, "operator": "In", "values": [value]} for key, value in selector.match_labels]
    others = [
        {"key": each.key, "operator": each.operator, **without_empty({"values": list(each.values)})}
        for each in selector.match_expressions
    ]
    return labels + others


# ---- what there is --------------------------------------------------------------------------------------------------------


def reduce_pod(raw: Raw) -> PodSight:
    """A source's pod as it is seen."""
    meta, status = raw["metadata"], raw.get("status") or {}
    owner: Raw = next((each for each in meta.get("ownerReferences") or () if each.get("controller")), {})
    reason, message, again = _fault(status)
    return PodSight(
        name=meta["name"],
        uid=meta["uid"],
        owner_uid=owner.get("uid", ""),
        made_of=(meta.get("annotations") or {}).get(MADE_OF, ""),
        deleting=bool(meta.get("deletionTimestamp")),
        phase=status.get("phase", ""),
        node=(raw.get("spec") or {}).get("nodeName", ""),
        trouble=pod_trouble(raw),
        reason=reason,
        message=message,
        again=again,
    )


def _fault(status: Raw) -> tuple[str, str, bool]:
    """What the source itself wrote when it ended last: its reason and its words; and whether it runs again."""
    for container in status.get("containerStatuses") or ():
        state, last = container.get("state") or {}, container.get("lastState") or {}
        ended = state.get("terminated") or last.get("terminated")
        if ended and ended.get("exitCode") not in (None, 0, TOLD_TO_STOP):
            return (*_words(ended), "running" in state)
    return "", "", False


def _words(ended: Mapping[str, Any]) -> tuple[str, str]:
    try:
        said = json.loads(ended.get("message") or "")
        return str(said["reason"]), str(said["message"])
    except (ValueError, KeyError, TypeError):
        return "SourceFailed", f"exit code {ended['exitCode']}: {ended.get('message') or ended.get('reason') or 'no word'}"


# ---- what to do -----------------------------------------------------------------------------------------------------------


def plan_pod(sight: StreamSight, pod: PodSight | None, claim: ClaimPlan, *, has_claim: bool, ending: bool = False) -> Step:
    """Return what to do about a stream's source pod. has_claim: its present claim is there. ending: the release is uninstalled.

    A pod that was made of an earlier spec goes at once: it holds the claim that has to be replaced. A pod whose file is through
    stays, so that people can read its log.
    """
    if pod is None:
        ready = sight.has_source and has_claim and claim.obstacle is None and claim.step is Step.KEEP
        return Step.CREATE if ready and not ending else Step.KEEP
    if pod.owner_uid != sight.uid or pod.deleting:
        return Step.KEEP
    outdated = not sight.problem and (not sight.has_source or pod.made_of != made_of(sight))
    homeless = not pod.node and claim.obstacle is not None and not claim.obstacle.replacing
    return Step.DELETE if ending or outdated or homeless or pod.phase == "Failed" else Step.KEEP
