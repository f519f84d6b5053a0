"""The manifests, applied: the server knows every object and every field of it, and admits the pods.

A real server is the judge.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.contract.client import Answer, Client, Json, Server
from tests.contract.objects import new_name, without
from tests.manifests.rendering import build, overlay, workloads, written
from tests.manifests.test_examples import EXAMPLES, example
from tests.manifests.test_rendering import COMPONENTS, FOREIGN

pytestmark = pytest.mark.asyncio(loop_scope="session")

APPLY = "application/apply-patch+yaml"
BASES = ["crds", "csi-snapshotter", "snapshot-controller", "webhook", "user-roles"]


async def path_of(api: Client, given: Json) -> str | None:
    """Where an object is, by what the server tells of its resources; None where it does not serve the kind."""
    version, metadata = given["apiVersion"], given["metadata"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    answer = await api.get(root)
    for resource in answer.body.get("resources", []):
        if resource["kind"] == given["kind"] and "/" not in resource["name"]:
            within = f"/namespaces/{metadata.get('namespace', 'default')}" if resource["namespaced"] else ""
            return f"{root}{within}/{resource['name']}/{metadata['name']}"
    return None


async def apply(api: Client, given: Json, **query: str) -> Answer | None:
    """The answer to a strict server-side apply; None where the server does not serve the kind."""
    path = await path_of(api, given)
    if path is None:
        return None
    options = {"fieldManager": "tests", "force": "true", "fieldValidation": "Strict"}
    return await api.request("PATCH", path, given, APPLY, **options, **query)


async def check_all(api: Client, objects: tuple[Json, ...]) -> None:
    for each in objects:
        answer = await apply(api, each, dryRun="All")
        if answer is None:
            assert each["apiVersion"].startswith(FOREIGN), each
            continue
        assert (answer.status in (200, 201), answer.warnings) == (True, ()), answer


@pytest.mark.parametrize("directory", BASES)
async def test_a_base_is_accepted(api: Client, directory: str) -> None:
    await check_all(api, written(directory))


@pytest.mark.kustomize
@pytest.mark.parametrize(("component", "base"), COMPONENTS.items(), ids=COMPONENTS.keys())
async def test_a_component_is_accepted(api: Client, component: str, base: str, tmp_path: Path) -> None:
    await check_all(api, build(overlay(tmp_path, base, component)))


@pytest.mark.parametrize("name", [name for name, each in EXAMPLES.items() if not each.refused])
async def test_an_example_is_accepted(api: Client, name: str) -> None:
    for each in example(name):
        # A namespace has to be there before something is put into it.
        query: dict[str, Any] = {}
        if each["kind"] != "Namespace":
            # Users' scenarios may have left the object of this name in use.
            each["metadata"]["name"] = new_name("example")
            query = {"dryRun": "All"}
        answer = await apply(api, each, **query)
        assert answer is not None, each
        assert answer.status in (200, 201), answer
        assert bool(answer.warnings) is EXAMPLES[name].deprecated


async def test_pods_are_admitted_where_the_restricted_profile_is_enforced(server: Server, api: Client) -> None:
    if not server.real:
        pytest.skip("the stand-in admits every pod")
    namespace = new_name("restricted")
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    (await api.create("/api/v1/namespaces", {"metadata": {"name": namespace, "labels": labels}})).ok()
    home = f"/api/v1/namespaces/{namespace}"
    (await api.create(f"{home}/serviceaccounts", {"metadata": {"name": "default"}})).ok()

    async def admit(spec: Json) -> Answer:
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": new_name("pod")}, "spec": spec}
        return await api.create(f"{home}/pods", pod, dryRun="All")

    directories = (*BASES, "csi-snapshotter/node-deployment")
    found = [each for directory in directories for each in workloads(written(directory))]
    assert len(found) == 4
    for workload in found:
        # Whether the account and the priority exist is not the profile's affair.
        spec = without(workload.pod, "serviceAccountName", "priorityClassName")
        answer = await admit(spec)
        assert (answer.status, answer.warnings) == (201, ()), answer
        refused = await admit(without(spec, "securityContext"))
        assert (refused.status, "restricted" in refused.message) == (403, True)
