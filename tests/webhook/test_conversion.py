"""`/convert` over TLS: the contract with the API server, and answers to everything else that may come."""

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.webhook.reviewing import BETA1, BETA2, V1, Json, Running, conversion_review, running

KEPT = "groupsnapshot.storage.kubernetes.io/volume-snapshot-info-list"
INFO: Json = {"volumeHandle": "v", "snapshotHandle": "s", "creationTime": 1755612345123456789, "readyToUse": True}
ANNOTATION = '[{"creationTime":1755612345123456789,"readyToUse":true,"snapshotHandle":"s","volumeHandle":"v"}]'


def content(version: str, name: str = "content", **fields: Any) -> Json:
    return {"apiVersion": version, "kind": "VolumeGroupSnapshotContent", "metadata": {"name": name}} | fields


NEW = content(V1, status={"volumeSnapshotInfoList": [INFO]})


async def test_the_answer_is_the_review_with_the_objects_in_their_order(webhook: Running) -> None:
    answer = await webhook.convert(BETA1, NEW, content(BETA2, "second"), content(V1, "third"))
    assert answer.content_type == "application/json"
    old = {"volumeHandle": "v", "snapshotHandle": "s"}
    metadata = {"name": "content", "annotations": {KEPT: ANNOTATION}}
    assert answer.json == {
        "kind": "ConversionReview",
        "apiVersion": "apiextensions.k8s.io/v1",
        "request": {"uid": "", "desiredAPIVersion": "", "objects": None},
        "response": {
            "uid": "uid-1",
            "convertedObjects": [
                content(BETA1, metadata=metadata, status={"volumeSnapshotHandlePairList": [old]}),
                content(BETA1, "second"),
                content(BETA1, "third"),
            ],
            "result": {"metadata": {}, "status": "Success"},
        },
    }


async def test_no_objects_are_converted_to_none(webhook: Running) -> None:
    nothing: list[list[Json] | None] = [[], None]
    for objects in nothing:
        review = conversion_review(V1) | {"request": {"uid": "", "desiredAPIVersion": V1, "objects": objects}}
        answer = await webhook.post("/convert", json.dumps(review).encode())
        assert answer.json["response"] == {
            "uid": "",
            "convertedObjects": None,
            "result": {"metadata": {}, "status": "Success"},
        }


async def test_e12_one_bad_object_fails_the_review(webhook: Running) -> None:
    bad = content(BETA1, "bad", status={"volumeSnapshotHandlePairList": {}})
    message = (await webhook.convert(V1, content(BETA1), bad, content(BETA1))).failure()
    assert message == ("objects[1] (VolumeGroupSnapshotContent bad): status.volumeSnapshotHandlePairList is not a list")


FAILURES: dict[str, tuple[object, str]] = {
    "a list": ([], "objects[0]: what is to be converted is not a JSON object"),
    "null": (None, "objects[0]: what is to be converted is not a JSON object"),
    "no kind": ({"apiVersion": BETA1}, "objects[0] (? ?): what is to be converted has no kind"),
    "a name that is none": (
        content("a/v1", "a\nb"),
        f'objects[0] (VolumeGroupSnapshotContent ?): there is no conversion from "a/v1" to "{V1}"',
    ),
    "an object that is in the version already": (
        content(V1),
        f'objects[0] (VolumeGroupSnapshotContent content): conversion to itself: the object is in "{V1}" already',
    ),
}


@pytest.mark.parametrize(("given", "message"), FAILURES.values(), ids=FAILURES.keys())
async def test_a_failure_says_which_object_and_why(webhook: Running, given: object, message: str) -> None:
    assert (await webhook.convert(V1, given)).failure() == message


async def test_what_users_write_into_the_annotation_is_neither_logged_nor_told(
    webhook: Running, capfd: pytest.CaptureFixture[str]
) -> None:
    given = content(BETA1, metadata={"name": "content", "annotations": {KEPT: '[{"swordfish": [}'}})
    assert "swordfish" not in (await webhook.convert(V1, given)).failure()
    output = capfd.readouterr()
    assert "swordfish" not in output.err + output.out


REVIEW = json.dumps(conversion_review(V1, content(BETA2))).encode()

REJECTED: dict[str, tuple[bytes, str | None, str, str]] = {
    "no content type": (REVIEW, None, "", "Content-Type must be"),
    "another content type": (REVIEW, "text/plain", "", 'not "text/plain"'),
    "an answer that cannot be given": (REVIEW, "application/json", "text/html", 'which "text/html" does not'),
    "no body": (b"", "application/json", "", "the body is not a ConversionReview of apiextensions.k8s.io/v1"),
    "no JSON": (b"{", "application/json", "", "the body is not a ConversionReview"),
    "another shape": (b'{"request": []}', "application/json", "", "the body is not a ConversionReview"),
    "bad characters": (b'{"kind": "\xff"}', "application/json", "", "the body is not UTF-8"),
    "nesting that is too deep": (b"[" * 1_000_000, "application/json", "", "the body is not a ConversionReview"),
    "an old review": (
        REVIEW.replace(b"io/v1", b"io/v1beta1", 1),
        "application/json",
        "",
        "must be a ConversionReview of apiextensions.k8s.io/v1, not ConversionReview of apiextensions.k8s.io/v1beta1",
    ),
    "another kind": (
        b'{"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1"}',
        "application/json",
        "",
        "not AdmissionReview of admission.k8s.io/v1",
    ),
    "E18 no request": (
        b'{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1"}',
        "application/json",
        "",
        "the ConversionReview has no request",
    ),
    "aliases of YAML": (b"[&a b, *a]", "application/yaml", "", "uses aliases"),
}


