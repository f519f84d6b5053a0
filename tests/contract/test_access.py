"""Who may do what: tokens of accounts, roles and bindings, and questions about access."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from tests.contract.client import SOON_SECONDS, Answer, Client, Json, Kubectl
from tests.contract.objects import CONTENTS, content, name_of, new_name

pytestmark = pytest.mark.asyncio(loop_scope="session")

CORE = "/api/v1/namespaces/default"
ACCOUNTS = f"{CORE}/serviceaccounts"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1"
SNAPSHOT_GROUP = "snapshot.storage.k8s.io"
CONTENT_RESOURCE = f"volumesnapshotcontents.{SNAPSHOT_GROUP}"
TOKEN_REQUEST = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}


def rbac(kind: str, name: str, **members: Any) -> Json:
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, **members}


def rule(verbs: str, resources: str, group: str = "", *names: str) -> Json:
    """A rule of a role; verbs and resources are separated by blanks."""
    only = {"resourceNames": list(names)} if names else {}
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split(), **only}


def about(verb: str, resource: str, **more: str) -> Json:
    """What a review asks about, on a resource."""
    return {"resourceAttributes": {"verb": verb, "resource": resource, **more}}


def review(kind: str = "SelfSubjectAccessReview", **spec: Any) -> Json:
    return {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}


@dataclass(frozen=True)
class Account:
    """A ServiceAccount of the namespace default, and requests in its name."""

    name: str
    admin: Client
    api: Client

    @property
    def user(self) -> str:
        return f"system:serviceaccount:default:{self.name}"

    async def bind(self, *rules: Json, namespace: str = "", role: str = "", subject: Json | None = None) -> str:
        """Bind a new role with the rules (or the named ClusterRole) to the account; the name of the binding."""
        name = new_name("granted")
        kind, place = ("Role", f"{RBAC}/namespaces/{namespace}/") if namespace else ("ClusterRole", f"{RBAC}/")
        if not role:
            (await self.admin.create(f"{place}{kind.lower()}s", rbac(kind, name, rules=list(rules)))).ok()
        me = subject or {"kind": "ServiceAccount", "name": self.name, "namespace": "default"}
        ref = {"kind": "ClusterRole" if role else kind, "name": role or name}
        binding = rbac(f"{kind}Binding", name, roleRef=ref, subjects=[me])
        (await self.admin.create(f"{place}{kind.lower()}bindings", binding)).ok()
        return name

    async def ask(self, **spec: Any) -> Json:
        """The answer to a question about the account's own access."""
        answer = await self.api.create(f"{REVIEWS}/selfsubjectaccessreviews", review(**spec))
        assert answer.status == 201, answer
        status: Json = answer.body["status"]
        return status

    async def may(self, verb: str, resource: str, **more: str) -> bool:
        return bool((await self.ask(**about(verb, resource, **more)))["allowed"])

    async def wait_until(self, allowed: bool, verb: str, resource: str, **more: str) -> None:
        """A real server learns of changed roles a moment later."""
        async with asyncio.timeout(SOON_SECONDS):
            while await self.may(verb, resource, **more) is not allowed:  # noqa: ASYNC110 - one can only ask
                await asyncio.sleep(0.02)


async def account_of(api: Client) -> Account:
    name = new_name("account")
    (await api.create(ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})).ok()
    answer = (await api.create(f"{ACCOUNTS}/{name}/token", TOKEN_REQUEST)).ok()
    return Account(name, api, api.bearer(answer["status"]["token"]))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def nobody(api: Client) -> Account:
    """An account to which nothing is granted."""
    return await account_of(api)


@pytest_asyncio.fixture(loop_scope="session")
async def account(api: Client) -> AsyncIterator[Account]:
    """An account of the test's own."""
    made = await account_of(api)
    yield made
    await api.delete(f"{ACCOUNTS}/{made.name}")


HERE = 'in the namespace "default"'
EVERYWHERE = "at the cluster scope"


