"""Creating, changing and deleting objects, apart from HTTP: what a schema cannot say, apply, several versions."""

import time
from typing import Any

import msgspec
import pytest

from snapshotter.testing.apiserver.json_tree import copied
from snapshotter.testing.apiserver.kinds import (
    CRD_GROUP,
    CRD_PLURAL,
    Catalogue,
    builtin_kinds,
    from_definition,
    version_priority,
)
from snapshotter.testing.apiserver.notes import Notes
from snapshotter.testing.apiserver.presentation import Presentation, form_of
from snapshotter.testing.apiserver.registry import Registry
from snapshotter.testing.apiserver.status import ApiError, Json
from snapshotter.testing.apiserver.store import Store
from snapshotter.testing.apiserver.targets import DeleteOptions, Outcome, Target, WriteOptions


class Server:
    def __init__(self) -> None:
        self.catalogue = Catalogue(builtin_kinds())
        self.registry = Registry(Store(), self.catalogue, time.time)
        self.create("namespaces", {"metadata": {"name": "default"}})

    def target(self, plural: str, name: str = "", version: str = "") -> Target:
        kind = self.catalogue.of_plural(plural)
        return Target(
            kind,
            kind.versions[version] if version else kind.storage,
            "default" if kind.namespaced else "",
            name,
        )

    def create(self, plural: str, body: Json) -> Json:
        return self.registry.create(self.target(plural), copied(body), WriteOptions()).stored.fresh()

    def merge(self, plural: str, name: str, patch: Json) -> Json:
        return self.registry.patch(self.target(plural, name), "merge", patch, WriteOptions()).stored.fresh()

    def apply(self, plural: str, name: str, wanted: Json, manager: str = "me", *, force: bool = False) -> Outcome:
        kind = self.catalogue.of_plural(plural)
        body = {"apiVersion": kind.api_version(kind.storage_version), "kind": kind.kind, **wanted}
        return self.registry.patch(self.target(plural, name), "apply", body, WriteOptions(manager=manager, force=force))


@pytest.fixture
def server() -> Server:
    return Server()


def named(**members: Any) -> Json:
    return {"metadata": {"name": "x"}, **members}


def claim(**spec: Any) -> Json:
    usual = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return named(spec={**usual, **spec})


def volume(**spec: Any) -> Json:
    usual = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "csi": {"driver": "d", "volumeHandle": "h"},
    }
    return named(spec={**usual, **spec})


def definition(**changes: Any) -> Json:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}
    spec = {
        "group": "example.com",
        "scope": "Cluster",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [version],
        **changes,
    }
    return {"metadata": {"name": f"widgets.{spec['group']}"}, "spec": spec}


BAD_RULE = {"openAPIV3Schema": {"type": "object", "x-kubernetes-validations": [{"rule": "self.("}]}}

REFUSED: dict[str, tuple[str, Json, set[str]]] = {
    "a claim without modes": ("persistentvolumeclaims", claim(accessModes=[]), {"spec.accessModes"}),
    "a claim without a size": ("persistentvolumeclaims", claim(resources={}), {"spec.resources[storage]"}),
    "a volume of no type": ("persistentvolumes", volume(csi=None), {"spec"}),
    "a volume without handle": ("persistentvolumes", volume(csi={"driver": "d"}), {"spec.csi.volumeHandle"}),
    "a volume without a size": ("persistentvolumes", volume(capacity=None), {"spec.capacity"}),
    "a class without provisioner": ("storageclasses", named(), {"provisioner"}),
    "a lease of no time": ("leases", named(spec={"leaseDurationSeconds": 0}), {"spec.leaseDurationSeconds"}),
    "a lease with a negative count": ("leases", named(spec={"leaseTransitions": -1}), {"spec.leaseTransitions"}),
    "an event in another namespace": (
        "events",
        named(involvedObject={"namespace": "elsewhere"}),
        {"involvedObject.namespace"},
    ),
    "a finalizer of nobody": (
        "secrets",
        {"metadata": {"name": "x", "finalizers": ["mine"]}},
        {"metadata.finalizers"},
    ),
    "a name in upper case": ("secrets", {"metadata": {"name": "X"}}, {"metadata.name"}),
    "a namespace with a dot": ("namespaces", {"metadata": {"name": "a.b"}}, {"metadata.name"}),
    "a name that is too long": ("secrets", {"metadata": {"name": "x" * 254}}, {"metadata.name"}),
    "a beginning of a name in upper case": (
        "secrets",
        {"metadata": {"generateName": "X-"}},
        {"metadata.name", "metadata.generateName"},
    ),
    "a label whose value is too long": (
        "secrets",
        {"metadata": {"name": "x", "labels": {"a": "v" * 64}}},
        {"metadata.labels"},
    ),
    "an annotation whose prefix is no domain": (
        "secrets",
        {"metadata": {"name": "x", "annotations": {"a_b/c": ""}}},
        {"metadata.annotations"},
    ),
    "an annotation whose name is too long": (
        "secrets",
        {"metadata": {"name": "x", "annotations": {"a/" + "n" * 64: ""}}},
        {"metadata.annotations"},
    ),
    "a definition without a group": (CRD_PLURAL, definition(group=""), {"spec.group", "metadata.name"}),
    "a definition with a rule that does not compile": (
        CRD_PLURAL,
        definition(versions=[{"name": "v1", "served": True, "storage": True, "schema": BAD_RULE}]),
        {"spec.versions"},
    ),
    "a definition whose webhook does not know the reviews of v1": (
        CRD_PLURAL,
        definition(
            conversion={
                "strategy": "Webhook",
                "webhook": {"conversionReviewVersions": ["v1beta1"], "clientConfig": {"url": "https://a.example.com"}},
            }
        ),
        {"spec.conversion.conversionReviewVersions"},
    ),
    "a definition in a protected group without approval": (
        CRD_PLURAL,
        definition(group="example.k8s.io"),
        {"metadata.annotations[api-approved.kubernetes.io]"},
    ),
}


