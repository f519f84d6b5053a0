"""What the snapshot-controller does next for one VolumeSnapshot. Pure: every rule is an expression here.

`snapshotter.controller.requests` carries the actions out. What groups share is in the modules that this one asks:
`requests`, `binding`, `claims`, `classes`, `bodies`, `propagation`.
"""

from dataclasses import dataclass

from snapshotter import names
from snapshotter.model.content import Content, SnapshotClass
from snapshotter.model.volume_group_snapshot import VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan.binding import Missing, find, hidden_content, leaving_unbound, own_content, points_to
from snapshotter.plan.bodies import content_body, member_content_of
from snapshotter.plan.claims import Source, protected, releasable, source
from snapshotter.plan.classes import default_class, named_class
from snapshotter.plan.cluster import Cluster
from snapshotter.plan.nodes import managed_by
from snapshotter.plan.propagation import snapshot_report, time_of, waits_for_content
from snapshotter.plan.requests import (
    SINGLE_REASONS,
    BindContent,
    Blocked,
    CreateContent,
    DeleteContent,
    MarkContent,
    Prepare,
    ProtectClaims,
    Refusal,
    Refuse,
    Release,
    ReleaseClaims,
    RequestAction,
    Settle,
    Terms,
    Wait,
    lacking,
    present,
    was_told,
)
from snapshotter.plan.secrets import Problem, snapshotter_secret


@dataclass(frozen=True, slots=True)
class AddOwner:
    """Make a VolumeSnapshot that was imported together with its group a member of it."""

    group: str
    """The key of the group."""


Action = RequestAction | AddOwner


def next_action(snapshot: VolumeSnapshot, cluster: Cluster, terms: Terms) -> Action:
    """What to do for a VolumeSnapshot, as far as the stores know."""
    if snapshot.deleting:
        return _deletion(snapshot, cluster)
    if (snapshot.claim_name is None) is (snapshot.imported_name is None):
        return Refuse(
            SINGLE_REASONS.invalid,
            "exactly one of persistentVolumeClaimName and volumeSnapshotContentName must be set in spec.source",
        )
    name = _expected_name(snapshot, cluster)
    if name is None:
        return _member_without_content(snapshot)
    if not name:
        return Refuse(None, "spec.source.volumeSnapshotContentName is empty")
    match find(snapshot, name, cluster.singles.content, cluster.singles.trouble_with_content, SINGLE_REASONS):
        case Missing():
            return _without_content(snapshot, name, cluster, terms)
        case Refuse() as refusal:
            return refusal
        case found:
            return _with_content(snapshot, found.content, cluster)


def _expected_name(snapshot: VolumeSnapshot, cluster: Cluster) -> str | None:
    """The content that the snapshot should have; None for a member of a group that has none yet."""
    if snapshot.imported_name is not None:
        return snapshot.imported_name
    if not _is_member(snapshot):
        return snapshot.made_name
    return snapshot.bound_name or next((found.name for found in cluster.singles.contents_for(snapshot.uid)), None)


def _is_member(snapshot: VolumeSnapshot) -> bool:
    """Whether a group has made it, also when its owners were taken away, as by a deletion that leaves orphans."""
    return snapshot.group is not None or names.IN_GROUP_FINALIZER in snapshot.metadata.finalizers


def _member_without_content(snapshot: VolumeSnapshot) -> Action:
    if snapshot.group is not None:
        # The group has made this member, and makes its content next.
        return Wait()
    return Refuse(
        SINGLE_REASONS.content_missing,
        "it was made as a member of a VolumeGroupSnapshot, but none is named as its owner any more, "
        "and no VolumeSnapshotContent is for it",
    )


def _without_content(snapshot: VolumeSnapshot, name: str, cluster: Cluster, terms: Terms) -> Action:
    if was_told(snapshot) or _is_member(snapshot):
        # What users rely on is not cut a second time: another moment's data would bear the old one's date.
        return Refuse(
            SINGLE_REASONS.content_missing,
            f'VolumeSnapshotContent "{name}" is gone, and with it the way to the snapshot on the storage; '
            "this VolumeSnapshot cannot be used any more",
            missing=name,
        )
    if snapshot.imported_name is not None:
        return Refuse(
            SINGLE_REASONS.content_missing,
            f'VolumeSnapshotContent "{name}", which is to be imported, does not exist',
            missing=name,
        )
    return _creation(snapshot, cluster, terms)


