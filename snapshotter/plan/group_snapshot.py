"""What the snapshot-controller does next for one VolumeGroupSnapshot. Pure: every rule is an expression here.

The counterpart of `snapshotter.plan.snapshot`; what differs is that a selector gives the claims, and that the group's
answer becomes member snapshots.
"""

from dataclasses import dataclass

from snapshotter import names
from snapshotter.model.content import Content
from snapshotter.model.group_content import GroupContent, GroupSnapshotClass, MemberInfo
from snapshotter.model.storage import Volume
from snapshotter.model.volume_group_snapshot import LabelSelector, VolumeGroupSnapshot
from snapshotter.model.volume_snapshot import VolumeSnapshot
from snapshotter.plan import selectors
from snapshotter.plan.binding import Missing, find, hidden_content, leaving_unbound, own_content, points_to
from snapshotter.plan.bodies import content_body, member_content_name, member_name, member_status
from snapshotter.plan.claims import Source, releasable_of, source
from snapshotter.plan.classes import default_class, named_class
from snapshotter.plan.cluster import Cluster
from snapshotter.plan.nodes import managed_by
from snapshotter.plan.propagation import group_report, waits_for_content
from snapshotter.plan.requests import (
    GROUP_REASONS,
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
from snapshotter.plan.secrets import Problem, group_snapshotter_secret


@dataclass(frozen=True, slots=True)
class Member:
    """One volume of a group that was cut, and what there is of its objects."""

    info: MemberInfo
    volume_handle: str
    claim_name: str | None
    """None: nobody knows the volume's claim any more."""
    volume_mode: str | None
    snapshot: VolumeSnapshot | None
    content: Content | None


@dataclass(frozen=True, slots=True)
class MakeMembers:
    """Make what is missing of the members' objects, and bring their contents' status up to what the group tells."""

    content: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class DeleteMembers:
    """Ask for the deletion of the members' VolumeSnapshots; they go as soon as the group is gone."""

    keys: tuple[str, ...]


Action = RequestAction | MakeMembers | DeleteMembers


def next_action(group: VolumeGroupSnapshot, cluster: Cluster, terms: Terms) -> Action:
    """What to do for a VolumeGroupSnapshot, as far as the stores know."""
    if group.deleting:
        return _deletion(group, cluster)
    if (group.selector is None) is (group.imported_name is None):
        return Refuse(
            GROUP_REASONS.invalid,
            "exactly one of selector and volumeGroupSnapshotContentName must be set in spec.source",
        )
    name = group.made_name if group.imported_name is None else group.imported_name
    if not name:
        return Refuse(None, "spec.source.volumeGroupSnapshotContentName is empty")
    match find(group, name, cluster.groups.content, cluster.groups.trouble_with_content, GROUP_REASONS):
        case Missing():
            return _without_content(group, name, cluster, terms)
        case Refuse() as refusal:
            return refusal
        case found:
            return _with_content(group, found.content, cluster)


def members(group: VolumeGroupSnapshot, content: GroupContent, cluster: Cluster) -> tuple[Member, ...]:
    """The members that the group's content tells of, once all of them are known by name."""
    if group.imported_name is not None or content.handle is None:
        return ()
    return tuple(
        _member(group, content, info, info.volume_handle, cluster)
        for info in content.status.volume_snapshot_info_list
        if info.volume_handle and info.snapshot_handle
    )


def _without_content(group: VolumeGroupSnapshot, name: str, cluster: Cluster, terms: Terms) -> Action:
    if was_told(group):
        return Refuse(
            GROUP_REASONS.content_missing,
            f'VolumeGroupSnapshotContent "{name}" is gone, and with it the way to the group snapshot on the storage; '
            "this VolumeGroupSnapshot cannot be used any more",
            missing=name,
        )
    if group.selector is None:
        return Refuse(
            GROUP_REASONS.content_missing,
            f'VolumeGroupSnapshotContent "{name}", which is to be imported, does not exist',
            missing=name,
        )
    return _creation(group, group.selector, cluster, terms)


def _creation(group: VolumeGroupSnapshot, selector: LabelSelector, cluster: Cluster, terms: Terms) -> Action:
    """The steps up to a new content: all that can be checked, the finalizer, the claims' protection, the content."""
    if (refusal := selectors.trouble(selector)) is not None:
        return Refuse(GROUP_REASONS.invalid, refusal.problem)
    named = named_class(group, cluster.groups.group_class, cluster.groups.trouble_with_class, GROUP_REASONS)
    if isinstance(named, Refuse):
        return named
    found = _sources(group, selector, cluster)
    if isinstance(found, Refusal):
        if named is None:
            return Refuse(GROUP_REASONS.no_default_class, found.problem, ready=None, passing=found.passing)
        return Refuse(GROUP_REASONS.creation_failed, found.problem, passing=found.passing)
    chosen = named or default_class(
        group,
        found[0].csi.driver,
        cluster.groups.default_classes,
        cluster.groups.trouble_with_classes(),
        GROUP_REASONS,
    )
    if isinstance(chosen, Refuse):
        return chosen
    content = _new_content(group, chosen, found, cluster, terms)
    if isinstance(content, Refuse):
        return content
    # The finalizer comes first: a group that is deleted now must not leave its content behind.
    if (missing := lacking(group, (names.GROUP_BOUND_FINALIZER,))) or group.class_name is None:
        return Prepare(missing, chosen.name if group.class_name is None else None)
    if bare := tuple(each.claim.key for each in found if not each.claim.protected):
        return ProtectClaims(bare)
    return content


def _sources(group: VolumeGroupSnapshot, selector: LabelSelector, cluster: Cluster) -> tuple[Source, ...] | Refusal:
    """The claims that the selector takes, by name, or why one of them cannot be cut."""
    for key, trouble in sorted(cluster.storage.troubled_claims_in(group.namespace).items()):
        # A group that lacks a volume is worse than one that waits.
        return Refusal(
            f'PersistentVolumeClaim "{key}" cannot be read, so nobody can tell if the selector takes it: {trouble}'
        )
    chosen = sorted(
        claim.key
        for claim in cluster.storage.claims_in(group.namespace)
        if selectors.matches(selector, claim.metadata.labels) is True
    )
    if not chosen:
        written = selectors.written(selector)
        return Refusal(f'no PersistentVolumeClaim of namespace "{group.namespace}" has labels that fit "{written}"')
    found = []
    for key in chosen:
        each = source(key, cluster.storage)
        if isinstance(each, Refusal):
            return each
        found.append(each)
    return tuple(found)


def _new_content(
    group: VolumeGroupSnapshot, chosen: GroupSnapshotClass, found: tuple[Source, ...], cluster: Cluster, terms: Terms
) -> CreateContent | Refuse:
    for each in found:
        if each.csi.driver != chosen.driver:
            return Refuse(
                GROUP_REASONS.creation_failed,
                f'VolumeGroupSnapshotClass "{chosen.name}" is for driver "{chosen.driver}", but PersistentVolumeClaim '
                f'"{each.claim.key}" is on a volume of driver "{each.csi.driver}"',
            )
    secret = group_snapshotter_secret(
        chosen.parameters, content=group.made_name, namespace=group.namespace, snapshot=group.name
    )
    if isinstance(secret, Problem):
        return Refuse(GROUP_REASONS.creation_failed, f'VolumeGroupSnapshotClass "{chosen.name}": {secret.text}')
    volumes = tuple(each.volume for each in found)
    label = managed_by(volumes, cluster.storage.nodes()) if terms.distributed else None
    body = content_body(
        group,
        chosen,
        {"volumeHandles": [each.csi.volume_handle for each in found]},
        secret,
        label.labels if label is not None else {},
        finalizer=names.GROUP_CONTENT_FINALIZER,
        secret_keys=(names.GROUP_DELETION_SECRET_NAME, names.GROUP_DELETION_SECRET_NAMESPACE),
        api_version=f"{names.GROUP_SNAPSHOT_GROUP}/{names.GROUP_SNAPSHOT_VERSIONS[0]}",
    )
    claims = tuple(each.claim.key for each in found)
    return CreateContent(body, claims, driver=chosen.driver, warning=None if label is None else label.remark)


def _with_content(group: VolumeGroupSnapshot, content: GroupContent, cluster: Cluster) -> Action:
    if (refusal := leaving_unbound(content, GROUP_REASONS)) is not None:
        return refusal
    if missing := lacking(group, (names.GROUP_BOUND_FINALIZER,)):
        return Prepare(missing)
    if group.imported_name is not None and _to_be_bound(group, content):
        # The class of a group's content never changes once it is set.
        return BindContent(content.name, group.uid, group.class_name if content.class_name is None else None)
    if _is_another_cut(group, content):
        return Refuse(
            GROUP_REASONS.content_missing,
            f"the group snapshot that was cut at {group.status.creation_time} is gone: VolumeGroupSnapshotContent "
            f'"{content.name}" has one that was cut at {content.status.creation_time}',
        )
    known = members(group, content, cluster)
    if not group.ready and (step := _step_for_members(group, content, known)) is not None:
        return step
    ready = content.ready and _members_ready(group, content, known)
    if (report := group_report(group, content, ready=ready)) is not None:
        return report
    if free := _let_go(group, content, cluster):
        return ReleaseClaims(free)
    return Settle() if group.ready else Wait()


def _let_go(group: VolumeGroupSnapshot, content: GroupContent, cluster: Cluster) -> tuple[str, ...]:
    """The claims that nobody is cutting any more: the members', and those that had other labels before the cut."""
    if not group.ready:
        return releasable_of(cluster.storage.claims_in(group.namespace), cluster)
    # Also where several volumes have a member's handle, of which one was protected.
    volumes = (cluster.storage.volumes_of(content.spec.driver, handle) for handle in content.volumes)
    claim_names = {_claim_name(volume, group.namespace) for found in volumes for volume in found}
    claims = (cluster.storage.claim(f"{group.namespace}/{name}") for name in claim_names if name is not None)
    return releasable_of((claim for claim in claims if claim is not None), cluster)


def _step_for_members(
    group: VolumeGroupSnapshot, content: GroupContent, known: tuple[Member, ...]
) -> MakeMembers | Refuse | None:
    """What is still to be done for the members of a group that has not been ready yet."""
    if (stranger := _stranger(group, known)) is not None:
        return stranger
    unfinished = tuple(member for member in known if _unfinished(member, content))
    return MakeMembers(content.name, unfinished) if unfinished else None


def _to_be_bound(group: VolumeGroupSnapshot, content: GroupContent) -> bool:
    return not content.ref.uid or (group.class_name is not None and content.class_name is None)


def _is_another_cut(group: VolumeGroupSnapshot, content: GroupContent) -> bool:
    told, cut = group.status.creation_time, content.status.creation_time
    return not group.ready and told is not None and cut is not None and told != cut


def _member(
    group: VolumeGroupSnapshot, content: GroupContent, info: MemberInfo, handle: str, cluster: Cluster
) -> Member:
    volume = _volume(content.spec.driver, handle, cluster)
    return Member(
        info,
        handle,
        claim_name=_claim_name(volume, group.namespace),
        volume_mode=None if volume is None else volume.spec.volume_mode,
        snapshot=cluster.singles.snapshot(f"{group.namespace}/{member_name(group.uid, handle)}"),
        content=cluster.singles.content(member_content_name(group.uid, handle)),
    )


def _volume(driver: str, handle: str, cluster: Cluster) -> Volume | None:
    """The volume behind a handle; when several claim to be it, nobody can tell which."""
    found = cluster.storage.volumes_of(driver, handle)
    return found[0] if len(found) == 1 else None


def _claim_name(volume: Volume | None, namespace: str) -> str | None:
    ref = None if volume is None else volume.spec.claim_ref
    return ref.name if ref is not None and ref.namespace == namespace and ref.name else None


def _stranger(group: VolumeGroupSnapshot, known: tuple[Member, ...]) -> Refuse | None:
    """An object of a member's name that is not the member's. It is left alone."""
    for member in known:
        snapshot, content = member.snapshot, member.content
        if snapshot is not None and (snapshot.group is None or snapshot.group.uid not in ("", group.uid)):
            return Refuse(
                GROUP_REASONS.creation_failed,
                f'VolumeSnapshot "{snapshot.key}" is there already, and not of this group',
            )
        if snapshot is not None and content is not None and content.ref.uid and not points_to(content, snapshot):
            return Refuse(
                GROUP_REASONS.creation_failed,
                f'VolumeSnapshotContent "{content.name}" is there already, and not of VolumeSnapshot "{snapshot.key}"',
            )
    return None


def _unfinished(member: Member, content: GroupContent) -> bool:
    """Whether one of a member's objects is missing, or does not say yet what the group knows."""
    if member.snapshot is None or member.content is None or not member.content.ref.uid:
        return True
    return member_status(member.content, content.handle or "", member.info) is not None


def _members_ready(group: VolumeGroupSnapshot, content: GroupContent, known: tuple[Member, ...]) -> bool:
    """Whether every member is bound and ready. The members of an imported group are imported one by one."""
    if group.imported_name is not None:
        return True
    complete = bool(known) and len(known) == len(content.volumes)
    return complete and all(member.snapshot is not None and member.snapshot.ready for member in known)


def _deletion(group: VolumeGroupSnapshot, cluster: Cluster) -> Action:
    """The way out: nobody restores a member, the content is marked and deleted or kept, the members are to follow."""
    mine = present(group)
    if not mine:
        return Settle()
    content = own_content(group, cluster.groups.content, cluster.groups.contents_for(group.uid))
    if content is None:
        possible = (group.bound_name, group.imported_name, group.made_name)
        if (hidden := hidden_content(group, possible, cluster.groups.trouble_with_content)) is not None:
            return Blocked(hidden)
    own_members = cluster.singles.members_of(group)
    if content is not None and (blocked := _restored_by(own_members, cluster)) is not None:
        return blocked
    if content is not None and not content.marked_as_being_deleted:
        return MarkContent(content.name)
    if left := tuple(sorted(member.key for member in own_members if not member.deleting)):
        return DeleteMembers(left)
    if content is not None and content.spec.deletion_policy == "Delete":
        if not content.deleting:
            return DeleteContent(content.name)
        return group_report(group, content, ready=group.ready) or Wait(waits_for_content(content))
    if free := _only_protected_for(group, cluster):
        return ReleaseClaims(free)
    doubtful = content is None and group.selector is not None and group.bound_name is None
    return Release(mine, missing=group.made_name if doubtful else None)


def _only_protected_for(group: VolumeGroupSnapshot, cluster: Cluster) -> tuple[str, ...]:
    """The claims that nobody but this group still protects. Which ones it has selected may have changed meanwhile."""
    if group.selector is None:
        return ()
    return releasable_of(cluster.storage.claims_in(group.namespace), cluster, besides=group)


def _restored_by(own_members: tuple[VolumeSnapshot, ...], cluster: Cluster) -> Blocked | None:
    restoring = sorted(
        f'PersistentVolumeClaim "{claim.key}" from member "{member.key}"'
        for member in own_members
        for claim in cluster.storage.restoring(member.key)
    )
    return Blocked(f"members are being restored: {', '.join(restoring)}") if restoring else None