# Method, path, and what is told: the subject, the verb, the resource, the group, and where.
REFUSED: dict[str, tuple[str, str, tuple[str, str, str, str, str]]] = {
    "a read": ("GET", f"{CORE}/configmaps/a", ('configmaps "a"', "get", "configmaps", "", HERE)),
    "a list": ("GET", f"{CORE}/configmaps", ("configmaps", "list", "configmaps", "", HERE)),
    "a list of all namespaces": ("GET", "/api/v1/secrets", ("secrets", "list", "secrets", "", EVERYWHERE)),
    "a watch": ("GET", "/api/v1/secrets?watch=true", ("secrets", "watch", "secrets", "", EVERYWHERE)),
    "a creation": ("POST", f"{CORE}/secrets", ("secrets", "create", "secrets", "", HERE)),
    "an update": (
        "PUT",
        f"{CONTENTS}/a",
        (f'{CONTENT_RESOURCE} "a"', "update", "volumesnapshotcontents", SNAPSHOT_GROUP, EVERYWHERE),
    ),
    "a patch of a status": (
        "PATCH",
        f"{CONTENTS}/a/status",
        (f'{CONTENT_RESOURCE} "a"', "patch", "volumesnapshotcontents/status", SNAPSHOT_GROUP, EVERYWHERE),
    ),
    "a deletion": ("DELETE", f"{CORE}/secrets/a", ('secrets "a"', "delete", "secrets", "", HERE)),
    "a deletion of many": ("DELETE", f"{CORE}/secrets", ("secrets", "deletecollection", "secrets", "", HERE)),
    "a namespace": ("GET", CORE, ('namespaces "default"', "get", "namespaces", "", HERE)),
    "a group that is not served": (
        "GET",
        "/apis/no.example.com/v1/things",
        ("things.no.example.com", "list", "things", "no.example.com", EVERYWHERE),
    ),
    "a token": ("POST", f"{ACCOUNTS}/a/token", ('serviceaccounts "a"', "create", "serviceaccounts/token", "", HERE)),
}


@pytest.mark.parametrize(("method", "path", "told"), REFUSED.values(), ids=REFUSED.keys())
async def test_who_is_granted_nothing_is_refused(
    nobody: Account, method: str, path: str, told: tuple[str, str, str, str, str]
) -> None:
    subject, verb, resource, group, where = told
    answer = await nobody.api.request(method, path, {} if method in ("POST", "PUT", "PATCH") else None)
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert answer.message == (
        f'{subject} is forbidden: User "{nobody.user}" cannot {verb} resource "{resource}" '
        f'in API group "{group}" {where}'
    )


async def test_a_refusal_names_what_it_is_about_in_its_details(nobody: Account) -> None:
    answer = await nobody.api.get(f"{CONTENTS}/a")
    expected = {"name": "a", "group": SNAPSHOT_GROUP, "kind": "volumesnapshotcontents"}
    assert answer.body["details"] == expected
    assert (await nobody.api.get(f"{CORE}/secrets")).body["details"] == {"kind": "secrets"}


@pytest.mark.parametrize("path", ["/api", "/api/v1", "/apis", f"/apis/{SNAPSHOT_GROUP}/v1", "/version", "/healthz"])
async def test_discovery_is_for_everybody_with_a_token(nobody: Account, path: str) -> None:
    assert (await nobody.api.get(path)).status == 200


async def test_other_paths_are_not(nobody: Account) -> None:
    answer = await nobody.api.get("/metrics")
    assert (answer.status, answer.reason) == (403, "Forbidden")
    assert answer.message == f'forbidden: User "{nobody.user}" cannot get path "/metrics"'


async def test_who_shows_no_token_sees_health_and_version_alone(api: Client) -> None:
    unknown = api.bearer("")
    assert [(await unknown.get(path)).status for path in ("/healthz", "/version", "/api")] == [200, 200, 403]
    answer = await unknown.get(f"{CORE}/secrets")
    assert answer.status == 403
    assert 'User "system:anonymous" cannot list resource "secrets"' in answer.message


async def test_a_token_that_nobody_gave_out_is_refused(api: Client) -> None:
    answer = await api.bearer("made-up").get(f"{CORE}/secrets")
    assert (answer.status, answer.reason, answer.message) == (401, "Unauthorized", "Unauthorized")


