"""What manifests put into a cluster beside our own kinds. Nobody runs pods here: the objects are what is tested."""

import asyncio
from typing import Any

import pytest

from tests.contract.client import SOON_SECONDS, STRATEGIC, Answer, Client, Json, Kubectl, rows
from tests.contract.objects import SNAPSHOTS, name_of, new_name, snapshot

pytestmark = pytest.mark.asyncio(loop_scope="session")

CORE = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"
WORKLOADS = {"Deployment": "deployments", "DaemonSet": "daemonsets", "StatefulSet": "statefulsets"}
LABELS = {"app": "a"}


def container(**fields: Any) -> Json:
    return {"name": "main", "image": "registry.example.com/a:v1", **fields}


def workload(kind: str, *containers: Json, **spec: Any) -> Json:
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": list(containers) or [container()]}}
    fields = {"selector": {"matchLabels": LABELS}, "template": template}
    metadata = {"name": new_name(kind.lower())}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": fields | spec}


async def create(api: Client, given: Json, **query: str) -> Answer:
    return await api.create(f"{APPS}/{WORKLOADS[given['kind']]}", given, **query)


POD: Json = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
CONTAINER: Json = {
    "resources": {},
    "terminationMessagePath": "/dev/termination-log",
    "terminationMessagePolicy": "File",
}
COMPLETED: dict[str, Json] = {
    "Deployment": {
        "replicas": 1,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    },
    "DaemonSet": {
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        "revisionHistoryLimit": 10,
    },
    "StatefulSet": {
        "replicas": 1,
        "serviceName": "",
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    },
}


