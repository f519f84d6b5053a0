"""What the manifests say to the programs and give to them: flags, ports, probes, rights, and as little as can be."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from snapshotter import __version__
from snapshotter.cli.flags import parse
from snapshotter.plan import permissions
from snapshotter.settings import ControllerSettings, SidecarSettings, WebhookSettings, host_and_port
from snapshotter.settings.topics import HEALTH_PATHS
from snapshotter.testing.driver.__main__ import parser as driver_parser
from snapshotter.webhook.app import ADMISSION_PATHS
from tests.manifests.rendering import (
    MANIFESTS,
    Container,
    Json,
    Workload,
    build,
    files_of,
    objects_in,
    of_kind,
    one,
    overlay,
    workloads,
    written,
)

DIRECTORIES = ["csi-snapshotter", "csi-snapshotter/node-deployment", "snapshot-controller", "webhook"]
WORKLOADS = {directory: workloads(written(directory))[0] for directory in DIRECTORIES}
CONTAINERS = {
    f"{directory}: {container.name}": (workload, container)
    for directory, workload in WORKLOADS.items()
    for container in workload.containers
}
PROGRAMS = {name: pair for name, pair in CONTAINERS.items() if pair[1].name != "driver"}
PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def given_flags(container: Container) -> dict[str, str]:
    """The flags of a command line, each as `--name=value`, so that no value can be taken for a flag."""
    found = {}
    for argument in container.arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        assert argument.startswith("--"), argument
        assert equals, argument
        found[name] = value
    return found


def sidecar_settings(container: Container) -> SidecarSettings:
    return parse("csi-snapshotter", SidecarSettings, container.arguments, container.environment)


def webhook_settings(container: Container) -> WebhookSettings:
    return parse("snapshot-conversion-webhook", WebhookSettings, container.arguments, container.environment)


def controller_settings(container: Container) -> ControllerSettings:
    return parse("snapshot-controller", ControllerSettings, container.arguments, container.environment)


SETTINGS: dict[str, Callable[[Container], SidecarSettings | ControllerSettings | WebhookSettings]] = {
    "csi-snapshotter": sidecar_settings,
    "snapshot-controller": controller_settings,
    "snapshot-conversion-webhook": webhook_settings,
}


@pytest.mark.parametrize("container", [each for _, each in PROGRAMS.values()], ids=PROGRAMS.keys())
def test_a_program_takes_its_flags(container: Container, capsys: pytest.CaptureFixture[str]) -> None:
    assert SETTINGS[container.program](container).mistakes() == []
    # No flag is deprecated.
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("program", SETTINGS)
def test_a_flag_that_a_program_lacks_would_be_seen(program: str) -> None:
    (container, *_) = [each for _, each in PROGRAMS.values() if each.program == program]
    wrong = Container(container.object | {"args": [*container.object["args"], "--leader-elections=true"]})
    with pytest.raises(SystemExit):
        SETTINGS[program](wrong)


def test_one_replica_of_the_sidecar_works_at_a_time_and_one_on_each_node() -> None:
    elected = sidecar_settings(CONTAINERS["csi-snapshotter: csi-snapshotter"][1])
    assert (elected.election.enabled, elected.node.enabled) == (True, False)
    # The lease lives where the pod does.
    assert elected.election.pod_namespace == "metadata.namespace"
    on_nodes = sidecar_settings(CONTAINERS["csi-snapshotter/node-deployment: csi-snapshotter"][1])
    assert (on_nodes.election.enabled, on_nodes.node.enabled) == (False, True)
    assert on_nodes.node.name == "spec.nodeName"


def test_one_replica_of_the_controller_works_at_a_time() -> None:
    settings = controller_settings(CONTAINERS["snapshot-controller: snapshot-controller"][1])
    assert settings.election.enabled
    assert settings.election.pod_namespace == "metadata.namespace"
    assert not settings.control.distributed


def test_pods_live_longer_than_the_work_in_hand() -> None:
    for directory in ("csi-snapshotter", "csi-snapshotter/node-deployment"):
        workload, container = CONTAINERS[f"{directory}: csi-snapshotter"]
        grace = sidecar_settings(container).work.shutdown_grace
        assert grace < workload.pod["terminationGracePeriodSeconds"]
    workload, container = CONTAINERS["snapshot-controller: snapshot-controller"]
    assert controller_settings(container).work.shutdown_grace < workload.pod["terminationGracePeriodSeconds"]
    workload, container = CONTAINERS["webhook: snapshot-conversion-webhook"]
    end = webhook_settings(container).end
    assert end.delay + end.grace < workload.pod["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("directory", ["csi-snapshotter", "csi-snapshotter/node-deployment"])
def test_the_driver_takes_its_options_and_meets_the_sidecar_at_a_socket(directory: str) -> None:
    _, container = CONTAINERS[f"{directory}: driver"]
    assert container.object["command"] == ["python", "-m", "snapshotter.testing.driver"]
    options = driver_parser().parse_args(container.arguments)
    settings = sidecar_settings(CONTAINERS[f"{directory}: csi-snapshotter"][1])
    assert str(options.socket) == settings.driver.csi_address
    for place in (options.socket, options.state):
        mounts = [Path(each["mountPath"]) for each in container.object["volumeMounts"]]
        assert any(place.is_relative_to(mount) for mount in mounts)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_command_is_a_program_of_ours_where_upstreams_images_have_theirs(name: str) -> None:
    container = PROGRAMS[name][1]
    assert container.object["command"] == [f"/{container.program}"]
    assert container.program == container.name
    assert container.program in PROJECT["scripts"]


@pytest.mark.parametrize("container", [each for _, each in CONTAINERS.values()], ids=CONTAINERS.keys())
def test_the_image_is_that_of_this_version(container: Container) -> None:
    assert container.object["image"] == f"example.com/snapshotter:{__version__}"


@pytest.mark.parametrize(("workload", "container"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_a_program_serves_and_is_asked_where_its_flags_say(workload: Workload, container: Container) -> None:
    flags, probes = given_flags(container), dict(container.probes)
    host, port = host_and_port(flags["http-endpoint"])
    assert (host, container.ports["http"]) == (None, port)
    if "port" in flags:
        assert container.ports["webhook"] == int(flags["port"])
    assert {"livenessProbe", "readinessProbe"} <= probes.keys()
    for probe in probes.values():
        assert probe["path"] in HEALTH_PATHS
        assert probe["port"] in container.ports
        assert probe.get("scheme", "HTTP") == ("HTTPS" if probe["port"] == "webhook" else "HTTP")
    assert probes["livenessProbe"]["path"] == "/healthz"
    assert probes["readinessProbe"]["path"] == "/readyz"
    # Nobody but root may listen below.
    assert min(container.ports.values()) >= 1024
    assert len(set(workload.ports.values())) == len(workload.ports)


@pytest.mark.parametrize("directory", ["csi-snapshotter", "snapshot-controller", "webhook"])
def test_the_network_is_open_where_the_programs_serve_and_not_elsewhere(directory: str) -> None:
    policy = of_kind(written(directory), "NetworkPolicy")[0]["spec"]
    opened = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    assert opened == WORKLOADS[directory].ports.keys()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    reached = {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert reached == (set() if directory == "webhook" else {443, 6443})


def test_the_service_leads_to_the_webhook() -> None:
    (service,) = of_kind(written("webhook"), "Service")
    (port,) = service["spec"]["ports"]
    assert port["port"] == 443
    assert port["targetPort"] in WORKLOADS["webhook"].ports


def test_the_webhook_finds_its_certificate_in_the_secret() -> None:
    workload, container = CONTAINERS["webhook: snapshot-conversion-webhook"]
    (mount,) = container.object["volumeMounts"]
    (volume,) = workload.pod["volumes"]
    assert mount["name"] == volume["name"]
    # A single file would stay as it was when the pod began.
    assert "subPath" not in mount
    assert mount["readOnly"]
    tls = webhook_settings(container).tls
    assert tls.certificate_file == f"{mount['mountPath']}/tls.crt"
    assert tls.key_file == f"{mount['mountPath']}/tls.key"
    assert volume["secret"] == {"secretName": "snapshot-conversion-webhook-secret", "defaultMode": 0o440}
    certificates = of_kind(written("webhook/cert-manager"), "Certificate")
    assert volume["secret"]["secretName"] in {each["spec"]["secretName"] for each in certificates}


def test_the_check_of_default_classes_is_asked_for_where_it_is_served() -> None:
    (configuration,) = of_kind(written("webhook/default-class-admission"), "ValidatingWebhookConfiguration")
    (webhook,) = configuration["webhooks"]
    (service,) = of_kind(written("webhook"), "Service")
    assert webhook["clientConfig"]["service"] == {
        "name": service["metadata"]["name"],
        "namespace": service["metadata"]["namespace"],
        "path": ADMISSION_PATHS[0],
        "port": service["spec"]["ports"][0]["port"],
    }
    asked = {(rule["apiGroups"][0], rule["resources"][0], *rule["operations"]) for rule in webhook["rules"]}
    assert asked == {
        ("snapshot.storage.k8s.io", "volumesnapshotclasses", "CREATE", "UPDATE"),
        ("groupsnapshot.storage.k8s.io", "volumegroupsnapshotclasses", "CREATE", "UPDATE"),
    }
    # A webhook that is away keeps nobody from making a class.
    assert webhook["failurePolicy"] == "Ignore"


# The profile `restricted` of the pod security standards, and a root file system that is not written to.

ALLOWED_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected"}


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS.keys())
def test_a_pod_is_restricted(workload: Workload) -> None:
    pod = workload.pod
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & pod.keys()
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True
    assert min(security["runAsUser"], security["runAsGroup"]) > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    for volume in pod.get("volumes", []):
        assert volume.keys() - {"name"} <= {*ALLOWED_VOLUMES, "secret"}


@pytest.mark.parametrize("container", [each for _, each in CONTAINERS.values()], ids=CONTAINERS.keys())
def test_a_container_is_restricted_and_has_its_share(container: Container) -> None:
    assert container.object["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    resources = container.object["resources"]
    assert {"cpu", "memory"} == resources["requests"].keys()
    # A limit of CPU would slow down the renewal of a lease.
    assert {"memory"} == resources["limits"].keys()


@pytest.mark.parametrize("directory", ["csi-snapshotter", "snapshot-controller", "webhook"])
def test_of_two_replicas_one_is_left(directory: str) -> None:
    assert WORKLOADS[directory].object["spec"]["replicas"] == 2
    (budget,) = of_kind(written(directory), "PodDisruptionBudget")
    assert budget["spec"]["maxUnavailable"] == 1
    (spread,) = WORKLOADS[directory].pod["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"


def test_no_pod_has_a_token_that_it_does_not_use() -> None:
    (account,) = of_kind(written("webhook"), "ServiceAccount")
    assert account["automountServiceAccountToken"] is False
    assert WORKLOADS["webhook"].pod["automountServiceAccountToken"] is False


@pytest.mark.kustomize
def test_the_check_of_default_classes_turns_on_what_it_needs(tmp_path: Path) -> None:
    objects = build(overlay(tmp_path, "webhook", "webhook/default-class-admission"))
    (workload,) = workloads(objects)
    assert webhook_settings(workload.containers[0]).admission.enabled
    assert workload.pod["automountServiceAccountToken"] is True
    assert one(objects, "ServiceAccount", "snapshot-conversion-webhook")["automountServiceAccountToken"] is True
    assert {
        port["port"] for rule in of_kind(objects, "NetworkPolicy")[0]["spec"]["egress"] for port in rule["ports"]
    } == {443, 6443}


@pytest.mark.kustomize
def test_distributed_snapshotting_is_turned_on_by_its_flag(tmp_path: Path) -> None:
    objects = build(overlay(tmp_path, "snapshot-controller", "snapshot-controller/distributed-snapshotting"))
    (container,) = workloads(objects)[0].containers
    assert controller_settings(container).mistakes() == []
    assert controller_settings(container).control.distributed


@pytest.mark.kustomize
def test_on_nodes_there_is_one_workload_and_no_election(tmp_path: Path) -> None:
    objects = build(overlay(tmp_path, "csi-snapshotter", "csi-snapshotter/node-deployment"))
    assert sorted(each["kind"] for each in objects) == [
        "ClusterRole",
        "ClusterRoleBinding",
        "DaemonSet",
        "NetworkPolicy",
        "ServiceAccount",
    ]


def test_on_nodes_the_sidecar_differs_in_nothing_else() -> None:
    ours, theirs = (
        CONTAINERS[f"{directory}: csi-snapshotter"][1].object
        for directory in ("csi-snapshotter", "csi-snapshotter/node-deployment")
    )
    assert {key for key in ours if ours[key] != theirs[key]} == {"args", "env"}
    assert ours.keys() == theirs.keys()


# Rights: the roles give what the programs use, and nothing else.

Rights = set[tuple[str, str, str]]
"""Verb, API group and resource."""


def used(table: tuple[permissions.Permission, ...], *, without: str = "") -> Rights:
    return {(row.verb, row.group, row.full_resource) for row in table if row.resource != without}


def granted(objects: tuple[Json, ...]) -> Rights:
    """What the roles give to those that are bound to them. Fails the test for a role that is bound to nobody."""
    bound = {
        (each["roleRef"]["kind"], each["roleRef"]["name"])
        for each in of_kind(objects, "ClusterRoleBinding", "RoleBinding")
    }
    found: Rights = set()
    for role in of_kind(objects, "ClusterRole", "Role"):
        assert (role["kind"], role["metadata"]["name"]) in bound
        for rule in role["rules"]:
            assert rule.keys() <= {"apiGroups", "resources", "verbs", "resourceNames"}
            new = {(v, g, r) for v in rule["verbs"] for g in rule["apiGroups"] for r in rule["resources"]}
            # Nothing is given twice, and nothing by a star.
            assert not new & found or rule["resources"] == ["leases"]
            assert not any("*" in word for each in new for word in each)
            found |= new
    return found


BASES: dict[str, Rights] = {
    "csi-snapshotter": used(permissions.sidecar(), without="secrets"),
    "snapshot-controller": used(permissions.controller()),
    "webhook": used(permissions.webhook(default_class_admission=False)),
}


@pytest.mark.parametrize(("directory", "rights"), BASES.items(), ids=BASES.keys())
def test_the_roles_give_what_the_program_uses(directory: str, rights: Rights) -> None:
    assert granted(written(directory)) == rights


COMPONENTS: dict[str, tuple[str, Rights]] = {
    "csi-snapshotter/secrets": ("csi-snapshotter", used(permissions.sidecar())),
    "csi-snapshotter/secrets-by-name": ("csi-snapshotter", used(permissions.sidecar())),
    "csi-snapshotter/node-deployment": (
        "csi-snapshotter",
        used(permissions.sidecar(election=False), without="secrets"),
    ),
    "snapshot-controller/distributed-snapshotting": (
        "snapshot-controller",
        used(permissions.controller(distributed_snapshotting=True)),
    ),
    "webhook/default-class-admission": ("webhook", used(permissions.webhook())),
    "webhook/cert-manager": ("webhook", set()),
}


@pytest.mark.kustomize
@pytest.mark.parametrize(("component", "expected"), COMPONENTS.items(), ids=COMPONENTS.keys())
def test_a_component_gives_what_its_feature_uses(component: str, expected: tuple[str, Rights], tmp_path: Path) -> None:
    base, rights = expected
    assert granted(build(overlay(tmp_path, base, component))) == rights


RIGHTS = sorted(file for file in MANIFESTS.rglob("*.yaml") if "verbs:" in file.read_text())


@pytest.mark.parametrize("file", RIGHTS, ids=[str(file.relative_to(MANIFESTS)) for file in RIGHTS])
def test_a_rule_says_what_it_is_for(file: Path) -> None:
    lines = [line.strip() for line in file.read_text().splitlines()]
    rules = [number for number, line in enumerate(lines) if re.match(r"(- )?apiGroups: .*", line)]
    if file.parent.name == "user-roles":
        # There the roles are explained, not each rule.
        assert lines[0].startswith("#")
        return
    for number in rules:
        # The comment of a rule that a patch adds stands above the patch.
        above = number - 4 if lines[number - 1] == "value:" else number - 1
        assert lines[above].startswith("#"), f"line {number + 1}"


def test_leases_and_secrets_are_read_in_one_namespace_alone() -> None:
    for directory in ("csi-snapshotter", "csi-snapshotter/secrets-by-name", "snapshot-controller"):
        for role in of_kind(written(directory), "ClusterRole"):
            named = {resource for rule in role["rules"] for resource in rule["resources"]}
            assert not named & {"leases", "secrets"}


def test_secrets_are_read_by_name() -> None:
    (role,) = of_kind(written("csi-snapshotter/secrets-by-name"), "Role")
    (rule,) = role["rules"]
    assert rule == {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["csi-hostpath-credentials"]} | {
        "verbs": ["get"]
    }
    # The name is that of the example.
    example = next(file for file in files_of("examples") if file.name == "snapshotclass-with-secret.yaml")
    (secret,) = of_kind(objects_in(example.read_text()), "Secret")
    assert secret["metadata"] == {"name": rule["resourceNames"][0], "namespace": role["metadata"]["namespace"]}


@pytest.mark.parametrize("directory", ["csi-snapshotter", "snapshot-controller", "webhook"])
def test_rights_are_given_to_the_account_of_the_pods(directory: str) -> None:
    (account,) = of_kind(written(directory), "ServiceAccount")
    workload = WORKLOADS[directory]
    own = {key: account["metadata"][key] for key in ("name", "namespace")}
    assert workload.pod["serviceAccountName"] == own["name"]
    assert workload.object["metadata"]["namespace"] == own["namespace"]
    for binding in of_kind(written(directory), "ClusterRoleBinding", "RoleBinding"):
        assert binding["subjects"] == [{"kind": "ServiceAccount", **own}]


# The rights of users.

NAMESPACED = {("snapshot.storage.k8s.io", "volumesnapshots"), ("groupsnapshot.storage.k8s.io", "volumegroupsnapshots")}
CLASSES = {
    ("snapshot.storage.k8s.io", "volumesnapshotclasses"),
    ("groupsnapshot.storage.k8s.io", "volumegroupsnapshotclasses"),
}
READ = {"get", "list", "watch"}
WRITE = {"create", "update", "patch", "delete", "deletecollection"}
AGGREGATED = "rbac.authorization.k8s.io/aggregate-to-"


def rules(role: Json) -> dict[tuple[str, str], set[str]]:
    return {(rule["apiGroups"][0], rule["resources"][0]): set(rule["verbs"]) for rule in role["rules"]}


def aggregated(role: Json) -> set[str]:
    labels: dict[str, Any] = role["metadata"].get("labels", {})
    return {name.removeprefix(AGGREGATED) for name, value in labels.items() if value == "true"}


@pytest.mark.parametrize(
    ("name", "expected", "part_of"),
    [
        ("snapshots-view", dict.fromkeys(NAMESPACED, READ), {"view", "edit", "admin"}),
        ("snapshots-edit", dict.fromkeys(NAMESPACED, WRITE), {"edit", "admin"}),
        ("snapshot-classes-view", dict.fromkeys(CLASSES, READ), set()),
    ],
)
def test_a_role_of_users(name: str, expected: dict[tuple[str, str], set[str]], part_of: set[str]) -> None:
    role = one(written("user-roles"), "ClusterRole", name)
    assert rules(role) == expected
    assert aggregated(role) == part_of


def test_everybody_reads_classes_and_nobody_is_given_contents() -> None:
    (binding,) = of_kind(written("user-roles"), "ClusterRoleBinding")
    assert binding["roleRef"]["name"] == "snapshot-classes-view"
    assert [subject["name"] for subject in binding["subjects"]] == ["system:authenticated"]
    named = {
        resource
        for role in of_kind(written("user-roles"), "ClusterRole")
        for rule in role["rules"]
        for resource in rule["resources"]
    }
    assert named == {resource for _, resource in NAMESPACED | CLASSES}
