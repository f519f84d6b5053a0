"""Label selectors, evaluated in full (Kubernetes, "Labels and Selectors")."""

from collections.abc import Mapping

from snapshotter.model.storage import Requirement
from snapshotter.model.volume_group_snapshot import LabelSelector
from snapshotter.plan.requests import Refusal


def trouble(selector: LabelSelector) -> Refusal | None:
    """Why a selector cannot be meant. An empty one would take every claim of the namespace."""
    if selector.empty:
        return Refusal("spec.source.selector is empty: it would take every PersistentVolumeClaim of the namespace")
    return next((found for rule in selector.match_expressions if (found := _trouble(rule)) is not None), None)


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool | Refusal:
    """Whether labels are selected; why nobody can tell, if the selector cannot be meant."""
    if (found := trouble(selector)) is not None:
        return found
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(rule, labels) for rule in selector.match_expressions
    )


def written(selector: LabelSelector) -> str:
    """The selector in the form that `kubectl get -l` takes."""
    equal = [f"{key}={value}" for key, value in sorted(selector.match_labels.items())]
    return ",".join([*equal, *(_written(rule) for rule in selector.match_expressions)])


def _trouble(rule: Requirement) -> Refusal | None:
    about = f'spec.source.selector: the expression on "{rule.key}"'
    if not rule.key:
        return Refusal("spec.source.selector: an expression has no key")
    match rule.operator:
        case "In" | "NotIn":
            return None if rule.values else Refusal(f"{about} has operator {rule.operator} and no values")
        case "Exists" | "DoesNotExist":
            return Refusal(f"{about} has operator {rule.operator} and values") if rule.values else None
        case _:
            return Refusal(
                f'{about} has the unknown operator "{rule.operator}": known are In, NotIn, Exists, DoesNotExist'
            )


def _holds(rule: Requirement, labels: Mapping[str, str]) -> bool:
    match rule.operator:
        case "In":
            return labels.get(rule.key) in rule.values
        case "NotIn":
            return labels.get(rule.key) not in rule.values
        case "Exists":
            return rule.key in labels
        case _:
            return rule.key not in labels


def _written(rule: Requirement) -> str:
    listed = ",".join(rule.values)
    match rule.operator:
        case "In":
            return f"{rule.key} in ({listed})"
        case "NotIn":
            return f"{rule.key} notin ({listed})"
        case "Exists":
            return rule.key
        case _:
            return f"!{rule.key}"
