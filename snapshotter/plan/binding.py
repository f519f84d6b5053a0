"""Which content belongs to a request, of either kind, and which only has the name of one that would."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from snapshotter.model.lifecycle import AnyContent
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.plan.requests import Reasons, Refuse

C = TypeVar("C", bound=AnyContent)


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no content of the name that it would have."""

    name: str


@dataclass(frozen=True, slots=True)
class Found(Generic[C]):
    """The content is the request's, or for it to take."""

    content: C


def points_to(content: AnyContent, request: UserSnapshot) -> bool:
    """Whether the content is for this very request."""
    ref = content.ref
    return (ref.namespace, ref.name, ref.uid) == (request.namespace, request.name, request.uid)


def find(
    request: UserSnapshot,
    name: str,
    content_of: Callable[[str], C | None],
    trouble_of: Callable[[str], str | None],
    reasons: Reasons,
) -> Found[C] | Missing | Refuse:
    """The content of this name, if it may be the request's; else why it may not."""
    content = content_of(name)
    if content is None:
        if (trouble := trouble_of(name)) is None:
            return Missing(name)
        # It is there, so nothing is lost: users keep what they were told until somebody mends it.
        return Refuse(reasons.content_mismatch, _unreadable(request, name, trouble), ready=None)
    imported = request.imported_name is not None
    if imported is not (content.imported_handle is not None):
        asked, is_for = ("imports", "one to be cut") if imported else ("asks for a cut", "one that was imported")
        return Refuse(
            reasons.content_mismatch,
            f'{request.keys.content_kind} "{name}" is {is_for}, and this {request.keys.kind} {asked}',
        )
    if points_to(content, request) or (imported and _waits_for(content, request)):
        return Found(content)
    return Refuse(reasons.content_misbound, _of_another(content, request))


def own_content(request: UserSnapshot, content_of: Callable[[str], C | None], by_uid: Iterable[C]) -> C | None:
    """The content that is for this very request, under whatever name, as far as there is one."""
    names = (request.bound_name, request.imported_name, request.made_name)
    named = (content_of(name) for name in names if name)
    return next((found for found in (*named, *by_uid) if found is not None and points_to(found, request)), None)


def hidden_content(
    request: UserSnapshot, names: Iterable[str | None], trouble_of: Callable[[str], str | None]
) -> str | None:
    """Why nobody can tell whether a content is for this request, where one that it may have cannot be read.

    A request that went would leave it, and what is on the storage, to nobody.
    """
    for name in names:
        if name and (trouble := trouble_of(name)) is not None:
            return _unreadable(request, name, trouble)
    return None


def _unreadable(request: UserSnapshot, name: str, trouble: str) -> str:
    return f'{request.keys.content_kind} "{name}" cannot be read: {trouble}'


def leaving_unbound(content: AnyContent, reasons: Reasons) -> Refuse | None:
    """Why a content that is for nobody yet is not to be bound: once bound it could not go before the request does."""
    if content.ref.uid or not content.deleting:
        return None
    kind = f"{content.keys.snapshot}Content"
    return Refuse(reasons.content_missing, f'{kind} "{content.name}", which is to be imported, is being deleted')


def _waits_for(content: AnyContent, request: UserSnapshot) -> bool:
    """Whether a content that an administrator has made names the request, and no uid yet."""
    ref = content.ref
    return (ref.namespace, ref.name, ref.uid) == (request.namespace, request.name, "")


def _of_another(content: AnyContent, request: UserSnapshot) -> str:
    ref = content.ref
    whose = f'"{ref.namespace}/{ref.name}"'
    if (ref.namespace, ref.name) == (request.namespace, request.name):
        whose += f" with uid {ref.uid}" if ref.uid else " without a uid"
    return (
        f'{request.keys.content_kind} "{content.name}" is for {request.keys.kind} {whose} and not for this one, '
        f'"{request.key}" with uid {request.uid}'
    )