@pytest.mark.parametrize("kind", WORKLOADS)
async def test_a_workload_is_completed(api: Client, kind: str) -> None:
    given = workload(kind, container(ports=[{"containerPort": 80, "name": "http"}]))
    made = (await create(api, given)).ok()
    spec = made["spec"]
    assert COMPLETED[kind].items() <= spec.items()
    (pod_container,) = spec["template"]["spec"]["containers"]
    assert POD.items() <= spec["template"]["spec"].items()
    assert CONTAINER.items() <= pod_container.items()
    assert pod_container["ports"] == [{"containerPort": 80, "name": "http", "protocol": "TCP"}]
    assert made["metadata"]["generation"] == 1
    assert "status" in made


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("a", "Always"),
        ("a:latest", "Always"),
        ("a:v1", "IfNotPresent"),
        ("example.com:5000/a", "Always"),
        (f"a@sha256:{'0' * 64}", "IfNotPresent"),
    ],
)
async def test_an_image_is_pulled_again_unless_its_tag_stays(api: Client, image: str, policy: str) -> None:
    made = (await create(api, workload("Deployment", container(image=image)), dryRun="All")).ok()
    assert made["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] == policy


REFUSED: dict[str, tuple[Json, set[str]]] = {
    "an empty selector": ({"selector": {}}, {"spec.selector"}),
    "a selector of others": ({"selector": {"matchLabels": {"app": "b"}}}, {"spec.template.metadata.labels"}),
    "no containers": (
        {"template": {"metadata": {"labels": LABELS}, "spec": {}}},
        {"spec.template.spec.containers"},
    ),
    "broken containers": (
        {
            "template": {
                "metadata": {"labels": LABELS},
                "spec": {"containers": [{"name": "a"}, {"name": "a", "image": "i"}, {"image": "i"}]},
            }
        },
        {
            "spec.template.spec.containers[0].image",
            "spec.template.spec.containers[1].name",
            "spec.template.spec.containers[2].name",
        },
    ),
}


@pytest.mark.parametrize("kind", WORKLOADS)
@pytest.mark.parametrize(("spec", "fields"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_workload_is_refused_with(api: Client, kind: str, spec: Json, fields: set[str]) -> None:
    answer = await create(api, workload(kind, **spec))
    assert (answer.status, set(answer.causes)) == (422, fields)


@pytest.mark.parametrize("kind", WORKLOADS)
async def test_a_workload_without_a_selector_is_refused(api: Client, kind: str) -> None:
    answer = await create(api, workload(kind, selector=None))
    # A DaemonSet is not told that it lacks one, only that it does not match.
    lacks = set() if kind == "DaemonSet" else {"spec.selector"}
    assert (answer.status, set(answer.causes)) == (422, lacks | {"spec.template.metadata.labels"})


async def test_a_selector_does_not_change(api: Client) -> None:
    given = workload("Deployment")
    (await create(api, given)).ok()
    other = {"selector": {"matchLabels": {"app": "b"}}, "template": {"metadata": {"labels": {"app": "b"}}}}
    answer = await api.merge(f"{APPS}/deployments/{name_of(given)}", {"spec": other})
    assert (answer.status, set(answer.causes)) == (422, {"spec.selector"})


async def test_containers_and_what_is_in_them_are_merged_by_name(api: Client) -> None:
    variables = [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    given = workload("Deployment", container(env=variables), container(name="side", image="s:v1"))
    (await create(api, given)).ok()
    change = {"name": "main", "image": "other:v2", "env": [{"name": "B", "value": "3"}]}
    patch = {"spec": {"template": {"spec": {"containers": [change]}}}}
    path = f"{APPS}/deployments/{name_of(given)}"
    made = (await api.request("PATCH", path, patch, STRATEGIC)).ok()
    found = {each["name"]: each for each in made["spec"]["template"]["spec"]["containers"]}
    assert (found["main"]["image"], found["side"]["image"]) == ("other:v2", "s:v1")
    assert found["main"]["env"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}]
    assert made["metadata"]["generation"] == 2


@pytest.mark.kubectl
async def test_a_deployment_is_applied_again_with_less(kubectl: Kubectl) -> None:
    many = workload("Deployment", container(args=["--a"], env=[{"name": "A", "value": "1"}]), container(name="side"))
    (await kubectl.apply(many)).ok()
    few = many | {"spec": workload("Deployment", container(args=["--b"]))["spec"]}
    (await kubectl.apply(few)).ok()
    printed = await kubectl("get", "deploy", name_of(many), "-o", "jsonpath={.spec.template.spec.containers[*].args}")
    assert printed.ok() == '["--b"]'
    shown = rows((await kubectl("get", "deploy", name_of(many))).ok())
    assert shown[0] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert shown[1][:4] == [name_of(many), "0/1", "0", "0"]


def service(*ports: Json, **spec: Any) -> Json:
    fields = {"selector": LABELS, "ports": list(ports), **spec}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": new_name("service")}, "spec": fields}


class TestService:
    async def test_has_an_address_of_its_own_that_stays(self, api: Client) -> None:
        given = service({"port": 443, "targetPort": "https"})
        spec = (await api.create(f"{CORE}/services", given)).ok()["spec"]
        assert spec["ports"] == [{"port": 443, "targetPort": "https", "protocol": "TCP"}]
        assert (spec["type"], spec["sessionAffinity"], spec["ipFamilies"]) == ("ClusterIP", "None", ["IPv4"])
        assert spec["clusterIP"].startswith("10.")
        assert spec["clusterIPs"] == [spec["clusterIP"]]
        path = f"{CORE}/services/{name_of(given)}"
        again = (await api.merge(path, {"spec": {"selector": {"app": "b"}}})).ok()["spec"]
        assert again["clusterIP"] == spec["clusterIP"]

    async def test_without_an_address_has_none(self, api: Client) -> None:
        given = service({"port": 12345}, clusterIP="None")
        spec = (await api.create(f"{CORE}/services", given)).ok()["spec"]
        assert (spec["clusterIP"], spec["ports"][0]["targetPort"]) == ("None", 12345)

    async def test_names_its_ports_when_it_has_several(self, api: Client) -> None:
        answer = await api.create(f"{CORE}/services", service({"port": 1}, {"port": 2, "name": "b"}))
        assert (answer.status, answer.reasons()) == (422, {"spec.ports[0].name": "FieldValueRequired"})

    async def test_has_ports(self, api: Client) -> None:
        answer = await api.create(f"{CORE}/services", service())
        assert (answer.status, answer.reasons()) == (422, {"spec.ports": "FieldValueRequired"})
        odd = await api.create(f"{CORE}/services", service({"port": 70000, "targetPort": 1}))
        assert (odd.status, set(odd.causes)) == (422, {"spec.ports[0].port"})


async def test_a_network_policy_is_about_what_it_has_rules_for(api: Client) -> None:
    path = "/apis/networking.k8s.io/v1/namespaces/default/networkpolicies"

    async def made(**spec: Any) -> Json:
        body = {"metadata": {"name": new_name("policy")}, "spec": {"podSelector": {}, **spec}}
        found: Json = (await api.create(path, body)).ok()["spec"]
        return found

    assert (await made())["policyTypes"] == ["Ingress"]
    both = await made(ingress=[{"ports": [{"port": 443}]}], egress=[{}])
    assert both["policyTypes"] == ["Ingress", "Egress"]
    assert both["ingress"] == [{"ports": [{"port": 443, "protocol": "TCP"}]}]


# Where a kind is, an object of it, and what the server makes of it.
COMPLETE: dict[str, tuple[str, Json, Json]] = {
    "a disruption budget": (
        "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
        {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}}},
        {"status": {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}},
    ),
    "a priority": (
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        {"value": 1000},
        {"value": 1000, "preemptionPolicy": "PreemptLowerPriority"},
    ),
    "a driver": (
        "/apis/storage.k8s.io/v1/csidrivers",
        {"spec": {"podInfoOnMount": True}},
        {
            "spec": {
                "attachRequired": True,
                "podInfoOnMount": True,
                "volumeLifecycleModes": ["Persistent"],
                "storageCapacity": False,
                "fsGroupPolicy": "ReadWriteOnceWithFSType",
                "requiresRepublish": False,
                "seLinuxMount": False,
            }
        },
    ),
}


@pytest.mark.parametrize(("path", "given", "expected"), COMPLETE.values(), ids=COMPLETE.keys())
async def test_it_completes(api: Client, path: str, given: Json, expected: Json) -> None:
    name = new_name("complete")
    made = (await api.create(path, {"metadata": {"name": name}, **given})).ok()
    assert expected.items() <= made.items()
    (await api.delete(f"{path}/{name}")).ok()


@pytest.mark.kubectl
@pytest.mark.parametrize(
    "name", ["deploy", "ds", "sts", "svc", "pdb", "netpol", "quota", "pc", "csidrivers", "cm", "sa", "roles"]
)
async def test_kubectl_knows_the_kinds_by_their_short_names(kubectl: Kubectl, name: str) -> None:
    assert (await kubectl("get", name)).code == 0


COUNTED = "count/volumesnapshots.snapshot.storage.k8s.io"


async def new_namespace(api: Client) -> str:
    name = new_name("limited")
    (await api.create("/api/v1/namespaces", {"metadata": {"name": name}})).ok()
    return name


async def wait_for_usage(api: Client, path: str, **used: str) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while (await api.get(path)).ok()["status"].get("used") != used:  # noqa: ASYNC110 - one can only ask
            await asyncio.sleep(0.05)


@pytest.mark.controllers
async def test_a_quota_counts_and_limits_what_is_in_its_namespace(api: Client) -> None:
    home = await new_namespace(api)
    here = SNAPSHOTS.replace("/default/", f"/{home}/")
    quota = f"/api/v1/namespaces/{home}/resourcequotas"
    hard = {COUNTED: 1, "count/configmaps": "2"}
    (await api.create(quota, {"metadata": {"name": "few"}, "spec": {"hard": hard}})).ok()
    await wait_for_usage(api, f"{quota}/few", **{COUNTED: "0", "count/configmaps": "0"})
    first, second = snapshot(), snapshot()
    (await api.create(here, first)).ok()
    refused = await api.create(here, second)
    assert (refused.status, refused.reason) == (403, "Forbidden")
    assert refused.message == (
        f'volumesnapshots.snapshot.storage.k8s.io "{name_of(second)}" is forbidden: exceeded quota: few, '
        f"requested: {COUNTED}=1, used: {COUNTED}=1, limited: {COUNTED}=1"
    )
    assert (await api.create(here, second, dryRun="All")).status == 403
    (await api.create(SNAPSHOTS, second)).ok()
    assert (await api.get(f"{quota}/few")).ok()["status"]["hard"] == {COUNTED: "1", "count/configmaps": "2"}
    await wait_for_usage(api, f"{quota}/few", **{COUNTED: "1", "count/configmaps": "0"})
    (await api.delete(f"{here}/{name_of(first)}")).ok()
    await wait_for_usage(api, f"{quota}/few", **{COUNTED: "0", "count/configmaps": "0"})
    (await api.create(here, second)).ok()
    (await api.delete(f"/api/v1/namespaces/{home}/resourcequotas/few")).ok()
    async with asyncio.timeout(SOON_SECONDS):
        while (await api.create(here, snapshot())).status != 201:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)


@pytest.mark.controllers
@pytest.mark.parametrize("amount", ["-1", "1.5"])
async def test_a_quota_counts_in_whole_numbers(api: Client, amount: str) -> None:
    given = {"metadata": {"name": "odd"}, "spec": {"hard": {"count/pods": amount}}}
    answer = await api.create(f"{CORE}/resourcequotas", given)
    assert (answer.status, set(answer.causes)) == (422, {"spec.hard[count/pods]"})