def _creation(snapshot: VolumeSnapshot, cluster: Cluster, terms: Terms) -> Action:
    """The steps up to a new content: all that can be checked, the finalizers, the claim's protection, the content."""
    singles = cluster.singles
    named = named_class(snapshot, singles.snapshot_class, singles.trouble_with_class, SINGLE_REASONS)
    if isinstance(named, Refuse):
        return named
    found = source(snapshot.claim_key or "", cluster.storage)
    if isinstance(found, Refusal):
        if named is None:
            return Refuse(SINGLE_REASONS.no_default_class, found.problem, ready=None, passing=found.passing)
        return Refuse(SINGLE_REASONS.creation_failed, found.problem, passing=found.passing)
    chosen = named or default_class(
        snapshot, found.csi.driver, singles.default_classes, singles.trouble_with_classes(), SINGLE_REASONS
    )
    if isinstance(chosen, Refuse):
        return chosen
    content = _new_content(snapshot, chosen, found, cluster, terms)
    if isinstance(content, Refuse):
        return content
    wanted = _finalizers(chosen.deletion_policy)
    if (missing := lacking(snapshot, wanted)) or snapshot.class_name is None:
        return Prepare(missing, chosen.name if snapshot.class_name is None else None)
    if not found.claim.protected:
        return ProtectClaims((found.claim.key,))
    return content


def _new_content(
    snapshot: VolumeSnapshot, chosen: SnapshotClass, found: Source, cluster: Cluster, terms: Terms
) -> CreateContent | Refuse:
    if chosen.driver != found.csi.driver:
        return Refuse(
            SINGLE_REASONS.creation_failed,
            f'VolumeSnapshotClass "{chosen.name}" is for driver "{chosen.driver}", but PersistentVolumeClaim '
            f'"{found.claim.key}" is on a volume of driver "{found.csi.driver}"',
        )
    secret = snapshotter_secret(
        chosen.parameters, content=snapshot.made_name, namespace=snapshot.namespace, snapshot=snapshot.name
    )
    if isinstance(secret, Problem):
        problem = f'VolumeSnapshotClass "{chosen.name}": {secret.text}'
        return Refuse(SINGLE_REASONS.creation_failed, problem)
    label = managed_by((found.volume,), cluster.storage.nodes()) if terms.distributed else None
    body = content_body(
        snapshot,
        chosen,
        {"volumeHandle": found.csi.volume_handle},
        secret,
        label.labels if label is not None else {},
        finalizer=names.CONTENT_FINALIZER,
        secret_keys=(names.DELETION_SECRET_NAME, names.DELETION_SECRET_NAMESPACE),
        api_version=f"{names.SNAPSHOT_GROUP}/{names.SNAPSHOT_VERSION}",
        volume_mode=found.volume.spec.volume_mode if terms.record_volume_mode else None,
    )
    return CreateContent(
        body, (found.claim.key,), driver=chosen.driver, warning=None if label is None else label.remark
    )


def _with_content(snapshot: VolumeSnapshot, content: Content, cluster: Cluster) -> Action:
    if (refusal := leaving_unbound(content, SINGLE_REASONS)) is not None:
        return refusal
    # The finalizers come first: a snapshot that is deleted now must not leave a content behind that is bound to it.
    if missing := lacking(snapshot, _finalizers(content.spec.deletion_policy)):
        return Prepare(missing)
    if snapshot.imported_name is not None and _to_be_bound(snapshot, content):
        return BindContent(content.name, snapshot.uid, snapshot.class_name)
    if _is_another_cut(snapshot, content):
        return Refuse(
            SINGLE_REASONS.content_missing,
            f"the snapshot that was cut at {snapshot.status.creation_time} is gone: VolumeSnapshotContent "
            f'"{content.name}" has one that was cut at {time_of(content)}',
        )
    if snapshot.group is not None and snapshot.bound_name is None and content.handle is None:
        # The group has made the content, and tells it next what it knows: one report says it all.
        return Wait()
    if (report := snapshot_report(snapshot, content, _group_name(snapshot, content, cluster))) is not None:
        return report
    if (owner := _missing_owner(snapshot, content, cluster)) is not None:
        return AddOwner(owner)
    if snapshot.claim_key is not None and releasable(snapshot.claim_key, cluster):
        return ReleaseClaims((snapshot.claim_key,))
    return Settle() if snapshot.ready else Wait()


def _finalizers(policy: str) -> tuple[str, ...]:
    """What keeps a snapshot: until its content is taken care of, and gone if it goes with it."""
    if policy == "Delete":
        return (names.SOURCE_FINALIZER, names.BOUND_FINALIZER)
    return (names.SOURCE_FINALIZER,)


def _to_be_bound(snapshot: VolumeSnapshot, content: Content) -> bool:
    return not content.ref.uid or (snapshot.class_name is not None and content.class_name is None)


