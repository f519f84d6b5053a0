"""Lists: whole, in pages, selected, and as tables."""

import pytest

from tests.contract.client import Client, Json, Server
from tests.contract.objects import CLASSES, CONTENTS, GROUP, SNAPSHOTS, content, new_name, snapshot, snapshot_class

pytestmark = pytest.mark.asyncio(loop_scope="session")

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
METADATA_ALONE = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


async def some_contents(api: Client, driver: str, count: int) -> list[str]:
    """So many new contents of a driver that no other test has; their names, sorted."""
    given = [content(driver=driver) for _ in range(count)]
    for each in given:
        (await api.create(CONTENTS, each)).ok()
    return sorted(each["metadata"]["name"] for each in given)


def names(answer: Json) -> list[str]:
    return [each["metadata"]["name"] for each in answer["items"]]


async def test_a_list_tells_its_kind_and_version_and_is_sorted_by_name(api: Client) -> None:
    given = snapshot_class()
    version = int((await api.create(CLASSES, given)).ok()["metadata"]["resourceVersion"])
    (await api.create(CLASSES, snapshot_class(name=new_name("a")))).ok()
    found = (await api.get(CLASSES)).ok()
    assert (found["apiVersion"], found["kind"]) == ("snapshot.storage.k8s.io/v1", "VolumeSnapshotClassList")
    assert int(found["metadata"]["resourceVersion"]) > version
    assert given["metadata"]["name"] in names(found)
    assert names(found) == sorted(names(found))
    assert {each["kind"] for each in found["items"]} == {"VolumeSnapshotClass"}


async def test_the_version_of_a_list_moves_on_with_writes_to_other_kinds(api: Client) -> None:
    first = int((await api.get(CONTENTS)).ok()["metadata"]["resourceVersion"])
    written = (await api.create(CLASSES, snapshot_class())).ok()["metadata"]["resourceVersion"]
    second = int((await api.get(CONTENTS)).ok()["metadata"]["resourceVersion"])
    assert first < int(written) <= second


async def test_an_empty_list_has_items(api: Client) -> None:
    found = (await api.get(f"{GROUP}/namespaces/kube-system/volumesnapshots")).ok()
    assert found["items"] == []


async def test_a_list_of_all_namespaces_has_the_objects_of_each(api: Client) -> None:
    one, other = snapshot(), snapshot()
    (await api.create(SNAPSHOTS, one)).ok()
    namespace: Json = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": new_name("namespace")}}
    (await api.create("/api/v1/namespaces", namespace)).ok()
    elsewhere = f"{GROUP}/namespaces/{namespace['metadata']['name']}/volumesnapshots"
    (await api.create(elsewhere, other)).ok()
    found = (await api.get(f"{GROUP}/volumesnapshots")).ok()
    assert {one["metadata"]["name"], other["metadata"]["name"]} <= set(names(found))
    assert names((await api.get(elsewhere)).ok()) == [other["metadata"]["name"]]


@pytest.mark.parametrize("version", [{}, {"resourceVersion": "0"}], ids=["the newest version", "any version"])
async def test_a_list_has_what_was_just_written(api: Client, version: Json) -> None:
    driver = new_name("driver")
    expected = await some_contents(api, driver, 2)
    if version:
        newest = (await api.get(CONTENTS)).ok()["metadata"]["resourceVersion"]
        (await api.get(CONTENTS, resourceVersion=newest)).ok()
    found = (await api.get(CONTENTS, fieldSelector=f"spec.driver={driver}", **version)).ok()
    assert names(found) == expected


async def pages(api: Client, limit: int, **query: str) -> list[Json]:
    found: list[Json] = [(await api.get(CONTENTS, limit=limit, **query)).ok()]
    while token := found[-1]["metadata"].get("continue"):
        found.append((await api.get(CONTENTS, limit=limit, **query, **{"continue": token})).ok())
    return found


async def test_pages_make_up_the_whole_list_of_one_version(api: Client) -> None:
    await some_contents(api, new_name("driver"), 5)
    whole = (await api.get(CONTENTS)).ok()
    limit = len(whole["items"]) // 2
    found = await pages(api, limit)
    assert [len(each["items"]) for each in found[:2]] == [limit, limit]
    assert [name for each in found for name in names(each)] == names(whole)
    assert len({each["metadata"]["resourceVersion"] for each in found}) == 1
    assert found[0]["metadata"]["remainingItemCount"] == len(whole["items"]) - limit
    assert "remainingItemCount" not in found[-1]["metadata"]