class TestImpersonation:
    async def who(self, api: Client) -> Json:
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = (await api.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", review)).ok()
        found: Json = answer["status"]["userInfo"]
        return {name: found[name] for name in ("username", "groups")}

    async def test_the_administrator_may_act_as_anybody(self, api: Client) -> None:
        everybody = "system:authenticated"
        assert await self.who(api.acting_as("jo")) == {"username": "jo", "groups": [everybody]}
        assert await self.who(api.acting_as("jo", "crew")) == {"username": "jo", "groups": ["crew", everybody]}
        account = "system:serviceaccount:default:a"
        groups = ["system:serviceaccounts", "system:serviceaccounts:default", everybody]
        assert await self.who(api.acting_as(account)) == {"username": account, "groups": groups}

    async def test_who_is_acted_as_decides_what_is_allowed(self, api: Client) -> None:
        refused = await api.acting_as("jo").get("/api/v1/secrets")
        assert refused.status == 403
        assert 'User "jo" cannot list resource "secrets"' in refused.message
        assert (await api.acting_as("jo", "system:masters").get("/api/v1/secrets")).status == 200
        assert (await api.acting_as("system:anonymous").get("/api")).status == 403

    async def test_not_everybody_may_act_as_others(self, nobody: Account) -> None:
        refused = await nobody.api.acting_as("system:serviceaccount:default:a", "crew").get("/api/v1/secrets")
        assert refused.message == (
            f'serviceaccounts "a" is forbidden: User "{nobody.user}" cannot impersonate resource "serviceaccounts" '
            'in API group "" in the namespace "default"'
        )
        assert (await nobody.api.acting_as("jo").get("/api/v1/secrets")).status == 403

    async def test_a_group_needs_a_user(self, api: Client) -> None:
        answer = await Client(api.session, {"Impersonate-Group": "system:masters"}).get("/api/v1/secrets")
        assert (answer.status, answer.reason) == (400, "BadRequest")

    async def test_who_may_act_as_others_does(self, account: Account) -> None:
        await account.bind(rule("impersonate", "users groups"))
        await account.wait_until(True, "impersonate", "users", name="jo")
        assert (await self.who(account.api.acting_as("jo", "crew")))["username"] == "jo"

    @pytest.mark.kubectl
    async def test_kubectl_acts_as_others(self, kubectl: Kubectl) -> None:
        assert "jo" in (await kubectl("auth", "whoami", "--as=jo")).ok()
        assert (await kubectl("auth", "can-i", "list", "secrets", "--as=jo")).out == "no\n"


class TestToken:
    async def test_lasts_an_hour_unless_told(self, api: Client, nobody: Account) -> None:
        path = f"{ACCOUNTS}/{nobody.name}/token"
        made = (await api.create(path, TOKEN_REQUEST)).ok()
        assert (made["kind"], made["apiVersion"]) == ("TokenRequest", "authentication.k8s.io/v1")
        assert (made["metadata"]["name"], made["metadata"]["namespace"]) == (nobody.name, "default")
        assert made["spec"]["expirationSeconds"] == 3600
        assert made["status"]["expirationTimestamp"] > made["metadata"]["creationTimestamp"]
        told = (await api.create(path, TOKEN_REQUEST | {"spec": {"expirationSeconds": 7200}})).ok()
        assert told["spec"]["expirationSeconds"] == 7200

    async def test_does_not_last_less_than_ten_minutes(self, api: Client, nobody: Account) -> None:
        asked = TOKEN_REQUEST | {"spec": {"expirationSeconds": 599}}
        answer = await api.create(f"{ACCOUNTS}/{nobody.name}/token", asked)
        assert (answer.status, answer.reason) == (422, "Invalid")
        expected = "Invalid value: 599: may not specify a duration less than 10 minutes"
        assert answer.causes == {"spec.expirationSeconds": expected}

    async def test_needs_an_account(self, api: Client) -> None:
        answer = await api.create(f"{ACCOUNTS}/absent/token", TOKEN_REQUEST)
        assert (answer.status, answer.message) == (404, 'serviceaccounts "absent" not found')

    async def test_is_not_kept(self, api: Client, nobody: Account) -> None:
        answer = await api.get(f"{ACCOUNTS}/{nobody.name}/token")
        assert (answer.status, answer.reason) == (405, "MethodNotAllowed")

    @pytest.mark.kubectl
    async def test_is_given_by_kubectl(self, api: Client, kubectl: Kubectl, nobody: Account) -> None:
        token = (await kubectl("create", "token", nobody.name)).ok().strip()
        assert (await api.bearer(token).get("/api")).status == 200


class TestRoles:
    async def test_a_cluster_role_grants_its_verbs_everywhere(self, account: Account) -> None:
        await account.bind(rule("get list", "secrets"))
        await account.wait_until(True, "list", "secrets")
        assert (await account.api.get("/api/v1/secrets")).status == 200
        assert (await account.api.get(f"{CORE}/secrets/absent")).status == 404
        assert (await account.api.delete(f"{CORE}/secrets/absent")).status == 403

    async def test_a_role_grants_in_its_namespace_alone(self, account: Account) -> None:
        # Its binding's subject need not name the namespace of the binding.
        me = {"kind": "ServiceAccount", "name": account.name}
        await account.bind(rule("list", "configmaps"), namespace="default", subject=me)
        await account.wait_until(True, "list", "configmaps", namespace="default")
        assert (await account.api.get(f"{CORE}/configmaps")).status == 200
        assert (await account.api.get("/api/v1/namespaces/kube-system/configmaps")).status == 403
        assert (await account.api.get("/api/v1/configmaps")).status == 403

    async def test_a_cluster_role_may_be_bound_in_one_namespace(self, account: Account) -> None:
        await account.bind(namespace="kube-system", role="cluster-admin")
        await account.wait_until(True, "delete", "secrets", namespace="kube-system")
        assert not await account.may("delete", "secrets", namespace="default")
        assert not await account.may("delete", "secrets")

    async def test_an_object_and_its_status_are_granted_apart(self, api: Client, account: Account) -> None:
        await account.bind(rule("patch", "volumesnapshotcontents/status", SNAPSHOT_GROUP))
        given = content()
        (await api.create(CONTENTS, given)).ok()
        path, more = f"{CONTENTS}/{name_of(given)}", {"group": SNAPSHOT_GROUP}
        await account.wait_until(True, "patch", "volumesnapshotcontents", subresource="status", **more)
        assert (await account.api.merge(f"{path}/status", {"status": {"readyToUse": True}})).status == 200
        assert (await account.api.merge(path, {"metadata": {"labels": {"a": "b"}}})).status == 403

    async def test_names_narrow_what_is_granted(self, account: Account) -> None:
        await account.bind(rule("get list watch create", "secrets", "", "mine"), namespace="default")
        await account.wait_until(True, "get", "secrets", namespace="default", name="mine")
        assert (await account.api.get(f"{CORE}/secrets/mine")).status == 404
        assert (await account.api.get(f"{CORE}/secrets/other")).status == 403
        assert (await account.api.get(f"{CORE}/secrets")).status == 403
        # A list is of one name when its selector says so; a creation is of none.
        assert (await account.api.get(f"{CORE}/secrets", fieldSelector="metadata.name=mine")).status == 200
        assert (await account.api.create(f"{CORE}/secrets", {"metadata": {"name": "mine"}})).status == 403

    async def test_stars_stand_for_everything(self, account: Account) -> None:
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*/status"]}
        paths = {"verbs": ["get"], "nonResourceURLs": ["/logs/*"]}
        await account.bind(everything, paths)
        await account.wait_until(True, "patch", "pods", subresource="status")
        assert not await account.may("patch", "pods")
        asked = [{"path": path, "verb": "get"} for path in ("/logs/a/b", "/logs", "/metrics")]
        found = [(await account.ask(nonResourceAttributes=each))["allowed"] for each in asked]
        assert found == [True, False, False]

    async def test_groups_are_granted_things_too(self, account: Account) -> None:
        group = {"kind": "Group", "name": "system:serviceaccounts:default"}
        resource = new_name("shared")
        await account.bind(rule("get", resource), subject=group)
        await account.wait_until(True, "get", resource)

    async def test_what_is_taken_back_is_refused_again(self, api: Client, account: Account) -> None:
        name = await account.bind(rule("get", "nodes"))
        await account.wait_until(True, "get", "nodes")
        assert (await account.api.get("/api/v1/nodes/a")).status == 404
        (await api.delete(f"{RBAC}/clusterrolebindings/{name}")).ok()
        await account.wait_until(False, "get", "nodes")
        assert (await account.api.get("/api/v1/nodes/a")).status == 403

    async def test_a_role_that_is_missing_is_named(self, account: Account) -> None:
        await account.bind(role="absent")
        expected = 'RBAC: clusterrole.rbac.authorization.k8s.io "absent" not found'
        async with asyncio.timeout(SOON_SECONDS):
            while (await account.ask(**about("get", "nodes"))).get("reason") != expected:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.02)
        assert (await account.api.get("/api/v1/nodes/a")).message.endswith(f"at the cluster scope: {expected}")

    async def test_applying_what_is_absent_needs_the_right_to_create(self, account: Account) -> None:
        await account.bind(rule("patch", "configmaps"), namespace="default")
        await account.wait_until(True, "patch", "configmaps", namespace="default")
        given = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": new_name("applied")}}
        path = f"{CORE}/configmaps/{name_of(given)}"
        answer = await account.api.request("PATCH", path, given, "application/apply-patch+yaml", fieldManager="me")
        assert answer.status == 403
        assert 'cannot create resource "configmaps"' in answer.message