def _is_another_cut(snapshot: VolumeSnapshot, content: Content) -> bool:
    """Whether the content's snapshot is not the one that users were told of: it was cut at another time."""
    told, cut = snapshot.status.creation_time, time_of(content)
    return not snapshot.ready and told is not None and cut is not None and told != cut


def _group_name(snapshot: VolumeSnapshot, content: Content, cluster: Cluster) -> str | None:
    """The group, in the snapshot's namespace, that the content's snapshot is a member of."""
    handle = content.status.volume_group_snapshot_handle
    if snapshot.group is not None:
        return snapshot.group.name
    if not handle or not cluster.groups.known:
        return None
    groups = cluster.groups.contents_with(content.spec.driver, handle)
    return next((group.ref.name for group in groups if group.ref.namespace == snapshot.namespace), None)


def _missing_owner(snapshot: VolumeSnapshot, content: Content, cluster: Cluster) -> str | None:
    """The key of the group that a ready snapshot tells of, and does not yet name as its owner."""
    if snapshot.group is not None or not snapshot.ready or not cluster.groups.known:
        return None
    group = _group_told_of(snapshot, content, cluster)
    return None if group is None or group.deleting else group.key


def _group_told_of(snapshot: VolumeSnapshot, content: Content | None, cluster: Cluster) -> VolumeGroupSnapshot | None:
    """The group that the status names, if it has the group snapshot that the content's snapshot is in.

    Another group may have the name by now.
    """
    name = snapshot.status.volume_group_snapshot_name
    handle = None if content is None else content.status.volume_group_snapshot_handle
    group = cluster.groups.group(f"{snapshot.namespace}/{name}") if name else None
    if group is None or content is None or not handle:
        return None
    has_it = any(points_to(each, group) for each in cluster.groups.contents_with(content.spec.driver, handle))
    return group if has_it else None


def _deletion(snapshot: VolumeSnapshot, cluster: Cluster) -> Action:
    """The way out: nobody needs the snapshot, its content is marked and deleted or kept, and nothing holds it."""
    mine = present(snapshot)
    if not mine:
        return Settle()
    content = own_content(snapshot, cluster.singles.content, cluster.singles.contents_for(snapshot.uid))
    made = member_content_of(snapshot.name) if _is_member(snapshot) else snapshot.made_name
    if content is None:
        possible = (snapshot.bound_name, snapshot.imported_name, made)
        if (hidden := hidden_content(snapshot, possible, cluster.singles.trouble_with_content)) is not None:
            return Blocked(hidden)
    if content is not None and (blocked := _restored_by(snapshot, cluster)) is not None:
        return blocked
    if (waits := _kept_by_group(snapshot, content, cluster)) is not None:
        # Its group may still wait for it to be ready.
        report = (
            None if content is None else snapshot_report(snapshot, content, _group_name(snapshot, content, cluster))
        )
        return report or waits
    if content is not None:
        if not content.marked_as_being_deleted:
            return MarkContent(content.name)
        if content.spec.deletion_policy == "Delete":
            if not content.deleting:
                return DeleteContent(content.name)
            return snapshot_report(snapshot, content, None) or Wait(waits_for_content(content))
    if snapshot.claim_key is not None:
        if cluster.groups.known is None and protected(snapshot.claim_key, cluster.storage):
            # When it is known whether a group needs the claim, nobody else would let it go.
            return Wait()
        if releasable(snapshot.claim_key, cluster, besides=snapshot):
            return ReleaseClaims((snapshot.claim_key,))
    # Before users were told of a content, the answer to its creation may have been lost.
    doubtful = content is None and snapshot.claim_name is not None and snapshot.bound_name is None
    return Release(mine, missing=made if doubtful else None)


def _restored_by(snapshot: VolumeSnapshot, cluster: Cluster) -> Blocked | None:
    claims = cluster.storage.restoring(snapshot.key)
    if not claims:
        return None
    listed = ", ".join(f'"{claim.key}"' for claim in sorted(claims, key=lambda claim: claim.key))
    return Blocked(f"it is being restored into PersistentVolumeClaim {listed}")


def _kept_by_group(snapshot: VolumeSnapshot, content: Content | None, cluster: Cluster) -> Blocked | Wait | None:
    """A member goes with its group, and never before it."""
    owner = snapshot.group
    name = owner.name if owner is not None else snapshot.status.volume_group_snapshot_name
    if name and cluster.groups.known is None:
        return Wait()
    if owner is None:
        group = _group_told_of(snapshot, content, cluster)
    else:
        group = cluster.groups.group(f"{snapshot.namespace}/{owner.name}")
    if group is None or (owner is not None and owner.uid not in ("", group.uid)):
        return None
    if group.deleting:
        return Wait()
    return Blocked(f'it is a member of VolumeGroupSnapshot "{group.key}", and goes with it')
