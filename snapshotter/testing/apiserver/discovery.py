"""What the server says about itself: groups, versions, resources."""

from snapshotter.testing.apiserver.kinds import Catalogue, Kind, Version
from snapshotter.testing.apiserver.status import Json

_VERBS = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"]
_STATUS_VERBS = ["get", "patch", "update"]
_QUESTION_VERBS = ["create"]

SERVER_VERSION: Json = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+standin",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}


def core_versions(address: str) -> Json:
    """The answer at `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(catalogue: Catalogue) -> Json:
    """The answer at `/apis`."""
    groups = [_group(name, versions) for name, versions in catalogue.group_versions().items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(catalogue: Catalogue, name: str) -> Json | None:
    """The answer at `/apis/<group>`; None when the group is not served."""
    versions = catalogue.group_versions().get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)} if versions and name else None


def _group(name: str, versions: list[str]) -> Json:
    served = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": served, "preferredVersion": served[0]}


def resource_list(catalogue: Catalogue, group_name: str, version_name: str) -> Json | None:
    """The answer at `/apis/<group>/<version>`; None when that is not served."""
    resources: list[Json] = []
    for kind, version in served_kinds(catalogue, group_name, version_name):
        resources.append(_resource(kind))
        if version.has_status:
            resources.append(_status_resource(kind))
        resources.extend(_action(kind, name, said) for name, said in kind.actions.items())
    if not resources:
        return None
    if group_name == "":
        resources.sort(key=lambda resource: str(resource["name"]))
    api_version = f"{group_name}/{version_name}" if group_name else version_name
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version, "resources": resources}


def served_kinds(catalogue: Catalogue, group_name: str, version_name: str) -> list[tuple[Kind, Version]]:
    """The kinds of a group that are served in a version, by their plurals."""
    found = [
        (kind, version)
        for kind in catalogue
        for version in kind.served_versions()
        if kind.group == group_name and version.name == version_name
    ]
    return sorted(found, key=lambda pair: pair[0].plural)


def _resource(kind: Kind) -> Json:
    resource: Json = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _VERBS if kind.is_stored else _QUESTION_VERBS,
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    return resource


def _status_resource(kind: Kind) -> Json:
    return {
        "name": f"{kind.plural}/status",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _STATUS_VERBS,
    }


def _action(kind: Kind, name: str, said: Json) -> Json:
    return {
        "name": f"{kind.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "verbs": _QUESTION_VERBS,
        **said,
    }
