"""Every base, overlay and component renders to objects that Kubernetes knows, and each agrees with its neighbours."""

import json
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from snapshotter.webhook.app import CONVERSION_PATH
from tests.manifests.rendering import (
    MANIFESTS,
    MONITORING,
    Json,
    NotRendered,
    build,
    files_of,
    kustomizations,
    of_kind,
    one,
    overlay,
    rendered,
    workloads,
    written,
)

OLDEST, LATEST = "1.30", "1.37"
"""The versions of Kubernetes that the objects have to be valid in: from the first with selectable fields."""
FOREIGN = ("cert-manager.io/", "monitoring.coreos.com/")
"""API groups that Kubernetes does not know by itself."""
BASES = kustomizations("Kustomization")
OURS = [name for name in BASES if not name.startswith(MONITORING)]

# Each component with the base that it changes.
COMPONENTS = {
    "crds/conversion": "crds",
    "csi-snapshotter/node-deployment": "csi-snapshotter",
    "csi-snapshotter/secrets": "csi-snapshotter",
    "csi-snapshotter/secrets-by-name": "csi-snapshotter",
    "snapshot-controller/distributed-snapshotting": "snapshot-controller",
    "webhook/cert-manager": "webhook",
    "webhook/default-class-admission": "webhook",
}
WRITTEN = ["crds", "csi-snapshotter", "snapshot-controller", "webhook", "user-roles", *COMPONENTS]


def invalid(given: Json, version: str) -> str | None:
    """What is wrong with an object by the schemas of this version of Kubernetes; unknown fields are."""
    return _invalid(json.dumps(given), version)