@pytest.mark.parametrize(("plural", "body", "fields"), REFUSED.values(), ids=REFUSED.keys())
def test_creation_is_refused(server: Server, plural: str, body: Json, fields: set[str]) -> None:
    with pytest.raises(ApiError) as caught:
        server.create(plural, body)
    assert caught.value.code == 422
    assert {cause["field"] for cause in caught.value.body()["details"]["causes"]} == fields


REFUSED_CHANGES: dict[str, tuple[str, Json, Json, set[str]]] = {
    "the type of a secret": ("secrets", named(), {"type": "other"}, {"type"}),
    "the data of an immutable secret": (
        "secrets",
        named(immutable=True, stringData={"a": "1"}),
        {"stringData": {"a": "2"}},
        {"data"},
    ),
    "the class of a claim": ("persistentvolumeclaims", claim(), {"spec": {"storageClassName": "b"}}, {"spec"}),
    "the size of a claim that is not bound": (
        "persistentvolumeclaims",
        claim(),
        {"spec": {"resources": {"requests": {"storage": "2Gi"}}}},
        {"spec"},
    ),
    "the provisioner of a class": ("storageclasses", named(provisioner="a"), {"provisioner": "b"}, {"provisioner"}),
    "the parameters of a class": (
        "storageclasses",
        named(provisioner="a"),
        {"parameters": {"a": "b"}},
        {"parameters"},
    ),
}


@pytest.mark.parametrize(("plural", "body", "patch", "fields"), REFUSED_CHANGES.values(), ids=REFUSED_CHANGES.keys())
def test_a_change_is_refused(server: Server, plural: str, body: Json, patch: Json, fields: set[str]) -> None:
    server.create(plural, body)
    with pytest.raises(ApiError) as caught:
        server.merge(plural, "x", patch)
    assert caught.value.code == 422
    assert {cause["field"] for cause in caught.value.body()["details"]["causes"]} == fields


def test_the_volume_of_a_claim_may_be_filled_in(server: Server) -> None:
    server.create("persistentvolumeclaims", claim())
    assert server.merge("persistentvolumeclaims", "x", {"spec": {"volumeName": "v"}})["spec"]["volumeName"] == "v"


def test_the_data_of_an_immutable_secret_may_stay(server: Server) -> None:
    server.create("secrets", named(immutable=True, stringData={"a": "1"}))
    assert server.merge("secrets", "x", {"metadata": {"labels": {"a": "b"}}})["data"] == {"a": "MQ=="}


