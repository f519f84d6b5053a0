"""ValidatingWebhookConfigurations as objects: their defaults and checks. `admission` follows what they say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from snapshotter.testing.apiserver.status import Cause, Json
from snapshotter.testing.apiserver.webhook_config import broken_client_config, complete_client_config

_OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
_CHOICES = {
    "failurePolicy": ("Fail", "Ignore"),
    "matchPolicy": ("Equivalent", "Exact"),
    "sideEffects": ("None", "NoneOnDryRun"),
}
_LONGEST_SECONDS = 30


def complete(configuration: Json) -> None:
    """Fill in what is left out."""
    for webhook in configuration.get("webhooks") or ():
        webhook.setdefault("failurePolicy", "Fail")
        webhook.setdefault("matchPolicy", "Equivalent")
        webhook.setdefault("timeoutSeconds", 10)
        for selector in ("namespaceSelector", "objectSelector"):
            webhook.setdefault(selector, {})
        for rule in webhook.get("rules") or ():
            rule.setdefault("scope", "*")
        complete_client_config(webhook.setdefault("clientConfig", {}))


def broken(configuration: Mapping[str, Any], _: Mapping[str, Any] | None) -> Iterator[Cause]:
    names: list[str] = []
    for index, webhook in enumerate(configuration.get("webhooks") or ()):
        path = f"webhooks[{index}]"
        yield from _broken_webhook(path, webhook)
        name = webhook.get("name", "")
        if name in names:
            yield Cause(f"{path}.name", "FieldValueDuplicate", value=name)
        names.append(name)


def _broken_webhook(path: str, webhook: Mapping[str, Any]) -> Iterator[Cause]:
    name = webhook.get("name", "")
    if name.count(".") < 2:
        detail = "should be a domain with at least three segments separated by dots"
        yield Cause(f"{path}.name", "FieldValueInvalid", detail, value=name)
    if not webhook.get("sideEffects"):
        yield Cause(f"{path}.sideEffects", "FieldValueRequired", "must specify one of None, NoneOnDryRun")
    for member, choices in _CHOICES.items():
        if (value := webhook.get(member)) and value not in choices:
            yield _unsupported(f"{path}.{member}", value, choices)
    if not 1 <= (seconds := webhook.get("timeoutSeconds", 1)) <= _LONGEST_SECONDS:
        detail = f"the timeout value must be between 1 and {_LONGEST_SECONDS} seconds"
        yield Cause(f"{path}.timeoutSeconds", "FieldValueInvalid", detail, value=seconds)
    yield from broken_client_config(f"{path}.clientConfig", webhook.get("clientConfig") or {})
    versions = webhook.get("admissionReviewVersions") or []
    if not versions:
        yield Cause(f"{path}.admissionReviewVersions", "FieldValueRequired", "must specify one of v1")
    elif "v1" not in versions:
        # A real server knows v1beta1, too.
        detail = "must include at least one of v1"
        yield Cause(f"{path}.admissionReviewVersions", "FieldValueInvalid", detail, value=versions)
    if webhook.get("matchConditions"):
        # A real server evaluates them.
        yield Cause(f"{path}.matchConditions", "FieldValueForbidden", "conditions are not evaluated by this server")
    for index, rule in enumerate(webhook.get("rules") or ()):
        yield from _broken_rule(f"{path}.rules[{index}]", rule)


def _broken_rule(path: str, rule: Mapping[str, Any]) -> Iterator[Cause]:
    for index, operation in enumerate(rule.get("operations") or ()):
        if operation not in _OPERATIONS:
            yield _unsupported(f"{path}.operations[{index}]", operation, _OPERATIONS)
    for member, named in _LISTS.items():
        values = rule.get(member) or []
        star = "*/*" if member == "resources" else "*"
        if not values:
            yield Cause(f"{path}.{member}", "FieldValueRequired")
        elif star in values and len(values) > 1:
            detail = f"if '{star}' is present, must not specify other {named}"
            yield Cause(f"{path}.{member}", "FieldValueInvalid", detail, value=values)
    for member in ("apiVersions", "resources"):
        for index, value in enumerate(rule.get(member) or ()):
            if not value:
                yield Cause(f"{path}.{member}[{index}]", "FieldValueRequired")
    if (scope := rule.get("scope", "*")) not in _SCOPES:
        yield _unsupported(f"{path}.scope", scope, _SCOPES)


_SCOPES = ("*", "Cluster", "Namespaced")
_LISTS = {
    "operations": "operations",
    "apiGroups": "API groups",
    "apiVersions": "API versions",
    "resources": "resources",
}


def _unsupported(field: str, value: str, supported: Sequence[str]) -> Cause:
    listed = ", ".join(f'"{item}"' for item in supported)
    return Cause(field, "FieldValueNotSupported", f"supported values: {listed}", value=value)
