"""What the snapshot-controller reads of Kubernetes' own storage objects: claims, volumes, nodes."""

from collections.abc import Mapping

import msgspec

from snapshotter.model.meta import ApiObject, ClusterObject, Meta, NamespacedMeta, NamespacedObject
from snapshotter.names import CLAIM_FINALIZER, SNAPSHOT_GROUP


class ClaimMeta(NamespacedMeta, frozen=True, kw_only=True):
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class DataSource(ApiObject, frozen=True, kw_only=True):
    """What a claim is to be filled from: `dataSource`, or `dataSourceRef`, which may name another namespace."""

    api_group: str | None = None
    kind: str = ""
    name: str = ""
    namespace: str | None = None


class ClaimSpec(ApiObject, frozen=True, kw_only=True):
    volume_name: str | None = None
    data_source: DataSource | None = None
    data_source_ref: DataSource | None = None


class ClaimStatus(ApiObject, frozen=True, kw_only=True):
    phase: str | None = None


class Claim(NamespacedObject, frozen=True, kw_only=True):
    """One PersistentVolumeClaim."""

    metadata: ClaimMeta
    spec: ClaimSpec = ClaimSpec()
    status: ClaimStatus = ClaimStatus()

    @property
    def bound(self) -> bool:
        return self.status.phase == "Bound" and bool(self.spec.volume_name)

    @property
    def deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    @property
    def protected(self) -> bool:
        """Our finalizer keeps the claim until it is cut."""
        return CLAIM_FINALIZER in self.metadata.finalizers

    @property
    def restores(self) -> tuple[str, ...]:
        """The keys of the VolumeSnapshots that the claim waits to be filled from; none once it is filled."""
        if self.status.phase != "Pending":
            return ()
        sources = (self.spec.data_source, self.spec.data_source_ref)
        return tuple(
            sorted(
                {
                    f"{source.namespace or self.namespace}/{source.name}"
                    for source in sources
                    if source is not None
                    and source.kind == "VolumeSnapshot"
                    and source.api_group == SNAPSHOT_GROUP
                    and source.name
                }
            )
        )


class ClaimRef(ApiObject, frozen=True, kw_only=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""


class CsiSource(ApiObject, frozen=True, kw_only=True):
    driver: str = ""
    volume_handle: str = ""


Operator = str
"""Of a node selector: In, NotIn, Exists, DoesNotExist, Gt or Lt. Others make the term that has it a broken one."""


class Requirement(ApiObject, frozen=True, kw_only=True):
    key: str = ""
    operator: Operator = ""
    values: tuple[str, ...] = ()


class NodeSelectorTerm(ApiObject, frozen=True, kw_only=True):
    match_expressions: tuple[Requirement, ...] = ()
    match_fields: tuple[Requirement, ...] = ()


class NodeSelector(ApiObject, frozen=True, kw_only=True):
    node_selector_terms: tuple[NodeSelectorTerm, ...] = ()


class NodeAffinity(ApiObject, frozen=True, kw_only=True):
    required: NodeSelector | None = None


class VolumeSpec(ApiObject, frozen=True, kw_only=True):
    csi: CsiSource | None = None
    claim_ref: ClaimRef | None = None
    volume_mode: str | None = None
    node_affinity: NodeAffinity | None = None


class Volume(ClusterObject, frozen=True, kw_only=True):
    """One PersistentVolume."""

    spec: VolumeSpec = VolumeSpec()

    def belongs_to(self, claim: Claim) -> bool:
        """Whether the volume says that it is the claim's. A reference without a uid is taken at its word."""
        ref = self.spec.claim_ref
        return (
            ref is not None
            and (ref.namespace, ref.name) == (claim.namespace, claim.name)
            and ref.uid in ("", claim.metadata.uid)
        )


class NodeMeta(Meta, frozen=True, kw_only=True):
    labels: dict[str, str] = msgspec.field(default_factory=dict)


class Node(ClusterObject, frozen=True, kw_only=True):
    """One Node."""

    metadata: NodeMeta

    @property
    def labels(self) -> Mapping[str, str]:
        return self.metadata.labels
