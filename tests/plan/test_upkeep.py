"""What a content needs by itself."""

import msgspec
import pytest

from snapshotter.model.content import ContentSource
from snapshotter.model.lifecycle import AnyContent
from snapshotter.plan.upkeep import Complain, Delete, Mark, Protect, Step, next_step
from tests.requests import made_content, made_group_content

CASES: dict[str, tuple[AnyContent, Protect | None]] = {
    "a content that is bound gets its finalizer (case 88)": (made_content(finalizers=()), Protect()),
    "beside those of others": (made_content(finalizers=("example.com/theirs",)), Protect()),
    "it has it": (made_content(), None),
    "nobody is bound to it yet (case 90)": (made_content(imported="snap-1", ref_uid=None, finalizers=()), None),
    "it is on its way out": (made_content(deleting=True, finalizers=("example.com/theirs",)), None),
    "a group's content likewise (case 143)": (made_group_content(finalizers=()), Protect()),
    "a group's content that nobody is bound to yet": (
        made_group_content(imported="g", ref_uid=None, finalizers=()),
        None,
    ),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES.keys())
def test_a_content_is_protected(given: AnyContent, expected: Protect | None) -> None:
    assert next_step(given) == expected


def with_source(volume: str | None, snapshot: str | None) -> AnyContent:
    content = made_content()
    source = ContentSource(volume_handle=volume, snapshot_handle=snapshot)
    return msgspec.structs.replace(content, spec=msgspec.structs.replace(content.spec, source=source))


WRONG: dict[str, tuple[AnyContent, str, str]] = {
    "both sources (case 110)": (with_source("vol", "snap"), "ContentValidationError", "both what to cut and what to"),
    "no source (case 110)": (with_source(None, None), "ContentValidationError", "neither what to cut nor what to"),
    "a group of nothing": (made_group_content(volumes=()), "GroupContentValidationError", "neither"),
}


@pytest.mark.parametrize(("given", "reason", "text"), WRONG.values(), ids=WRONG.keys())
def test_its_maker_is_told_of_a_content_with(given: AnyContent, reason: str, text: str) -> None:
    step = next_step(given)
    assert isinstance(step, Complain)
    assert step.reason == reason
    assert text in step.problem


SNATCHED: dict[str, tuple[AnyContent, Step | None]] = {
    "the sidecar is told first": (made_content(), Mark()),
    "then it goes": (made_content(being_deleted=True), Delete()),
    "it is on its way": (made_content(being_deleted=True, deleting=True), None),
    "what is retained stays": (made_content(policy="Retain"), None),
    "what somebody else has cut stays": (made_content(imported="snap-1"), None),
    "a member goes with its group": (made_content(member_of="group-1"), None),
    "a group's content likewise": (made_group_content(), Mark()),
    "and then goes": (made_group_content(being_deleted=True), Delete()),
    "a group's content that is retained": (made_group_content(policy="Retain"), None),
    "it has no finalizer, and needs none any more": (made_content(finalizers=()), Mark()),
}


@pytest.mark.parametrize(("given", "expected"), SNATCHED.values(), ids=SNATCHED.keys())
def test_promise_1_a_content_goes_after_its_request_that_was_snatched_away(
    given: AnyContent, expected: Step | None
) -> None:
    """Case 108."""
    assert next_step(given, snatched=True) == expected
    assert not isinstance(next_step(given), Mark | Delete), "that a request is not there is no reason by itself"
