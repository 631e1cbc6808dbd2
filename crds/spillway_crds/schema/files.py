"""The files that are made of the schema: manifests, the chart's templates, the reference page. Texts only, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from spillway_crds.schema.crds import KINDS, Kind, crd
from spillway_crds.schema.reference import reference

MADE = "Made by `python -m spillway_crds.schema`; change crds/spillway_crds/schema instead."
KEEP = {"helm.sh/resource-policy": "keep"}


def files() -> Mapping[str, str]:
    """Every generated file: path from the repository's root, and text."""
    made = {"docs/reference.md": reference()}
    for kind in KINDS:
        made[f"crds/manifests/{kind.plural}.yaml"] = manifest(kind)
        made[f"charts/spillway/templates/crds/{kind.plural}.yaml"] = template(kind)
    return made


def manifest(kind: Kind) -> str:
    """The CRD for `kubectl apply`."""
    return f"# {MADE}\n{_yaml(crd(kind))}"


def template(kind: Kind) -> str:
    """The CRD as a Helm template: `helm upgrade` brings it up to date, `helm uninstall` keeps it."""
    body = crd(kind)
    body["metadata"] = {**body["metadata"], "annotations": KEEP}
    text = _yaml(body)
    if "{{" in text:
        raise ValueError(f"{kind.name}: '{{{{' would be taken for Helm's own")
    return f"{{{{- /* {MADE} */ -}}}}\n{{{{- if .Values.crds.install }}}}\n{text}{{{{- end }}}}\n"


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=120, allow_unicode=True)
