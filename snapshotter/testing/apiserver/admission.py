"""Which webhooks have a say in a request: what the ValidatingWebhookConfigurations ask for.

`registry` asks for them in every operation that a user wants, before it changes anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from snapshotter.testing.apiserver.admission_review import Admission, Opinion
from snapshotter.testing.apiserver.conversion import converted
from snapshotter.testing.apiserver.json_tree import copied
from snapshotter.testing.apiserver.kinds import Kind, Version
from snapshotter.testing.apiserver.selectors import selector_of
from snapshotter.testing.apiserver.status import Json
from snapshotter.testing.apiserver.store import Store
from snapshotter.testing.apiserver.targets import DeleteOptions, Target, WriteOptions

Operation = Literal["CREATE", "UPDATE", "DELETE"]

_CONFIGURATIONS = ("admissionregistration.k8s.io", "validatingwebhookconfigurations")
_NAMESPACES = ("", "namespaces")


@dataclass(frozen=True, slots=True)
class Request:
    """A change that somebody wants. The objects are in the version of the target."""

    target: Target
    operation: Operation
    new: Json | None
    old: Json | None
    options: WriteOptions | DeleteOptions

    @property
    def labels(self) -> list[Mapping[str, str]]:
        """The labels of the object, before and after."""
        return [obj["metadata"].get("labels") or {} for obj in (self.new, self.old) if obj is not None]


class Webhooks:
    """Asks those webhooks that want to be asked."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def listen_to(self, options: WriteOptions | DeleteOptions) -> bool:
        """Whether any may have a say in a request with these options."""
        return options.user is not None and self._store.has_any(_CONFIGURATIONS)

    def admit(self, request: Request) -> None:
        """Raises `Unanswered`, and `ApiError` when a webhook refuses."""
        if not self.listen_to(request.options):
            return
        if request.target.kind.key == _CONFIGURATIONS:
            return  # what stands in the way must be removable
        notes = request.options.notes
        questions = [_question(webhook, version, request) for webhook, version in self._interested(request)]
        notes.require(questions)
        for question in questions:
            opinion: Opinion = notes.answer(question)
            if isinstance(request.options, WriteOptions):
                request.options.warnings.extend(opinion.warnings)
            if opinion.refusal is not None:
                raise opinion.refusal

    def _interested(self, request: Request) -> Iterator[tuple[Json, Version]]:
        """The webhooks to ask, each with the version of the kind in which it wants to see the objects."""
        for stored in self._store.all(_CONFIGURATIONS):
            for webhook in stored.object.get("webhooks") or ():
                version = _version_for(webhook, request)
                if version is not None and self._is_selected(webhook, request):
                    yield webhook, version

    def _is_selected(self, webhook: Json, request: Request) -> bool:
        by_object = selector_of(webhook["objectSelector"])
        if not any(by_object.matches_labels(labels) for labels in request.labels):
            return False
        by_namespace = selector_of(webhook["namespaceSelector"])
        labels = self._namespace_labels(request)
        return labels is None or by_namespace.matches_labels(labels)

    def _namespace_labels(self, request: Request) -> Mapping[str, str] | None:
        """The labels of the namespace that the object lives in or is; None for what lives in none."""
        if request.target.kind.key == _NAMESPACES:
            return request.labels[0]
        if not request.target.kind.namespaced:
            return None
        home = self._store.get(_NAMESPACES, ("", request.target.namespace))
        return {} if home is None else home.object["metadata"].get("labels") or {}


def _version_for(webhook: Json, request: Request) -> Version | None:
    """The version of the request if a rule is about it, else another version of the kind that one is about."""
    kind, asked = request.target.kind, request.target.version
    wanted: list[Version] = [asked]
    if webhook["matchPolicy"] == "Equivalent":
        wanted += [version for version in kind.served_versions() if version is not asked]
    for version in wanted:
        if any(_is_about(rule, request, kind, version) for rule in webhook.get("rules") or ()):
            return version
    return None


def _is_about(rule: Mapping[str, Any], request: Request, kind: Kind, version: Version) -> bool:
    scope = "Namespaced" if kind.namespaced else "Cluster"
    return (
        _among(rule["operations"], request.operation)
        and _among(rule["apiGroups"], kind.group)
        and _among(rule["apiVersions"], version.name)
        and rule["scope"] in ("*", scope)
        and any(_covers(resource, kind.plural, request.target.subresource) for resource in rule["resources"])
    )


def _among(values: list[str], value: str) -> bool:
    return "*" in values or value in values


def _covers(pattern: str, plural: str, subresource: str) -> bool:
    resource, _, below = pattern.partition("/")
    return resource in ("*", plural) and below in ("*", subresource)


def _question(webhook: Json, version: Version, request: Request) -> Admission:
    target, options = request.target, request.options
    kind, user = target.kind, options.user
    body: Json = {
        "kind": _named(kind, version, "kind", kind.kind),
        "resource": _named(kind, version, "resource", kind.plural),
        "requestKind": _named(kind, target.version, "kind", kind.kind),
        "requestResource": _named(kind, target.version, "resource", kind.plural),
        "name": target.name,
        "operation": request.operation,
        "userInfo": {"username": user.name, "groups": list(user.groups)} if user else {},
        "object": _seen(request.new, version, request),
        "oldObject": _seen(request.old, version, request),
        "dryRun": options.dry_run,
        "options": _options(request),
    }
    if target.subresource:
        body |= {"subResource": target.subresource, "requestSubResource": target.subresource}
    if target.namespace:
        body["namespace"] = target.namespace
    return Admission(msgspec.json.encode(webhook), msgspec.json.encode(body))


def _named(kind: Kind, version: Version, member: str, name: str) -> Json:
    return {"group": kind.group, "version": version.name, member: name}


def _seen(obj: Json | None, version: Version, request: Request) -> Json | None:
    if obj is None:
        return None
    return converted(copied(obj), request.target.kind, version, request.options.notes)


def _options(request: Request) -> Json:
    name = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}[request.operation]
    options: Json = {"kind": name, "apiVersion": "meta.k8s.io/v1"}
    if request.options.dry_run:
        options["dryRun"] = ["All"]
    if isinstance(request.options, WriteOptions) and request.options.manager:
        options["fieldManager"] = request.options.manager
    return options