class TestReview:
    async def test_says_what_allows_it(self, account: Account) -> None:
        name = await account.bind(rule("get", "leases", "coordination.k8s.io"), namespace="default")
        more = {"group": "coordination.k8s.io", "namespace": "default"}
        await account.wait_until(True, "get", "leases", **more)
        assert await account.ask(**about("get", "leases", **more)) == {
            "allowed": True,
            "reason": f'RBAC: allowed by RoleBinding "{name}/default" of Role "{name}" '
            f'to ServiceAccount "{account.name}/default"',
        }

    async def test_says_no_without_a_word(self, nobody: Account) -> None:
        assert await nobody.ask(**about("get", "secrets", namespace="default")) == {"allowed": False}

    async def test_allows_everything_to_the_administrator(self, api: Client) -> None:
        asked = review(**about("launch", "rockets", group="example.com", version="v1"))
        answer = await api.create(f"{REVIEWS}/selfsubjectaccessreviews", asked)
        assert (answer.status, answer.body["status"]) == (201, {"allowed": True})
        assert answer.body["spec"] == asked["spec"]

    async def test_can_be_asked_about_others(self, api: Client, account: Account) -> None:
        await account.bind(rule("get", "pods"), subject={"kind": "User", "name": f"user of {account.name}"})

        async def answer(**spec: Any) -> Answer:
            return await api.create(f"{REVIEWS}/subjectaccessreviews", review("SubjectAccessReview", **spec))

        asked = about("get", "pods")
        async with asyncio.timeout(SOON_SECONDS):
            while not (await answer(user=f"user of {account.name}", **asked)).body["status"]["allowed"]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert not (await answer(groups=["others"], **asked)).body["status"]["allowed"]
        assert (await answer(**asked)).causes.keys() == {"spec.user"}

    async def test_can_be_asked_about_others_in_one_namespace(self, api: Client) -> None:
        path = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews"
        inside, outside = [
            await api.create(path, review("LocalSubjectAccessReview", user="u", **about("get", "pods", namespace=name)))
            for name in ("default", "kube-system")
        ]
        assert (inside.status, inside.body["status"]) == (201, {"allowed": False})
        assert outside.causes.keys() == {"spec.resourceAttributes.namespace"}

    WRONG: dict[str, tuple[Json, str]] = {  # noqa: RUF012 - a table
        "nothing": ({}, "spec.resourceAttributes"),
        "two things at once": (
            {"resourceAttributes": {}, "nonResourceAttributes": {}},
            "spec.nonResourceAttributes",
        ),
    }

    @pytest.mark.parametrize(("spec", "field"), WRONG.values(), ids=WRONG.keys())
    async def test_is_refused_when_it_asks(self, nobody: Account, spec: Json, field: str) -> None:
        answer = await nobody.api.create(f"{REVIEWS}/selfsubjectaccessreviews", review(**spec))
        assert (answer.status, set(answer.causes)) == (422, {field})

    async def test_is_for_those_who_are_known(self, api: Client) -> None:
        asked = review(**about("get", "pods"))
        answer = await api.bearer("").create(f"{REVIEWS}/selfsubjectaccessreviews", asked)
        assert answer.status == 403

    async def test_is_not_kept(self, api: Client) -> None:
        path = f"{REVIEWS}/selfsubjectaccessreviews"
        assert [(await api.get(each)).status for each in (path, f"{path}/a")] == [405, 404]
        listed = (await api.get(REVIEWS)).ok()["resources"]
        assert {"selfsubjectaccessreviews", "subjectaccessreviews", "localsubjectaccessreviews"} <= {
            each["name"] for each in listed if each["verbs"] == ["create"]
        }

    @pytest.mark.kubectl
    async def test_tells_what_kubectl_has_granted(self, kubectl: Kubectl, account: Account) -> None:
        options = (f"--clusterrole={account.name}", f"--serviceaccount=default:{account.name}")
        (await kubectl("create", "clusterrole", account.name, "--verb=get", "--resource=secrets")).ok()
        (await kubectl("create", "rolebinding", account.name, *options)).ok()
        await account.wait_until(True, "get", "secrets", namespace="default")
        assert not await account.may("list", "secrets", namespace="default")
        row = (await kubectl("get", "rolebindings", account.name, "--no-headers")).ok().split()
        assert row[:2] == [account.name, f"ClusterRole/{account.name}"]

    @pytest.mark.kubectl
    async def test_is_asked_by_kubectl(self, kubectl: Kubectl) -> None:
        output = await kubectl("auth", "can-i", "patch", "volumesnapshotcontents", "--subresource=status")
        assert output.ok() == "yes\n"


