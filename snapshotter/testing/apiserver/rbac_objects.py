"""Roles and bindings as objects: their defaults and checks. What they allow is in `authorization`."""

from collections.abc import Iterator, Mapping
from typing import Any

from snapshotter.testing.apiserver.status import Cause, Json

_GROUP = "rbac.authorization.k8s.io"
_SUBJECT_KINDS = ("ServiceAccount", "User", "Group")


def complete_binding(binding: Json) -> None:
    """Fill in the groups of the role and of users; accounts have none."""
    binding.setdefault("roleRef", {}).setdefault("apiGroup", _GROUP)
    for subject in binding.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", _GROUP)


def broken_role(role: Mapping[str, Any], _: Mapping[str, Any] | None) -> Iterator[Cause]:
    for index, rule in enumerate(role.get("rules") or ()):
        yield from _broken_rule(f"rules[{index}]", rule, is_cluster_wide=role["kind"] == "ClusterRole")


def _broken_rule(path: str, rule: Mapping[str, Any], *, is_cluster_wide: bool) -> Iterator[Cause]:
    if not rule.get("verbs"):
        yield Cause(f"{path}.verbs", "FieldValueRequired", "verbs must contain at least one value")
    if urls := rule.get("nonResourceURLs"):
        field = f"{path}.nonResourceURLs"
        if not is_cluster_wide:
            yield Cause(field, "FieldValueInvalid", "namespaced rules cannot apply to non-resource URLs", value=urls)
        elif any(rule.get(name) for name in ("apiGroups", "resources", "resourceNames")):
            detail = "rules cannot apply to both regular resources and non-resource URLs"
            yield Cause(field, "FieldValueInvalid", detail, value=urls)
        return
    if not rule.get("apiGroups"):
        yield Cause(f"{path}.apiGroups", "FieldValueRequired", "resource rules must supply at least one api group")
    if not rule.get("resources"):
        yield Cause(f"{path}.resources", "FieldValueRequired", "resource rules must supply at least one resource")


def broken_binding(binding: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Iterator[Cause]:
    ref = binding["roleRef"]
    is_cluster_wide = binding["kind"] == "ClusterRoleBinding"
    kinds = ("ClusterRole",) if is_cluster_wide else ("Role", "ClusterRole")
    if ref.get("apiGroup") != _GROUP:
        yield _unsupported("roleRef.apiGroup", ref.get("apiGroup", ""), (_GROUP,))
    if ref.get("kind") not in kinds:
        yield _unsupported("roleRef.kind", ref.get("kind", ""), kinds)
    if not ref.get("name"):
        yield Cause("roleRef.name", "FieldValueRequired")
    for index, subject in enumerate(binding.get("subjects") or ()):
        yield from _broken_subject(f"subjects[{index}]", subject, needs_namespace=is_cluster_wide)
    if earlier is not None and ref != earlier["roleRef"]:
        yield Cause("roleRef", "FieldValueInvalid", "cannot change roleRef", value=ref)


def _broken_subject(path: str, subject: Mapping[str, Any], *, needs_namespace: bool) -> Iterator[Cause]:
    if not subject.get("name"):
        yield Cause(f"{path}.name", "FieldValueRequired")
    if subject.get("kind") not in _SUBJECT_KINDS:
        yield _unsupported(f"{path}.kind", subject.get("kind", ""), _SUBJECT_KINDS)
    elif subject["kind"] == "ServiceAccount" and needs_namespace and not subject.get("namespace"):
        yield Cause(f"{path}.namespace", "FieldValueRequired")


def _unsupported(field: str, value: str, supported: tuple[str, ...]) -> Cause:
    listed = ", ".join(f'"{item}"' for item in supported)
    return Cause(field, "FieldValueNotSupported", f"supported values: {listed}", value=value)