@pytest.mark.parametrize(("body", "content_type", "accept", "text"), REJECTED.values(), ids=REJECTED.keys())
async def test_what_is_no_review_is_rejected_in_plain_words(
    webhook: Running, body: bytes, content_type: str | None, accept: str, text: str
) -> None:
    answer = await webhook.post("/convert", body, content_type, Accept=accept)
    assert answer.status == 400
    assert answer.content_type == "text/plain; charset=utf-8"
    assert text in answer.text
    assert await webhook.metric("snapshotter_webhook_reviews_total", review="conversion", outcome="rejected") == 1


async def test_e19_a_charset_does_not_matter(webhook: Running) -> None:
    answer = await webhook.post("/convert", REVIEW, "application/json; charset=utf-8")
    assert answer.converted() == [content(V1)]


async def test_yaml_is_taken_and_given(webhook: Running) -> None:
    body = f"""\
apiVersion: apiextensions.k8s.io/v1
kind: ConversionReview
request:
  uid: a
  desiredAPIVersion: {V1}
  objects:
    - apiVersion: {BETA1}
      kind: VolumeGroupSnapshotContent
      metadata: {{name: content, annotations: {{"{KEPT}": '[]'}}}}
"""
    answer = await webhook.post("/convert", body.encode(), "application/yaml", Accept="application/yaml")
    assert answer.content_type == "application/yaml"
    metadata = {"name": "content", "annotations": {}}
    # JSON is YAML.
    assert answer.converted() == [content(V1, metadata=metadata, status={"volumeSnapshotInfoList": []})]


async def test_a_body_beyond_the_bound_is_refused_and_counted(webhook: Running) -> None:
    answer = await webhook.post("/convert", bytes((24 << 20) + 1))
    assert answer.status == 413
    assert await webhook.metric("snapshotter_webhook_reviews_total", review="conversion", outcome="rejected") == 1


async def test_reviews_are_counted_and_timed(webhook: Running) -> None:
    await webhook.convert(V1, content(BETA1), content(BETA2))
    await webhook.convert(V1, content(BETA2), content(V1))
    for outcome, expected in (("success", 1), ("failure", 1), ("rejected", 0)):
        found = await webhook.metric("snapshotter_webhook_reviews_total", review="conversion", outcome=outcome)
        assert found == expected
    objects = "snapshotter_webhook_objects_total"
    assert await webhook.metric(objects, **{"from": "v1beta1", "to": "v1"}) == 1
    # Of a review that fails nothing is converted.
    assert await webhook.metric(objects, **{"from": "v1beta2", "to": "v1"}) == 1
    durations = "snapshotter_webhook_review_duration_seconds"
    assert await webhook.metric(f"{durations}_count", review="conversion") == 2
    assert 0 < await webhook.metric(f"{durations}_sum", review="conversion") < 30


async def test_ready_whatever_the_method_and_nothing_else_is_there(webhook: Running) -> None:
    assert (await webhook.post("/readyz", b"")).text == "ok"
    async with webhook.http.get(f"https://localhost:{webhook.port}/readyz") as answer:
        assert (answer.status, await answer.text()) == (200, "ok")
    for path in ("/", "/healthz", "/livez", "/metrics", "/convert/", "/validate-default-class", "/volumesnapshot"):
        async with webhook.http.get(f"https://localhost:{webhook.port}{path}") as answer:
            assert answer.status == 404
    for path in ("/healthz", "/readyz"):
        async with webhook.http.get(f"http://127.0.0.1:{webhook.web_port}{path}") as answer:
            assert (answer.status, await answer.text()) == (200, "ok")


async def test_a_long_review_lets_a_short_one_pass(webhook: Running) -> None:
    entries = [INFO | {"volumeHandle": f"volume-{number}"} for number in range(100)]
    many = [content(V1, str(number), status={"volumeSnapshotInfoList": entries}) for number in range(500)]
    long = asyncio.create_task(webhook.convert(BETA1, *many))
    await asyncio.sleep(0)
    while not long.done():
        await webhook.convert(V1, content(BETA1))
    found = (await long).converted()
    assert [each["metadata"]["name"] for each in found] == [str(number) for number in range(500)]
    # The bound is ten seconds; a noisy machine takes one.
    spent = await webhook.metric("snapshotter_webhook_review_duration_seconds_sum", review="conversion")
    assert spent < 10


BODIES = (
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode(errors="replace"))
    | st.tuples(st.integers(0, len(REVIEW)), st.binary(max_size=3)).map(
        lambda cut: REVIEW[: cut[0]] + cut[1] + REVIEW[cut[0] :]
    )
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([BETA1, V1]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["kind", "apiVersion", "request", "uid", "desiredAPIVersion", "objects"]),
                inner,
                max_size=6,
            )
        ),
        max_leaves=15,
    ).map(lambda value: json.dumps(value).encode())
)


def test_whatever_is_posted_gets_an_answer(tmp_path: Path, unused_tcp_port: int) -> None:
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        webhook = runner.run(stack.enter_async_context(running(tmp_path, unused_tcp_port)))

        @settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
        @given(BODIES, st.sampled_from(["application/json", "application/yaml"]))
        def check(body: bytes, form: str) -> None:
            answer = runner.run(webhook.post("/convert", body, form))
            assert answer.status in (200, 400)

        check()
        runner.run(stack.aclose())
