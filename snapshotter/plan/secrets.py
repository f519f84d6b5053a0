"""Which Secret holds the credentials for a call: from annotations, or from templates in a class.

The templates are expanded as a shell would; `snapshotter.plan.content` asks, the sidecar reads the Secret.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from snapshotter import names
from snapshotter.model.lifecycle import AnyContent


@dataclass(frozen=True, slots=True)
class SecretRef:
    """Where a Secret is."""

    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Why something cannot be done as the objects are; the text is for users."""

    text: str


def secret_from_annotations(content: AnyContent) -> SecretRef | Problem | None:
    """The Secret that the controller wrote down for creating and deleting; None when there is none."""
    name, namespace = content.metadata.annotations.secret_name, content.metadata.annotations.secret_namespace
    keys = content.keys
    if name is None and namespace is None:
        return None
    if not name or not namespace:
        return Problem(
            "the secret name or namespace is missing: "
            f"annotations {keys.secret_name} and {keys.secret_namespace} must both be set"
        )
    if not _NAMESPACE.fits(namespace):
        return Problem(f'annotation {keys.secret_namespace}: "{namespace}" is not a valid namespace')
    if not _NAME.fits(name):
        return Problem(f'annotation {keys.secret_name}: "{name}" is not a valid Secret name')
    return SecretRef(namespace, name)


def list_secret(parameters: Mapping[str, str], content: AnyContent) -> SecretRef | Problem | None:
    """The Secret that a class names for ListSnapshots; None when it names none."""
    return _secret_from_parameters(
        parameters,
        name_key=names.LIST_SECRET_NAME,
        namespace_key=names.LIST_SECRET_NAMESPACE,
        tokens={"volumesnapshotcontent.name": content.name},
    )


def group_get_secret(parameters: Mapping[str, str], content: AnyContent) -> SecretRef | Problem | None:
    """The Secret that a class names for GetVolumeGroupSnapshot; None when it names none."""
    return _secret_from_parameters(
        parameters,
        name_key=names.GROUP_GET_SECRET_NAME,
        namespace_key=names.GROUP_GET_SECRET_NAMESPACE,
        tokens={"volumegroupsnapshotcontent.name": content.name},
    )


def snapshotter_secret(
    parameters: Mapping[str, str], *, content: str, namespace: str, snapshot: str
) -> SecretRef | Problem | None:
    """The Secret that a class names for creating and deleting a VolumeSnapshot; None when it names none.

    It is written into the content's annotations. The snapshot's name is for the name of the Secret alone.
    """
    tokens = {"volumesnapshotcontent.name": content, "volumesnapshot.namespace": namespace}
    return _secret_from_parameters(
        parameters,
        name_key=names.SNAPSHOTTER_SECRET_NAME,
        namespace_key=names.SNAPSHOTTER_SECRET_NAMESPACE,
        tokens=tokens,
        name_tokens={"volumesnapshot.name": snapshot},
    )


def group_snapshotter_secret(
    parameters: Mapping[str, str], *, content: str, namespace: str, snapshot: str
) -> SecretRef | Problem | None:
    """The Secret that a class names for creating and deleting a VolumeGroupSnapshot; None when it names none."""
    tokens = {"volumegroupsnapshotcontent.name": content, "volumegroupsnapshot.namespace": namespace}
    return _secret_from_parameters(
        parameters,
        name_key=names.GROUP_SNAPSHOTTER_SECRET_NAME,
        namespace_key=names.GROUP_SNAPSHOTTER_SECRET_NAMESPACE,
        tokens=tokens,
        name_tokens={"volumegroupsnapshot.name": snapshot},
    )


_IN_CLASSES = (
    (names.SNAPSHOTTER_SECRET_NAME, names.SNAPSHOTTER_SECRET_NAMESPACE),
    (names.LIST_SECRET_NAME, names.LIST_SECRET_NAMESPACE),
    (names.GROUP_SNAPSHOTTER_SECRET_NAME, names.GROUP_SNAPSHOTTER_SECRET_NAMESPACE),
    (names.GROUP_GET_SECRET_NAME, names.GROUP_GET_SECRET_NAMESPACE),
)


