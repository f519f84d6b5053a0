"""Creating, changing and deleting objects as the API server does it, on the store and apart from HTTP.

Each operation runs whole, without waiting, so that nobody sees or disturbs half of it. One that needs the answer of a
webhook raises `Unanswered` before it has changed anything, see `notes`.
"""

import random
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

import msgspec

from snapshotter.testing.apiserver import apply, builtin
from snapshotter.testing.apiserver.admission import Request, Webhooks
from snapshotter.testing.apiserver.checks import (
    check_name,
    check_namespace,
    check_patch_shape,
    check_preconditions,
    check_uid,
    check_version,
)
from snapshotter.testing.apiserver.conversion import converted, served
from snapshotter.testing.apiserver.decoding import DecodeError, check_identity, complete
from snapshotter.testing.apiserver.json_tree import copied, same
from snapshotter.testing.apiserver.kinds import Catalogue, Version
from snapshotter.testing.apiserver.metadata import (
    broken_metadata,
    broken_name,
    carry_over,
    forbidden_changes,
    is_terminating,
    tidy,
    timestamp,
    unqualified_finalizers,
)
from snapshotter.testing.apiserver.notes import Notes
from snapshotter.testing.apiserver.patching import PatchError, json_patch, merge, strategic
from snapshotter.testing.apiserver.quotas import check_quotas
from snapshotter.testing.apiserver.schema import ABSENT, validate
from snapshotter.testing.apiserver.status import (
    ApiError,
    Cause,
    Json,
    Subject,
    already_exists,
    bad_request,
    forbidden,
    invalid,
    not_found,
    unprocessable_patch,
    unsupported_media_type,
)
from snapshotter.testing.apiserver.store import Store, Stored
from snapshotter.testing.apiserver.targets import (
    PATCH_TYPES,
    DeleteOptions,
    Outcome,
    PatchType,
    Target,
    WriteOptions,
)

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Registry:
    """The objects behind their rules.

    All methods raise `ApiError` and `Unanswered`, and own the bodies that they are given.
    """

    def __init__(self, store: Store, catalogue: Catalogue, clock: Callable[[], float]) -> None:
        self.store = store
        self.catalogue = catalogue
        self._clock = clock
        self._webhooks = Webhooks(store)

    def read(self, target: Target) -> Stored:
        stored = self.store.get(target.kind.key, target.key)
        if stored is None:
            raise not_found(target.subject)
        return stored

    def create(self, target: Target, body: Json, options: WriteOptions) -> Outcome:
        """Create the object in the collection that the target names."""
        self.decode(target, body, options)
        kind, metadata = target.kind, body["metadata"]
        check_namespace(target, metadata)
        tidy(metadata)
        if metadata.pop("resourceVersion", None):
            raise ApiError(500, "", "resourceVersion should not be set on objects to be created")
        self._begin(target, metadata, options.notes)
        self._check_home(target, metadata["name"])
        if kind.is_custom and target.version.has_status:
            body.pop("status", None)
        builtin.prepare_create(kind, body)
        named = replace(target, name=metadata["name"])
        self._validate(named, body, None, options)
        self._webhooks.admit(Request(named, "CREATE", body, None, options))
        if (there := self.store.get(kind.key, named.key)) is not None:
            raise already_exists(named.subject, is_terminating=is_terminating(there.object))
        check_quotas(self.store, named)
        return Outcome(self._put(named, body, options), created=True)

    def update(self, target: Target, body: Json, options: WriteOptions) -> Outcome:
        """Put the object in the place of the one that is there."""
        self.decode(target, body, options)
        metadata = body["metadata"]
        check_name(target, metadata)
        check_namespace(target, metadata)
        old = self.read(target)
        check_uid(target, metadata, old)
        return self._change(target, body, old, options)

    def patch(self, target: Target, patch_type: PatchType, patch: Any, options: WriteOptions) -> Outcome:
        """Change the object as the patch says; an apply patch creates it where it is absent."""
        if patch_type == "strategic" and target.kind.is_custom:
            raise unsupported_media_type([name for name, known in PATCH_TYPES.items() if known != "strategic"])
        check_patch_shape(patch_type, patch)
        if patch_type == "apply":
            return self._apply(target, patch, options)
        old = self.read(target)
        current = converted(old.fresh(), target.kind, target.version, options.notes)
        try:
            body = _patched_tree(patch_type, current, patch, target.version)
        except PatchError as error:
            raise unprocessable_patch() from error
        return self._patched(target, body, old, options)

    def delete(self, target: Target, options: DeleteOptions) -> Outcome:
        """Delete the object, or mark it as terminating while finalizers hold it."""
        old = self.read(target)
        check_preconditions(target, old, options)
        obj = converted(old.fresh(), target.kind, target.version, options.notes)
        metadata = obj["metadata"]
        self._webhooks.admit(Request(target, "DELETE", None, obj, options))
        if is_terminating(obj):
            return Outcome(old)
        _add_propagation_finalizer(metadata, options)
        held = builtin.prepare_delete(target.kind, obj) or bool(metadata.get("finalizers"))
        if not held:
            if options.dry_run:
                return Outcome(old, gone=True)
            return Outcome(self.store.remove(target.kind.key, target.key), gone=True)
        metadata["deletionTimestamp"] = timestamp(self._now(options.notes))
        metadata["deletionGracePeriodSeconds"] = 0
        if "generation" in metadata:
            metadata["generation"] += 1
        return Outcome(self._put(target, obj, options))

    def finish(self, target: Target, obj: Json, notes: Notes) -> None:
        """For controllers of the server itself: store the object without the checks of a request."""
        if is_terminating(obj) and not builtin.is_held(target.kind, obj):
            self.store.remove(target.kind.key, target.key)
        else:
            self._put(target, obj, WriteOptions(notes=notes))

    def decode(self, target: Target, body: Json, options: WriteOptions) -> None:
        """Make the body an object of the kind."""
        kind, version = target.kind, target.version
        try:
            check_identity(kind, version, body)
        except DecodeError as error:
            raise bad_request(str(error)) from error
        try:
            _warn(options, complete(kind, version, body, None, strict=options.validation == "Strict"))
        except DecodeError as error:
            message = f'{kind.kind} in version "{version.name}" cannot be handled as a {kind.kind}: {error}'
            raise bad_request(message) from error

    def _patched(self, target: Target, body: Json, old: Stored, options: WriteOptions) -> Outcome:
        """Store what a patch has made of the object."""
        original = msgspec.json.encode(body)
        earlier = served(old, target.kind, target.version, options.notes)
        strict = options.validation == "Strict"
        try:
            check_identity(target.kind, target.version, body)
            _warn(options, complete(target.kind, target.version, body, earlier, strict=strict))
        except DecodeError as error:
            cause = Cause("patch", "FieldValueInvalid", str(error), value=original.decode())
            raise invalid(Subject("", "", ""), [cause]) from error
        check_name(target, body["metadata"])
        check_namespace(target, body["metadata"])
        return self._change(target, body, old, options)

    def _now(self, notes: Notes) -> float:
        return notes.once("now", self._clock)

    def _begin(self, target: Target, metadata: Json, notes: Notes) -> None:
        """Give a new object its name, uid and birth."""
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
            metadata.pop(name, None)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = metadata["generateName"] + notes.once("suffix", _suffix)
        metadata.setdefault("name", "")
        metadata["uid"] = notes.once("uid", lambda: str(uuid.uuid4()))
        metadata["creationTimestamp"] = timestamp(self._now(notes))
        if target.kind.keeps_generation:
            metadata["generation"] = 1

    def _check_home(self, target: Target, name: str) -> None:
        """A namespaced object needs a namespace that is not going away."""
        if not target.kind.namespaced:
            return
        namespaces = self.catalogue.get("", "namespaces")
        home = self.store.get(namespaces.key, ("", target.namespace))
        if home is None:
            raise not_found(namespaces.subject(target.namespace))
        if is_terminating(home.object):
            detail = f"unable to create new content in namespace {target.namespace} because it is being terminated"
            cause = {
                "reason": "NamespaceTerminating",
                "message": f"namespace {target.namespace} is being terminated",
                "field": "metadata.namespace",
            }
            raise forbidden(target.kind.subject(name), detail, cause)

    def _change(self, target: Target, body: Json, old: Stored, options: WriteOptions) -> Outcome:
        """Store `body`, which is in the version of the request, in the place of `old`."""
        earlier = served(old, target.kind, target.version, options.notes)
        check_version(target, body["metadata"], old)
        if target.subresource:
            body = _with_new_status(body, converted(old.fresh(), target.kind, target.version, options.notes))
        elif target.version.has_status and "status" in earlier:
            body["status"] = earlier["status"]
        elif target.version.has_status:
            body.pop("status", None)
        metadata = body["metadata"]
        metadata.pop("resourceVersion", None)
        tidy(metadata)
        carry_over(metadata, earlier["metadata"])
        builtin.prepare_update(target.kind, body, earlier)
        if target.kind.keeps_generation and _is_new_generation(target.version, body, earlier):
            metadata["generation"] += 1
        if _is_unchanged(body, earlier) and _is_stored_whole(target, earlier, old, options.notes):
            self._admit_update(target, body, earlier, options)
            return Outcome(old)
        self._validate(target, body, earlier, options)
        self._admit_update(target, body, earlier, options)
        if is_terminating(body) and not builtin.is_held(target.kind, body):
            return self._release(target, body, old, options)
        return Outcome(self._put(target, body, options))

    def _admit_update(self, target: Target, body: Json, earlier: Json, options: WriteOptions) -> None:
        if not self._webhooks.listen_to(options):
            return
        version = earlier["metadata"]["resourceVersion"]
        new = body | {"metadata": body["metadata"] | {"resourceVersion": version}}
        self._webhooks.admit(Request(target, "UPDATE", new, earlier, options))

    def _release(self, target: Target, obj: Json, old: Stored, options: WriteOptions) -> Outcome:
        """Remove an object whose last finalizer went. The writer gets it at the version that it had before."""
        obj["metadata"]["resourceVersion"] = str(old.version)
        answer = Stored(old.key, old.version, msgspec.json.decode(msgspec.json.encode(obj)))
        if not options.dry_run:
            self.store.remove(target.kind.key, target.key)
        return Outcome(answer)

    def _validate(self, target: Target, body: Json, earlier: Json | None, options: WriteOptions) -> None:
        metadata = body["metadata"]
        causes: list[Cause] = []
        if earlier is None:
            causes += broken_name(metadata, target.kind.names)
        else:
            causes += forbidden_changes(metadata, earlier["metadata"])
        if earlier is None or metadata != earlier["metadata"]:
            causes += broken_metadata(metadata)
            causes += self._unqualified(target, metadata, options)
        found = validate(body, target.version.node, ABSENT if earlier is None else earlier)
        causes += [_within_status(cause) for cause in found] if target.subresource else found
        causes += builtin.broken(target.kind, body, earlier)
        if causes:
            raise invalid(target.subject, causes)

    def _unqualified(self, target: Target, metadata: Json, options: WriteOptions) -> Iterator[Cause]:
        for name in unqualified_finalizers(metadata):
            if target.kind.is_custom:
                options.warnings.append(
                    f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name including a path (/) '
                    "to avoid accidental conflicts with other finalizer writers"
                )
            else:
                detail = "name is neither a standard finalizer name nor is it fully qualified"
                yield Cause("metadata.finalizers", "FieldValueInvalid", detail, value=name)

    def _apply(self, target: Target, wanted: Json, options: WriteOptions) -> Outcome:
        if not options.manager:
            cause = Cause("fieldManager", "FieldValueRequired", "is required for apply patch")
            raise invalid(Subject("meta.k8s.io", "", "PatchOptions"), [cause])
        try:
            check_identity(target.kind, target.version, wanted)
        except DecodeError as error:
            raise bad_request(str(error)) from error
        if not isinstance(wanted.setdefault("metadata", {}), dict):
            raise bad_request("metadata must be an object")
        wanted["metadata"].setdefault("name", target.name)
        check_name(target, wanted["metadata"])
        old = self.store.get(target.kind.key, target.key)
        if old is None and target.subresource:
            raise not_found(target.subject)
        current = (
            {"metadata": {}} if old is None else converted(old.fresh(), target.kind, target.version, options.notes)
        )
        body = apply.applied(
            current,
            wanted,
            target.version.node,
            target.subject,
            options.manager,
            self._now(options.notes),
            force=options.force,
        )
        if old is None:
            return self.create(target, body, options)
        return self._patched(target, body, old, options)

    def _put(self, target: Target, obj: Json, options: WriteOptions | DeleteOptions) -> Stored:
        """Store the object, which is in some version of its kind, in the one that is stored."""
        obj = converted(obj, target.kind, target.kind.storage, options.notes)
        if options.dry_run:
            old = self.store.get(target.kind.key, target.key)
            if old is not None:
                obj["metadata"]["resourceVersion"] = str(old.version)
            return Stored(target.key, self.store.version, obj)
        return self.store.put(target.kind.key, target.key, obj)