BROKEN: dict[str, tuple[str, Json, set[str]]] = {
    "a role without verbs": ("ClusterRole", {"rules": [rule("", "pods")]}, {"rules[0].verbs"}),
    "a role without groups": ("Role", {"rules": [{"verbs": ["get"], "resources": ["pods"]}]}, {"rules[0].apiGroups"}),
    "a role without resources": ("Role", {"rules": [rule("get", "")]}, {"rules[0].resources"}),
    "a role with paths in one namespace": (
        "Role",
        {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]},
        {"rules[0].nonResourceURLs"},
    ),
    "a role with paths and resources": (
        "ClusterRole",
        {"rules": [rule("get", "pods") | {"nonResourceURLs": ["/x"]}]},
        {"rules[0].nonResourceURLs"},
    ),
    "a binding of no role": ("RoleBinding", {"roleRef": {"kind": "Role", "name": ""}}, {"roleRef.name"}),
    "a cluster-wide binding of a role of one namespace": (
        "ClusterRoleBinding",
        {"roleRef": {"kind": "Role", "name": "a"}},
        {"roleRef.kind"},
    ),
    "a cluster-wide binding to an account of no namespace": (
        "ClusterRoleBinding",
        {"roleRef": {"kind": "ClusterRole", "name": "a"}, "subjects": [{"kind": "ServiceAccount", "name": "a"}]},
        {"subjects[0].namespace"},
    ),
    "a binding to a stranger": (
        "RoleBinding",
        {"roleRef": {"kind": "Role", "name": "a"}, "subjects": [{"kind": "Thing", "name": ""}]},
        {"subjects[0].kind", "subjects[0].name"},
    ),
}


