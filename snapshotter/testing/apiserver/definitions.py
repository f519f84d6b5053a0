"""CustomResourceDefinitions: their checks, defaults and status."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from snapshotter.testing.apiserver.kinds import from_definition
from snapshotter.testing.apiserver.rules import RuleError
from snapshotter.testing.apiserver.status import Cause, Json
from snapshotter.testing.apiserver.webhook_config import broken_client_config, complete_client_config

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_APPROVAL = "api-approved.kubernetes.io"


def complete(definition: Json) -> None:
    """Fill in what follows from the rest: names, and the status that says that the kind is served."""
    spec = definition.get("spec", {})
    names = spec.get("names", {})
    if "kind" in names:
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", names["kind"] + "List")
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    complete_client_config(conversion.get("webhook", {}).get("clientConfig") or {})
    earlier = definition.get("status", {})
    stored = [version.get("name") for version in spec.get("versions", ()) if version.get("storage")]
    since = definition["metadata"].get("creationTimestamp")
    definition["status"] = {
        "acceptedNames": names,
        "conditions": earlier.get("conditions") or _conditions(definition, since),
        "storedVersions": list(dict.fromkeys([*earlier.get("storedVersions", ()), *stored])),
    }


def _conditions(definition: Mapping[str, Any], since: object) -> list[Json]:
    conditions = [
        _condition("NamesAccepted", "NoConflicts", "no conflicts found", since),
        _condition("Established", "InitialNamesAccepted", "the initial names have been accepted", since),
    ]
    if _is_protected(definition.get("spec", {}).get("group", "")):
        url = definition["metadata"].get("annotations", {}).get(_APPROVAL)
        conditions.append(
            _condition("KubernetesAPIApprovalPolicyConformant", "ApprovedAnnotation", f"approved in {url}", since)
        )
    return conditions


def _condition(name: str, reason: str, message: str, since: object) -> Json:
    return {
        "type": name,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": since,
    }


def begin_cleanup(definition: Json) -> None:
    """Hold the definition until the objects of its kind are gone."""
    finalizers = definition["metadata"].setdefault("finalizers", [])
    if CLEANUP_FINALIZER not in finalizers:
        finalizers.append(CLEANUP_FINALIZER)


def broken(definition: Mapping[str, Any], earlier: Mapping[str, Any] | None) -> Iterator[Cause]:
    """Why a definition is refused."""
    causes = list(_incomplete(definition))
    if causes:
        yield from causes
        return
    spec = definition["spec"]
    name = f"{spec['names']['plural']}.{spec['group']}"
    if definition["metadata"]["name"] != name:
        detail = 'must be spec.names.plural+"."+spec.group'
        yield Cause("metadata.name", "FieldValueInvalid", detail, value=definition["metadata"]["name"])
    if _is_protected(spec["group"]):
        yield from _broken_approval(definition)
    yield from _broken_conversion(spec.get("conversion", {}))
    if earlier is not None:
        for path in (("group",), ("scope",), ("names", "kind"), ("names", "plural")):
            if _at(spec, path) != _at(earlier["spec"], path):
                field = ".".join(("spec", *path))
                yield Cause(field, "FieldValueInvalid", "field is immutable", value=_at(spec, path))
    try:
        from_definition(definition)
    except (RuleError, re.error) as error:
        yield Cause("spec.versions", "FieldValueInvalid", str(error))


def _broken_conversion(conversion: Mapping[str, Any]) -> Iterator[Cause]:
    strategy = conversion.get("strategy")
    webhook = conversion.get("webhook") or {}
    config, versions = webhook.get("clientConfig"), webhook.get("conversionReviewVersions") or []
    at = "spec.conversion"
    if not strategy:
        yield Cause(f"{at}.strategy", "FieldValueRequired")
    elif strategy not in ("None", "Webhook"):
        detail = 'supported values: "None", "Webhook"'
        yield Cause(f"{at}.strategy", "FieldValueNotSupported", detail, value=strategy)
    elif strategy == "None":
        for name, value in (("webhookClientConfig", config), ("conversionReviewVersions", versions)):
            if value:
                detail = "should not be set when strategy is not set to Webhook"
                yield Cause(f"{at}.{name}", "FieldValueForbidden", detail)
    else:
        if config is None:
            yield Cause(f"{at}.webhookClientConfig", "FieldValueRequired", "required when strategy is set to Webhook")
        else:
            yield from broken_client_config(f"{at}.webhookClientConfig", config)
        yield from _broken_review_versions(f"{at}.conversionReviewVersions", versions)


def _broken_review_versions(path: str, versions: Sequence[str]) -> Iterator[Cause]:
    if not versions:
        yield Cause(path, "FieldValueRequired")
    elif "v1" not in versions:
        # A real server knows v1beta1, too.
        yield Cause(path, "FieldValueInvalid", "must include at least one of v1", value=list(versions))
    for index, version in enumerate(versions):
        if version in versions[:index]:
            yield Cause(f"{path}[{index}]", "FieldValueInvalid", "duplicate version", value=version)


def _incomplete(definition: Mapping[str, Any]) -> Iterator[Cause]:
    spec = definition.get("spec", {})
    for path in (("group",), ("scope",), ("names", "kind"), ("names", "plural"), ("versions",)):
        if not _at(spec, path):
            yield Cause(".".join(("spec", *path)), "FieldValueRequired")
    if sum(bool(version.get("storage")) for version in spec.get("versions", ())) != 1:
        detail = "must have exactly one version marked as storage version"
        yield Cause("spec.versions", "FieldValueInvalid", detail)
    for index, version in enumerate(spec.get("versions", ())):
        if not version.get("name"):
            yield Cause(f"spec.versions[{index}].name", "FieldValueRequired")
        if "openAPIV3Schema" not in version.get("schema", {}):
            yield Cause(f"spec.versions[{index}].schema.openAPIV3Schema", "FieldValueRequired", "schemas are required")


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _is_protected(group: str) -> bool:
    return group.endswith((".k8s.io", ".kubernetes.io")) or group in ("k8s.io", "kubernetes.io")


def _broken_approval(definition: Mapping[str, Any]) -> Iterator[Cause]:
    """Groups of the Kubernetes project need a note of who approved the API."""
    field = f"metadata.annotations[{_APPROVAL}]"
    approval = definition["metadata"].get("annotations", {}).get(_APPROVAL, "")
    see = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not approval:
        yield Cause(field, "FieldValueRequired", f'protected groups must have approval annotation "{_APPROVAL}", {see}')
    elif not re.match(r"https?://[^/]+", approval) and not approval.startswith("unapproved"):
        yield Cause(field, "FieldValueInvalid", f'must be a URL or begin with "unapproved", {see}', value=approval)