@cache
def _invalid(text: str, version: str) -> str | None:
    given = json.loads(text)
    try:
        kubernetes_validate.validate(given, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{given['kind']}/{given['metadata']['name']}: {'.'.join(map(str, error.path))}: {error.message}"
    return None


def all_invalid(objects: tuple[Json, ...]) -> list[str]:
    known = [each for each in objects if not each["apiVersion"].startswith(FOREIGN)]
    return [text for version in (OLDEST, LATEST) for each in known if (text := invalid(each, version)) is not None]


@pytest.mark.parametrize("change", [{"replica": 2}, {"replicas": "two"}, {"template": {"spec": {}}}], ids=str)
def test_the_schemas_refuse_what_is_wrong(change: Json) -> None:
    good = of_kind(written("snapshot-controller"), "Deployment")[0]
    assert invalid(good, LATEST) is None
    assert invalid(good | {"spec": good["spec"] | change}, LATEST) is not None


@pytest.mark.parametrize("directory", WRITTEN)
def test_what_is_written_is_valid(directory: str) -> None:
    assert all_invalid(written(directory)) == []


@pytest.mark.parametrize("directory", ["csi-snapshotter", "snapshot-controller", "webhook", "user-roles"])
def test_a_base_lists_its_files(directory: str) -> None:
    listed = yaml.safe_load((MANIFESTS / directory / "kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == [file.name for file in files_of(directory)]


def test_every_component_is_known_here() -> None:
    found = [name for name in kustomizations("Component") if not name.startswith(MONITORING)]
    assert sorted(found) == sorted(COMPONENTS)


@pytest.mark.kustomize
@pytest.mark.parametrize("directory", BASES)
def test_a_base_renders_to_valid_objects(directory: str) -> None:
    objects = rendered(directory)
    assert objects
    assert all_invalid(objects) == []


@pytest.mark.kustomize
@pytest.mark.parametrize(("component", "base"), COMPONENTS.items(), ids=COMPONENTS.keys())
def test_a_component_changes_its_base_to_valid_objects(component: str, base: str, tmp_path: Path) -> None:
    objects = build(overlay(tmp_path, base, component))
    assert all_invalid(objects) == []
    assert objects != rendered(base)


@pytest.mark.kustomize
def test_all_components_of_the_webhook_go_together(tmp_path: Path) -> None:
    objects = build(overlay(tmp_path, "webhook", "webhook/default-class-admission", "webhook/cert-manager"))
    assert all_invalid(objects) == []
    admission = one(objects, "ValidatingWebhookConfiguration", "snapshot-default-class")
    certificate = one(objects, "Certificate", "snapshot-conversion-webhook")["metadata"]
    assert admission["metadata"]["annotations"] == {
        "cert-manager.io/inject-ca-from": f"{certificate['namespace']}/{certificate['name']}"
    }


@pytest.mark.kustomize
def test_a_mistake_in_a_kustomization_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(NotRendered, match="nowhere"):
        build(overlay(tmp_path, "nowhere"))


def test_no_object_is_written_twice() -> None:
    found = [
        (each["apiVersion"], each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"])
        for directory in ("crds", "csi-snapshotter", "snapshot-controller", "webhook", "user-roles")
        for each in written(directory)
    ]
    assert len(found) == len(set(found))


NAMES = {
    "snapshot-controller": {
        ("ServiceAccount", "snapshot-controller", "kube-system"),
        ("ClusterRole", "snapshot-controller-runner", None),
        ("ClusterRoleBinding", "snapshot-controller-role", None),
        ("Role", "snapshot-controller-leaderelection", "kube-system"),
        ("RoleBinding", "snapshot-controller-leaderelection", "kube-system"),
        ("Deployment", "snapshot-controller", "kube-system"),
        ("PodDisruptionBudget", "snapshot-controller", "kube-system"),
        ("NetworkPolicy", "snapshot-controller", "kube-system"),
    },
    "csi-snapshotter": {
        ("ServiceAccount", "csi-snapshotter", "default"),
        ("ClusterRole", "external-snapshotter-runner", None),
        ("ClusterRoleBinding", "csi-snapshotter-role", None),
        ("Role", "external-snapshotter-leaderelection", "default"),
        ("RoleBinding", "external-snapshotter-leaderelection", "default"),
        ("Deployment", "csi-snapshotter", "default"),
        ("PodDisruptionBudget", "csi-snapshotter", "default"),
        ("NetworkPolicy", "csi-snapshotter", "default"),
    },
    "webhook": {
        ("ServiceAccount", "snapshot-conversion-webhook", "default"),
        ("Deployment", "snapshot-conversion-webhook-deployment", "default"),
        ("Service", "snapshot-conversion-webhook-service", "default"),
        ("PodDisruptionBudget", "snapshot-conversion-webhook", "default"),
        ("NetworkPolicy", "snapshot-conversion-webhook", "default"),
    },
}


@pytest.mark.parametrize("directory", NAMES)
def test_objects_have_the_names_that_others_rely_on(directory: str) -> None:
    found = {(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) for each in written(directory)}
    assert found == NAMES[directory]


def test_the_rights_are_in_files_of_their_own_for_those_who_take_nothing_else() -> None:
    for directory, file in {
        "csi-snapshotter": "rbac-csi-snapshotter.yaml",
        "snapshot-controller": "rbac-snapshot-controller.yaml",
    }.items():
        kinds = {each["kind"] for each in yaml.safe_load_all((MANIFESTS / directory / file).read_text())}
        assert kinds == {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
        others = {each["kind"] for each in written(directory)} - kinds
        assert others == {"Deployment", "PodDisruptionBudget", "NetworkPolicy"}


def selections(objects: tuple[Json, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    """What selects pods, by what."""
    for each in objects:
        spec = each.get("spec", {})
        for path in (("selector", "matchLabels"), ("podSelector", "matchLabels")):
            if isinstance(chosen := spec.get(path[0], {}).get(path[1]), dict):
                yield f"{each['kind']}.{path[0]}", chosen
        if each["kind"] == "Service":
            yield "Service.selector", spec["selector"]
    for workload in workloads(objects):
        for constraint in workload.pod.get("topologySpreadConstraints", []):
            yield "topologySpreadConstraints", constraint["labelSelector"]["matchLabels"]


@pytest.mark.parametrize("directory", NAMES)
def test_whatever_selects_pods_selects_those_of_the_base(directory: str) -> None:
    (workload,) = workloads(written(directory))
    found = dict(selections(written(directory)))
    assert {"Deployment.selector", "PodDisruptionBudget.selector", "NetworkPolicy.podSelector"} <= found.keys()
    assert "topologySpreadConstraints" in found
    assert workload.labels == workload.object["metadata"]["labels"]
    assert all(chosen == workload.labels for chosen in found.values())


def namespaces_in(node: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every namespace that is named below here, with where."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "namespace" and isinstance(value, str):
                yield f"{path}.{key}", value
            else:
                yield from namespaces_in(value, f"{path}.{key}")
    elif isinstance(node, list):
        for position, value in enumerate(node):
            yield from namespaces_in(value, f"{path}[{position}]")


@pytest.mark.kustomize
@pytest.mark.parametrize(
    ("base", "components"),
    [
        ("csi-snapshotter", ["csi-snapshotter/secrets-by-name"]),
        ("csi-snapshotter", ["csi-snapshotter/node-deployment", "csi-snapshotter/secrets"]),
        ("snapshot-controller", ["snapshot-controller/distributed-snapshotting"]),
        ("webhook", ["webhook/default-class-admission"]),
    ],
    ids=str,
)
def test_everything_moves_to_another_namespace(base: str, components: list[str], tmp_path: Path) -> None:
    objects = build(overlay(tmp_path, base, *components, namespace="elsewhere"))
    named = {f"{each['kind']}{path}": value for each in objects for path, value in namespaces_in(each)}
    assert any("subjects" in path for path in named) or base == "webhook"
    assert set(named.values()) == {"elsewhere"}, named


@pytest.mark.kustomize
def test_the_webhook_with_its_certificate_moves_by_one_line(tmp_path: Path) -> None:
    tree = tmp_path / "manifests"
    shutil.copytree(MANIFESTS, tree, ignore=shutil.ignore_patterns(MONITORING))
    file = tree / "overlays" / "webhook-cert-manager" / "kustomization.yaml"
    text = file.read_text()
    assert text.count("namespace: default\n") == 1
    file.write_text(text.replace("namespace: default\n", "namespace: elsewhere\n"))
    objects = build(file.parent)
    own = [each for each in objects if each["kind"] != "CustomResourceDefinition"]
    named = {value for each in own for _, value in namespaces_in(each)}
    assert named == {"elsewhere"}
    definition = one(objects, "CustomResourceDefinition", "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io")
    assert definition["spec"]["conversion"]["webhook"]["clientConfig"]["service"]["namespace"] == "elsewhere"
    assert one(objects, "Certificate", "snapshot-conversion-webhook")["spec"]["dnsNames"] == [
        "snapshot-conversion-webhook-service.elsewhere.svc",
        "snapshot-conversion-webhook-service.elsewhere",
    ]
    injected = {
        each["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
        for each in (definition, one(objects, "ValidatingWebhookConfiguration", "snapshot-default-class"))
    }
    assert injected == {"elsewhere/snapshot-conversion-webhook"}


@pytest.mark.kustomize
def test_the_image_is_chosen_in_one_place(tmp_path: Path) -> None:
    images = [{"name": "example.com/snapshotter", "newName": "registry.example.com/storage", "newTag": "1"}]
    for base in ("csi-snapshotter", "snapshot-controller", "webhook"):
        (workload,) = workloads(build(overlay(tmp_path / base, base, images=images)))
        assert {each.object["image"] for each in workload.containers} == {"registry.example.com/storage:1"}


@pytest.mark.kustomize
def test_conversion_is_asked_for_by_group_contents_alone(tmp_path: Path) -> None:
    objects = build(overlay(tmp_path, "crds", "crds/conversion"))
    found = {each["metadata"]["name"]: each["spec"]["conversion"] for each in objects if "conversion" in each["spec"]}
    service = one(written("webhook"), "Service", "snapshot-conversion-webhook-service")
    assert found == {
        "volumegroupsnapshotcontents.groupsnapshot.storage.k8s.io": {
            "strategy": "Webhook",
            "webhook": {
                "conversionReviewVersions": ["v1"],
                "clientConfig": {
                    "service": {
                        "name": service["metadata"]["name"],
                        "namespace": service["metadata"]["namespace"],
                        "path": CONVERSION_PATH,
                        "port": service["spec"]["ports"][0]["port"],
                    }
                },
            },
        }
    }
    # All else is as without the component.
    for each in objects:
        each["spec"].pop("conversion", None)
    assert objects == rendered("crds")


@pytest.mark.kustomize
def test_the_cluster_has_what_it_needs_once() -> None:
    found = {each["kind"] for each in rendered("overlays/cluster")}
    assert {"CustomResourceDefinition", "Deployment", "ClusterRole"} <= found
    assert [each.name for each in workloads(rendered("overlays/cluster"))] == ["snapshot-controller"]


@pytest.mark.kustomize
def test_the_sidecar_of_a_second_driver_overwrites_nothing_of_the_first() -> None:
    first, second = (
        {(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")) for each in rendered(directory)}
        for directory in ("csi-snapshotter", "overlays/csi-snapshotter-second-driver")
    )
    assert first & second == set()
    # Namespaced ones are not seen together by what selects pods.
    assert {namespace for *_, namespace in first} & {namespace for *_, namespace in second} == {None}