def collection(kind: str) -> str:
    within = "" if kind.startswith("Cluster") else "namespaces/default/"
    return f"{RBAC}/{within}{kind.lower()}s"


@pytest.mark.parametrize(("kind", "members", "fields"), BROKEN.values(), ids=BROKEN.keys())
async def test_it_refuses(api: Client, kind: str, members: Json, fields: set[str]) -> None:
    answer = await api.create(collection(kind), rbac(kind, new_name("broken"), **members))
    assert (answer.status, set(answer.causes)) == (422, fields)


@pytest.mark.parametrize("name", ["a/b", "a%b", ".."])
async def test_it_refuses_names_that_are_no_part_of_a_path(api: Client, name: str) -> None:
    answer = await api.create(collection("Role"), rbac("Role", name))
    assert (answer.status, set(answer.causes)) == (422, {"metadata.name"})


async def test_roles_may_have_names_that_other_objects_may_not_have(api: Client) -> None:
    name = new_name("system:Role")
    made = (await api.create(collection("Role"), rbac("Role", name))).ok()
    assert (made["metadata"]["name"], made["rules"]) == (name, None)


async def test_a_binding_is_completed_and_keeps_its_role(api: Client) -> None:
    name = new_name("binding")
    subjects = [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "a"}]
    given = rbac("RoleBinding", name, roleRef={"kind": "Role", "name": "a"}, subjects=subjects)
    made = (await api.create(collection("RoleBinding"), given)).ok()
    group = {"apiGroup": "rbac.authorization.k8s.io"}
    assert made["roleRef"] == {"kind": "Role", "name": "a", **group}
    assert made["subjects"] == [subjects[0] | group, subjects[1]]
    answer = await api.merge(f"{collection('RoleBinding')}/{name}", {"roleRef": {"name": "b"}})
    assert (answer.status, set(answer.causes)) == (422, {"roleRef"})