def test_a_generated_name_has_the_given_beginning(server: Server) -> None:
    names = {server.create("secrets", {"metadata": {"generateName": "a-"}})["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("a-") for name in names)


def test_what_is_applied_is_created(server: Server) -> None:
    outcome = server.apply("configmaps", "x", {"data": {"a": "1"}})
    assert outcome.created
    assert outcome.stored.object["data"] == {"a": "1"}
    (entry,) = outcome.stored.object["metadata"]["managedFields"]
    assert (entry["manager"], entry["operation"]) == ("me", "Apply")
    assert entry["fieldsV1"] == {"f:data": {"f:a": {}}}


def test_applying_again_writes_nothing(server: Server) -> None:
    first = server.apply("configmaps", "x", {"data": {"a": "1"}})
    second = server.apply("configmaps", "x", {"data": {"a": "1"}})
    assert (second.created, second.stored.version) == (False, first.stored.version)


def test_what_is_no_longer_applied_goes(server: Server) -> None:
    server.apply("configmaps", "x", {"data": {"a": "1", "b": "2"}})
    server.merge("configmaps", "x", {"data": {"c": "3"}})
    assert server.apply("configmaps", "x", {"data": {"b": "2"}}).stored.object["data"] == {"b": "2", "c": "3"}


def test_appliers_that_disagree_conflict_unless_one_insists(server: Server) -> None:
    server.apply("configmaps", "x", {"data": {"a": "1"}})
    with pytest.raises(ApiError) as caught:
        server.apply("configmaps", "x", {"data": {"a": "2"}}, "you")
    assert caught.value.code == 409
    assert server.apply("configmaps", "x", {"data": {"a": "2"}}, "you", force=True).stored.object["data"] == {"a": "2"}


def test_an_applier_has_a_name(server: Server) -> None:
    with pytest.raises(ApiError) as caught:
        server.apply("configmaps", "x", {"data": {"a": "1"}}, manager="")
    assert caught.value.code == 422


def test_appliers_of_owners_keep_each_others(server: Server) -> None:
    def owner(uid: str) -> Json:
        return {"apiVersion": "v1", "kind": "Secret", "name": uid, "uid": uid}

    server.apply("configmaps", "x", {"metadata": {"ownerReferences": [owner("1")]}})
    outcome = server.apply("configmaps", "x", {"metadata": {"ownerReferences": [owner("2")]}}, "you")
    owners = outcome.stored.object["metadata"]["ownerReferences"]
    assert [each["uid"] for each in owners] == ["1", "2"]
    outcome = server.apply("configmaps", "x", {"metadata": {}})
    owners = outcome.stored.object["metadata"]["ownerReferences"]
    assert [each["uid"] for each in owners] == ["2"]


TWO_VERSIONS = definition(
    versions=[
        {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {
                "openAPIV3Schema": {
                    "type": "object",
                    "properties": {"old": {"type": "string"}, "new": {"type": "string"}},
                }
            },
        },
        {
            "name": "v1beta1",
            "served": True,
            "storage": False,
            "deprecated": True,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"old": {"type": "string"}}}},
        },
    ]
)


class TestVersions:
    @pytest.fixture
    def widgets(self, server: Server) -> Server:
        server.catalogue.add(from_definition(server.create(f"{CRD_PLURAL}.{CRD_GROUP}", TWO_VERSIONS)))
        return server

    def test_an_object_is_served_in_each_with_what_that_knows(self, widgets: Server) -> None:
        widgets.create("widgets", {"apiVersion": "example.com/v1", "kind": "Widget", **named(old="a", new="b")})
        target = widgets.target("widgets", "x", "v1beta1")
        stored = widgets.registry.read(target)
        shown = msgspec.json.decode(Presentation(target.kind, target.version).one(stored, Notes()))
        assert (shown["apiVersion"], shown["old"], "new" in shown) == ("example.com/v1beta1", "a", False)
        assert widgets.registry.read(target).object["new"] == "b"

    def test_an_object_is_stored_in_one(self, widgets: Server) -> None:
        target = widgets.target("widgets", version="v1beta1")
        body = {"apiVersion": "example.com/v1beta1", "kind": "Widget", **named(old="a")}
        assert widgets.registry.create(target, body, WriteOptions()).stored.object["apiVersion"] == "example.com/v1"

    def test_a_deprecated_one_names_the_better(self, widgets: Server) -> None:
        assert (
            widgets.target("widgets", version="v1beta1").version.deprecation_warning
            == "example.com/v1beta1 Widget is deprecated; use example.com/v1 Widget"
        )


def test_versions_are_preferred_by_maturity_and_number() -> None:
    names = ["v1alpha1", "v10", "foo", "v2", "v1beta2", "v1beta10", "v1"]
    assert sorted(names, key=version_priority, reverse=True) == [
        "v10",
        "v2",
        "v1",
        "v1beta10",
        "v1beta2",
        "v1alpha1",
        "foo",
    ]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "whole"),
        ("*/*", "whole"),
        ("application/json", "whole"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "table"),
        ("application/vnd.kubernetes.protobuf;as=Table,application/json;as=Table;v=v1;g=meta.k8s.io", "table"),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "partial"),
        ("application/json;as=Unknown,application/json", "whole"),
    ],
)
def test_the_form_of_an_answer(accept: str, form: str) -> None:
    assert form_of(accept) == form


def test_a_dry_run_of_a_deletion_deletes_nothing(server: Server) -> None:
    server.create("secrets", named())
    target = server.target("secrets", "x")
    assert server.registry.delete(target, DeleteOptions(dry_run=True)).gone
    assert server.registry.read(target).object["metadata"]["name"] == "x"
