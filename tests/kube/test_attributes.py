import pytest

from snapshotter.kube.attributes import access_of
from snapshotter.plan.permissions import Access

CONTENTS = "/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents"
GROUP = "snapshot.storage.k8s.io"

REQUESTS = {
    "a list": ("GET", CONTENTS, {"limit": "500"}, Access("list", GROUP, "volumesnapshotcontents")),
    "a watch": ("GET", CONTENTS, {"watch": "true"}, Access("watch", GROUP, "volumesnapshotcontents")),
    "a read": ("GET", f"{CONTENTS}/one", {}, Access("get", GROUP, "volumesnapshotcontents", name="one")),
    "a patch": ("PATCH", f"{CONTENTS}/one", {}, Access("patch", GROUP, "volumesnapshotcontents", name="one")),
    "a patch of a status": (
        "PATCH",
        f"{CONTENTS}/one/status",
        {},
        Access("patch", GROUP, "volumesnapshotcontents", "status", name="one"),
    ),
    "a deletion": ("DELETE", f"{CONTENTS}/one", {}, Access("delete", GROUP, "volumesnapshotcontents", name="one")),
    "an event": ("POST", "/api/v1/namespaces/default/events", {}, Access("create", "", "events", namespace="default")),
    "a Secret": (
        "GET",
        "/api/v1/namespaces/a/secrets/login",
        {},
        Access("get", "", "secrets", namespace="a", name="login"),
    ),
    "a lease": (
        "PUT",
        "/apis/coordination.k8s.io/v1/namespaces/a/leases/leader",
        {},
        Access("update", "coordination.k8s.io", "leases", namespace="a", name="leader"),
    ),
    "all claims": ("GET", "/api/v1/persistentvolumeclaims", {}, Access("list", "", "persistentvolumeclaims")),
    "a namespace": ("GET", "/api/v1/namespaces/a", {}, Access("get", "", "namespaces", name="a")),
    "discovery of a group": ("GET", "/apis/snapshot.storage.k8s.io", {}, None),
    "discovery of a version": ("GET", "/apis/snapshot.storage.k8s.io/v1", {}, None),
    "discovery of the core": ("GET", "/api/v1", {}, None),
    "another path": ("GET", "/version", {}, None),
}


@pytest.mark.parametrize(("method", "path", "query", "expected"), REQUESTS.values(), ids=REQUESTS.keys())
def test_what_a_request_needs(method: str, path: str, query: dict[str, str], expected: Access | None) -> None:
    assert access_of(method, path, query) == expected
