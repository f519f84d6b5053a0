"""What has to fit between a request and the object that it is about. All functions raise `ApiError`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from snapshotter.testing.apiserver.status import (
    Cause,
    Json,
    bad_request,
    conflict,
    invalid,
    precondition_failed,
    stale,
)
from snapshotter.testing.apiserver.store import Stored
from snapshotter.testing.apiserver.targets import DeleteOptions, PatchType, Target


def check_name(target: Target, metadata: Json) -> None:
    if not metadata.get("name"):
        raise bad_request(
            f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
        )
    if metadata["name"] != target.name:
        raise bad_request(
            f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
        )


def check_namespace(target: Target, metadata: Json) -> None:
    if not target.kind.namespaced:
        metadata.pop("namespace", None)
    elif (metadata.get("namespace") or target.namespace) != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    else:
        metadata["namespace"] = target.namespace


def check_patch_shape(patch_type: PatchType, patch: Any) -> None:
    if patch_type == "json" and not isinstance(patch, list):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"
        )
    if patch_type != "json" and not isinstance(patch, dict):
        raise bad_request(
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        )


def check_preconditions(target: Target, old: Stored, options: DeleteOptions) -> None:
    uid = old.object["metadata"]["uid"]
    if options.uid is not None and options.uid != uid:
        detail = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). "
            "The object might have been deleted and then recreated"
        )
        raise precondition_failed(target.subject, detail)
    if options.resource_version is not None and options.resource_version != str(old.version):
        detail = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match "
            f"the ResourceVersion in record ({old.version}). The object might have been modified"
        )
        raise precondition_failed(target.subject, detail)


def check_version(target: Target, metadata: Mapping[str, Any], old: Stored) -> None:
    """An update may state the version that it builds on; those of some kinds must."""
    version = metadata.get("resourceVersion")
    if version in (None, "", "0"):
        if not target.kind.unconditional_update:
            detail = "must be specified for an update"
            cause = Cause("metadata.resourceVersion", "FieldValueInvalid", detail, value=0)
            # Here, and only here, the real server names the plural for the kind.
            raise invalid(replace(target.subject, kind=target.kind.plural), [cause])
    elif version != str(old.version):
        raise stale(target.subject)


def check_uid(target: Target, metadata: Mapping[str, Any], old: Stored) -> None:
    """A replacement must be meant for this object, not for an earlier one of its name."""
    uid = old.object["metadata"]["uid"]
    if (metadata.get("uid") or uid) != uid:
        detail = f"Precondition failed: UID in precondition: {metadata['uid']}, UID in object meta: {uid}"
        raise conflict(target.subject, detail)