async def test_pages_do_not_see_what_is_written_between_them(api: Client) -> None:
    await some_contents(api, new_name("driver"), 3)
    first = (await api.get(CONTENTS, limit=2)).ok()
    (await api.create(CONTENTS, content(name=(late := new_name("zz-late"))))).ok()
    rest = (await api.get(CONTENTS, limit=5000, **{"continue": first["metadata"]["continue"]})).ok()
    assert late not in names(rest)


async def test_pages_of_a_selection_have_the_selected_alone(api: Client) -> None:
    driver = new_name("driver")
    expected = await some_contents(api, driver, 5)
    found = await pages(api, 2, fieldSelector=f"spec.driver={driver}")
    assert [name for each in found for name in names(each)] == expected
    assert "remainingItemCount" not in found[0]["metadata"]


async def test_a_limit_counts_for_nothing_where_any_version_will_do(api: Client) -> None:
    driver = new_name("driver")
    expected = await some_contents(api, driver, 3)
    await api.get(CONTENTS)
    found = (await api.get(CONTENTS, limit=2, resourceVersion="0", fieldSelector=f"spec.driver={driver}")).ok()
    assert names(found) == expected
    assert not found["metadata"].get("continue")


async def test_a_bad_continue_token_is_refused(api: Client) -> None:
    answer = await api.get(CONTENTS, limit=1, **{"continue": "nonsense"})
    assert (answer.status, answer.reason) == (400, "BadRequest")


async def test_a_page_of_a_forgotten_version_is_as_it_was_or_gone_with_an_offer_to_go_on(
    api: Client, server: Server
) -> None:
    await some_contents(api, new_name("driver"), 3)
    first = (await api.get(CONTENTS, limit=2)).ok()
    (late,) = await some_contents(api, new_name("driver"), 1)
    await server.forget_history()
    answer = await api.get(CONTENTS, limit=5000, **{"continue": first["metadata"]["continue"]})
    if answer.status == 200:  # a kube-apiserver may have it in its cache
        assert late not in names(answer.body)
        return
    assert (answer.status, answer.reason) == (410, "Expired")
    token = answer.body["metadata"]["continue"]
    rest = (await api.get(CONTENTS, limit=5000, **{"continue": token})).ok()
    assert names(rest)[0] > names(first)[-1]
    assert late in names(rest)


FIELD_SELECTORS = {
    "equal": ("spec.driver={driver}", True),
    "equal, written twice": ("spec.driver=={driver}", True),
    "not equal": ("spec.driver!={driver}", False),
    "equal to another": ("spec.driver=other", False),
    "by name": ("metadata.name={name}", True),
    "by name and driver": ("metadata.name={name},spec.driver={driver}", True),
    "by name and another driver": ("metadata.name={name},spec.driver!={driver}", False),
}


@pytest.mark.parametrize(("selector", "selected"), FIELD_SELECTORS.values(), ids=FIELD_SELECTORS.keys())
async def test_field_selector(api: Client, selector: str, *, selected: bool) -> None:
    driver = new_name("driver")
    (name,) = await some_contents(api, driver, 1)
    found = (await api.get(CONTENTS, fieldSelector=selector.format(driver=driver, name=name))).ok()
    assert (name in names(found)) is selected


UNSUPPORTED = {
    "a field that is not selectable": (CONTENTS, "spec.deletionPolicy=Delete", "spec.deletionPolicy"),
    "a field that does not exist": (CONTENTS, "spec.invented=x", "spec.invented"),
    "a namespace where there is none": (CONTENTS, "metadata.namespace=x", "metadata.namespace"),
    "a driver of another kind": (SNAPSHOTS, "spec.driver=x", "spec.driver"),
}


