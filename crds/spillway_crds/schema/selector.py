"""A Kubernetes label selector, with Kubernetes' own rules for keys and values."""

from __future__ import annotations

from collections.abc import Mapping

from spillway_crds.schema.fields import Dictionary, Law, Many, Record, Text
from spillway_crds.schema.laws import shape

LABEL_VALUE = "^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
LABEL_KEY = (
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?"  # a DNS subdomain, optional
    r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
)
MAX_LABELS = 16
MAX_LABEL_VALUE = 63
MAX_LABEL_KEY = 253 + 1 + 63
BAD_KEY = "not a label key, as edge or topology.kubernetes.io/zone"
_KEY_LAW = shape(LABEL_KEY, BAD_KEY)


def _bad_keys(labels: Mapping[str, object]) -> list[str]:
    return [key for key in labels if not _KEY_LAW.holds(key)]


KEYS_LAW = Law(
    cel=f"self.all(key, key.matches(r'{LABEL_KEY}'))",
    holds=lambda labels: not _bad_keys(labels),
    message=BAD_KEY,
    explain=lambda labels: f"{_bad_keys(labels)[0]!r} is {BAD_KEY}",
)

EXPRESSION = Record(
    description="One condition on one label of the node.",
    fields={
        "key": Text(
            description='The label\'s key. Example: "topology.kubernetes.io/zone".', max_length=MAX_LABEL_KEY, laws=(_KEY_LAW,)
        ),
        "operator": Text(
            description="In and NotIn compare the label's value with `values`; a node without the label is NotIn. Exists and"
            " DoesNotExist ask only for the label.",
            choices=("In", "NotIn", "Exists", "DoesNotExist"),
        ),
        "values": Many(
            description='What In and NotIn compare with; not given with Exists and DoesNotExist. Example: ["a", "b"].',
            item=Text(description="A label value; may be empty.", pattern=LABEL_VALUE, max_length=MAX_LABEL_VALUE),
            most=64,
        ),
    },
    required=("key", "operator"),
    laws=(
        Law(
            cel="!(self.operator in ['In', 'NotIn']) || has(self.values)",
            holds=lambda each: each["operator"] not in ("In", "NotIn") or "values" in each,
            message="In and NotIn need values",
            field_path=".values",
        ),
        Law(
            cel="!(self.operator in ['Exists', 'DoesNotExist']) || !has(self.values)",
            holds=lambda each: each["operator"] not in ("Exists", "DoesNotExist") or "values" not in each,
            message="Exists and DoesNotExist take no values",
            field_path=".values",
        ),
    ),
)

NODE_SELECTOR = Record(
    description="Which nodes run this filter, by their labels, at any time: a node that gets the label gets the filter. {} is"
    ' every node. Both parts must hold. Example: {matchLabels: {edge: "true"}}.',
    fields={
        "matchLabels": Dictionary(
            description="Labels that a node must have, with these values. Not an empty map: the API server drops a label that a"
            ' template left without a value, and that must not come to mean every node. Example: {edge: "true"}.',
            value=Text(description="The label's value; may be empty.", pattern=LABEL_VALUE, max_length=MAX_LABEL_VALUE),
            least=1,
            most=MAX_LABELS,
            laws=(KEYS_LAW,),
        ),
        "matchExpressions": Many(
            description="Conditions on labels; all must hold. Example: [{key: edge, operator: Exists}].",
            item=EXPRESSION,
            most=MAX_LABELS,
        ),
    },
)