def named_secrets(parameters: Mapping[str, str]) -> list[SecretRef]:
    """The Secrets that a class names for any of its calls, as far as it names them without a template."""
    found = [
        _secret_from_parameters(parameters, name_key=name_key, namespace_key=namespace_key, tokens={})
        for name_key, namespace_key in _IN_CLASSES
        if "$" not in parameters.get(name_key, "") + parameters.get(namespace_key, "")
    ]
    return [secret for secret in found if isinstance(secret, SecretRef)]


def _secret_from_parameters(
    parameters: Mapping[str, str],
    *,
    name_key: str,
    namespace_key: str,
    tokens: Mapping[str, str],
    name_tokens: Mapping[str, str] = MappingProxyType({}),
) -> SecretRef | Problem | None:
    name, namespace = parameters.get(name_key), parameters.get(namespace_key)
    if name is None and namespace is None:
        return None
    if not name or not namespace:
        return Problem(f"class parameters {name_key} and {namespace_key} must both be set, or neither")
    resolved_namespace = _resolve(namespace_key, namespace, tokens, _NAMESPACE)
    if isinstance(resolved_namespace, Problem):
        return resolved_namespace
    resolved_name = _resolve(name_key, name, {**tokens, **name_tokens}, _NAME)
    if isinstance(resolved_name, Problem):
        return resolved_name
    return SecretRef(resolved_namespace, resolved_name)


@dataclass(frozen=True, slots=True)
class _Form:
    """What a resolved template must look like (Kubernetes, "Object Names and IDs")."""

    title: str
    pattern: re.Pattern[str]
    longest: int

    def fits(self, text: str) -> bool:
        return len(text) <= self.longest and self.pattern.fullmatch(text) is not None


_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAMESPACE = _Form("namespace", re.compile(_LABEL), 63)
_NAME = _Form("Secret name", re.compile(rf"{_LABEL}(?:\.{_LABEL})*"), 253)


def _resolve(key: str, template: str, tokens: Mapping[str, str], form: _Form) -> str | Problem:
    expanded = expand(template, tokens)
    if expanded.unknown:
        known = ", ".join(f"${{{token}}}" for token in tokens)
        unknown = ", ".join(f'"{token}"' for token in expanded.unknown)
        return Problem(f'class parameter {key}: template "{template}" has unknown tokens: {unknown} (known: {known})')
    if not form.fits(expanded.text):
        result = "" if expanded.text == template else f' gives "{expanded.text}", which'
        return Problem(f'class parameter {key}: "{template}"{result} is not a valid {form.title}')
    return expanded.text


@dataclass(frozen=True, slots=True)
class Expanded:
    """A template with its known tokens replaced, and the sorted names of those that are not known."""

    text: str
    unknown: tuple[str, ...]


# In the order in which a shell tells them apart: `${}` vanishes, and so do the two characters of a brace
# that is never closed; a few characters are variables by themselves; any other `$` is just a dollar.
_VARIABLE = re.compile(
    r"\$\{(?P<braced>[^}]*)\}"
    r"|(?P<unclosed>\$\{)"
    r"|\$(?P<special>[*#$@!?\-0-9])"
    r"|\$(?P<plain>[A-Za-z_][A-Za-z0-9_]*)"
)


def expand(template: str, tokens: Mapping[str, str]) -> Expanded:
    """Replace `${token}` and `$token` in a template."""
    unknown: set[str] = set()

    def value(match: re.Match[str]) -> str:
        token = match["braced"] or match["special"] or match["plain"]
        if not token:
            return ""
        if token not in tokens:
            unknown.add(token)
            return ""
        return tokens[token]

    return Expanded(_VARIABLE.sub(value, template), tuple(sorted(unknown)))