@pytest.mark.parametrize("verb", ["list", "watch"])
@pytest.mark.parametrize(("path", "selector", "field"), UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
async def test_other_field_selectors_are_refused(api: Client, verb: str, path: str, selector: str, field: str) -> None:
    query = {"watch": "true", "timeoutSeconds": "1"} if verb == "watch" else {}
    answer = await api.get(path, fieldSelector=selector, **query)
    assert (answer.status, answer.reason) == (400, "BadRequest")
    assert answer.message == f"field label not supported: {field}"


LABEL_SELECTORS = {
    "equal": ("{key}=a", True),
    "equal, written twice": ("{key}==a", True),
    "equal to another": ("{key}=b", False),
    "not equal": ("{key}!=b", True),
    "one of": ("{key} in (a, b)", True),
    "none of": ("{key} notin (a, b)", False),
    "there": ("{key}", True),
    "absent": ("!{key}", False),
    "another absent": ("!{key}x", True),
    "both": ("{key}=a,{key}!=b", True),
    "one of both": ("{key}=a,{key}=b", False),
}


@pytest.mark.parametrize(("selector", "selected"), LABEL_SELECTORS.values(), ids=LABEL_SELECTORS.keys())
async def test_label_selector(api: Client, selector: str, *, selected: bool) -> None:
    key = new_name("key")
    given = content(metadata={"labels": {key: "a"}})
    (await api.create(CONTENTS, given)).ok()
    found = (await api.get(CONTENTS, labelSelector=selector.format(key=key))).ok()
    assert (given["metadata"]["name"] in names(found)) is selected


async def test_a_bad_label_selector_is_refused(api: Client) -> None:
    answer = await api.get(CONTENTS, labelSelector="===")
    assert (answer.status, answer.reason) == (400, "BadRequest")


CONTENT_COLUMNS = [
    ("Name", "string"),
    ("ReadyToUse", "boolean"),
    ("RestoreSize", "integer"),
    ("DeletionPolicy", "string"),
    ("Driver", "string"),
    ("VolumeSnapshotClass", "string"),
    ("VolumeSnapshot", "string"),
    ("VolumeSnapshotNamespace", "string"),
    ("Age", "date"),
]


class TestTables:
    async def test_a_table_has_the_printer_columns(self, api: Client) -> None:
        driver = new_name("driver")
        (name,) = await some_contents(api, driver, 1)
        (await api.merge(f"{CONTENTS}/{name}/status", {"status": {"readyToUse": True, "restoreSize": 5}})).ok()
        table = (await api.get(CONTENTS, accept=TABLE, fieldSelector=f"spec.driver={driver}")).ok()
        assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
        assert int(table["metadata"]["resourceVersion"]) > 0
        assert [(each["name"], each["type"]) for each in table["columnDefinitions"]] == CONTENT_COLUMNS
        (row,) = table["rows"]
        assert row["cells"][:-1] == [name, True, 5, "Delete", driver, None, "snap", "default"]
        assert row["cells"][-1][-1] in "sm"
        assert row["object"]["kind"] == "PartialObjectMetadata"
        assert row["object"]["metadata"]["name"] == name
        assert "spec" not in row["object"]

    async def test_a_table_of_one_object_has_one_row(self, api: Client) -> None:
        (name,) = await some_contents(api, new_name("driver"), 1)
        table = (await api.get(f"{CONTENTS}/{name}", accept=TABLE)).ok()
        assert [each["cells"][0] for each in table["rows"]] == [name]

    async def test_rows_carry_the_whole_object_when_asked(self, api: Client) -> None:
        (name,) = await some_contents(api, new_name("driver"), 1)
        table = (await api.get(f"{CONTENTS}/{name}", accept=TABLE, includeObject="Object")).ok()
        assert table["rows"][0]["object"]["spec"]["deletionPolicy"] == "Delete"

    async def test_a_date_column_is_an_age(self, api: Client) -> None:
        given = snapshot()
        (await api.create(SNAPSHOTS, given)).ok()
        path = f"{SNAPSHOTS}/{given['metadata']['name']}"
        taken = {"creationTime": "2001-01-01T00:00:00Z", "restoreSize": "1Gi"}
        (await api.merge(f"{path}/status", {"status": taken})).ok()
        table = (await api.get(path, accept=TABLE)).ok()
        cells = dict(zip((each["name"] for each in table["columnDefinitions"]), table["rows"][0]["cells"], strict=True))
        assert cells["CreationTime"].endswith("y")
        assert (cells["SourcePVC"], cells["SourceSnapshotContent"], cells["RestoreSize"]) == ("claim", None, "1Gi")


async def test_metadata_alone_is_sent_when_asked(api: Client) -> None:
    driver = new_name("driver")
    (name,) = await some_contents(api, driver, 1)
    found = (await api.get(CONTENTS, accept=METADATA_ALONE, fieldSelector=f"spec.driver={driver}")).ok()
    assert found["kind"] == "PartialObjectMetadataList"
    assert names(found) == [name]
    assert "spec" not in found["items"][0]