def _suffix() -> str:
    return "".join(random.choices(_SUFFIX_ALPHABET, k=5))  # noqa: S311 - a name, not a secret


def _warn(options: WriteOptions, dropped: Iterable[str]) -> None:
    if options.validation == "Warn":
        options.warnings.extend(f'unknown field "{path}"' for path in dropped)


def _patched_tree(
    patch_type: Literal["json", "merge", "strategic"], current: Json, patch: Any, version: Version
) -> Json:
    if patch_type == "json":
        return json_patch(current, patch)
    body: Json = merge(current, patch) if patch_type == "merge" else strategic(current, patch, version.node)
    return body


def _within_status(cause: Cause) -> Cause:
    """The texts of a write to `/status` name the field as seen from there."""
    inner = cause.field.removeprefix("status").removeprefix(".")
    return replace(cause, detail=cause.detail.replace(f"{cause.field} in body", f"{inner} in body"))


def _add_propagation_finalizer(metadata: Json, options: DeleteOptions) -> None:
    finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(options.propagation)
    if finalizer is not None and finalizer not in metadata.get("finalizers", ()):
        metadata.setdefault("finalizers", []).append(finalizer)


def _with_new_status(body: Json, current: Json) -> Json:
    """What a write to `/status` changes: the status, and nothing else."""
    if "status" in body:
        current["status"] = body["status"]
    else:
        current.pop("status", None)
    return current


def _is_new_generation(version: Version, body: Json, earlier: Json) -> bool:
    ignored = {"metadata", "apiVersion", "kind"} | ({"status"} if version.has_status else set())
    return not same(
        {name: value for name, value in body.items() if name not in ignored},
        {name: value for name, value in earlier.items() if name not in ignored},
    )


def _is_stored_whole(target: Target, earlier: Json, old: Stored, notes: Notes) -> bool:
    """Whether nothing is lost or changed when what the client's version knows of the object is stored again."""
    if earlier is old.object:
        return True
    return same(converted(copied(earlier), target.kind, target.kind.storage, notes), old.object)


def _is_unchanged(body: Json, earlier: Json) -> bool:
    metadata = {key: value for key, value in earlier["metadata"].items() if key != "resourceVersion"}
    return same(body, {**earlier, "metadata": metadata})
