"""Which volume a claim stands for, and whether it may be cut."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from snapshotter.model.lifecycle import AnyContent
from snapshotter.model.storage import Claim, CsiSource, Volume
from snapshotter.model.user_snapshot import UserSnapshot
from snapshotter.model.volume_group_snapshot import LabelSelector, VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan.cluster import Cluster, Storage
from snapshotter.plan.requests import Refusal, absent
from snapshotter.plan.selectors import matches

C = TypeVar("C", bound=AnyContent)


@dataclass(frozen=True, slots=True)
class Source:
    """A claim and its volume, which is a CSI driver's."""

    claim: Claim
    volume: Volume
    csi: CsiSource


def source(claim_key: str, storage: Storage) -> Source | Refusal:
    """What a claim stands for, or why it cannot be cut."""
    claim = storage.claim(claim_key)
    if claim is None:
        return Refusal(f'PersistentVolumeClaim "{claim_key}" {absent(storage.trouble_with_claim(claim_key))}')
    if not claim.bound:
        phase = claim.status.phase or "without a phase"
        # Claim and request are often made at once; but what is lost stays lost.
        passing = phase == "Pending" and not claim.deleting
        return Refusal(f'PersistentVolumeClaim "{claim_key}" is not bound to a volume: it is {phase}', passing)
    name = claim.spec.volume_name or ""
    volume = storage.volume(name)
    if volume is None:
        trouble = storage.trouble_with_volume(name)
        # The watch may tell of the volume later than of its claim.
        return Refusal(
            f'PersistentVolume "{name}" of PersistentVolumeClaim "{claim_key}" {absent(trouble)}',
            passing=trouble is None,
        )
    if not volume.belongs_to(claim):
        return Refusal(f'PersistentVolume "{name}" is not bound to PersistentVolumeClaim "{claim_key}"')
    csi = volume.spec.csi
    if csi is None or not csi.driver or not csi.volume_handle:
        return Refusal(f'PersistentVolume "{name}" of PersistentVolumeClaim "{claim_key}" is not of a CSI driver')
    if claim.deleting and not claim.protected:
        return Refusal(f'PersistentVolumeClaim "{claim_key}" is being deleted')
    return Source(claim, volume, csi)


def protected(claim_key: str, storage: Storage) -> bool:
    """Whether a claim is there and has our finalizer."""
    claim = storage.claim(claim_key)
    return claim is not None and claim.protected


def releasable(claim_key: str, cluster: Cluster, *, besides: UserSnapshot | None = None) -> bool:
    """Whether a claim is protected by us, and nobody needs that any more; `besides` is one who does not."""
    claim = cluster.storage.claim(claim_key)
    return claim is not None and bool(releasable_of((claim,), cluster, besides=besides))


def releasable_of(claims: Iterable[Claim], cluster: Cluster, *, besides: UserSnapshot | None = None) -> tuple[str, ...]:
    """The keys of those of the claims of one namespace that are `releasable`."""
    held = [claim for claim in claims if claim.protected]
    if not held or cluster.groups.known is None:
        return ()
    # What groups need is found out once, not for each claim.
    needs = [
        need
        for group in cluster.groups.groups_in(held[0].namespace)
        if group != besides and (need := _need(group, cluster)) is not None
    ]
    handles = {handle for need in needs if not isinstance(need, LabelSelector) for handle in need}
    selectors = [need for need in needs if isinstance(need, LabelSelector)]
    return tuple(
        sorted(
            claim.key
            for claim in held
            if _handle(claim, cluster.storage) not in handles
            and not any(_selects(selector, claim) for selector in selectors)
            and not any(
                _is_at(snapshot, cluster)
                for snapshot in cluster.singles.snapshots_of_claim(claim.key)
                if snapshot != besides
            )
        )
    )


def groups_concerned(claim: Claim, cluster: Cluster) -> Iterator[VolumeGroupSnapshot]:
    """The groups that are made of a claim's volume, or would be made of it."""
    handle = _handle(claim, cluster.storage)
    for group in cluster.groups.groups_in(claim.namespace):
        content = _content(group, cluster.groups.content)
        if content is not None:
            if handle in content.volumes:
                yield group
        elif group.selector is not None and _selects(group.selector, claim):
            yield group


def _is_at(snapshot: VolumeSnapshot, cluster: Cluster) -> bool:
    """Whether a snapshot is still to be made from its claim. What was cut and is lost will not be."""
    if snapshot.ready:
        return False
    content = _content(snapshot, cluster.singles.content)
    return not _leaves(snapshot, content) and not (snapshot.cut and content is None)


def _need(group: VolumeGroupSnapshot, cluster: Cluster) -> tuple[str, ...] | LabelSelector | None:
    """What a group is still to be made from: volumes by their handles, or the claims of a selector; None: nothing."""
    if group.ready:
        return None
    content = _content(group, cluster.groups.content)
    if _leaves(group, content):
        return None
    if content is None:
        return None if group.cut else group.selector
    # What is cut was settled when the content was made: labels count no more.
    return content.volumes


def _leaves(request: UserSnapshot, content: AnyContent | None) -> bool:
    """Whether a request goes without waiting for a content: of several that go at once, each lets their claim go.

    One that no finalizer of ours holds may go at any moment, and has not come so far as to protect a claim.
    """
    if content is None:
        return request.deleting or not request.held
    return request.deleting and content.spec.deletion_policy != "Delete"


def _content(request: UserSnapshot, content_of: Callable[[str], C | None]) -> C | None:
    return content_of(request.bound_name or request.made_name)


def _selects(selector: LabelSelector, claim: Claim) -> bool:
    return matches(selector, claim.metadata.labels) is True


def _handle(claim: Claim, storage: Storage) -> str | None:
    volume = storage.volume(claim.spec.volume_name or "")
    return None if volume is None or volume.spec.csi is None else volume.spec.csi.volume_handle
