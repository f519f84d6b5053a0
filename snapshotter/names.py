"""Strings that we share with others: API groups, annotations, finalizers, parameters, event reasons.

They are the interface with the snapshot-controller, with drivers and with dashboards; none may change.
"""

from typing import Final

SNAPSHOT_GROUP: Final = "snapshot.storage.k8s.io"
SNAPSHOT_VERSION: Final = "v1"

GROUP_SNAPSHOT_GROUP: Final = "groupsnapshot.storage.k8s.io"
GROUP_SNAPSHOT_VERSIONS: Final = ("v1", "v1beta2")
"""The versions that we speak, the preferred one first. They have the same fields."""
GROUP_SNAPSHOT_OLD_VERSION: Final = "v1beta1"
"""The version that others may still speak. Its contents list handles alone, where the later ones say more."""
KEPT_INFO_LIST: Final = "groupsnapshot.storage.kubernetes.io/volume-snapshot-info-list"
"""Annotation of a VolumeGroupSnapshotContent in the old version: what that version has no fields for, as JSON."""

# Annotations of VolumeSnapshotContent. Of the two marks only the key's presence means something.
BEING_CREATED: Final = "snapshot.storage.kubernetes.io/volumesnapshot-being-created"
BEING_DELETED: Final = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted"
DELETION_SECRET_NAME: Final = "snapshot.storage.kubernetes.io/deletion-secret-name"
DELETION_SECRET_NAMESPACE: Final = "snapshot.storage.kubernetes.io/deletion-secret-namespace"
# The domain of this one really is k8s.io: it marks a member of a group and carries the group's handle.
MEMBER_OF_GROUP: Final = "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle"

# Annotations of VolumeGroupSnapshotContent.
GROUP_BEING_CREATED: Final = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-created"
GROUP_BEING_DELETED: Final = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-deleted"
GROUP_DELETION_SECRET_NAME: Final = "groupsnapshot.storage.kubernetes.io/deletion-secret-name"
GROUP_DELETION_SECRET_NAMESPACE: Final = "groupsnapshot.storage.kubernetes.io/deletion-secret-namespace"

MANAGED_BY: Final = "snapshot.storage.kubernetes.io/managed-by"
"""The label of a content that the sidecar on one node works on: the node's name."""

CONTENT_FINALIZER: Final = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"

GROUP_CONTENT_FINALIZER: Final = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection"

# Finalizers of the objects that users make.
SOURCE_FINALIZER: Final = "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection"
BOUND_FINALIZER: Final = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
IN_GROUP_FINALIZER: Final = "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection"
GROUP_BOUND_FINALIZER: Final = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection"
CLAIM_FINALIZER: Final = "snapshot.storage.kubernetes.io/pvc-as-source-protection"

MARK: Final = "yes"
"""The value that a mark, of being created or of being deleted, is written with."""

# Annotations of classes; only the value `true` makes a class the default one of its driver.
DEFAULT_CLASS: Final = "snapshot.storage.kubernetes.io/is-default-class"
DEFAULT_GROUP_CLASS: Final = "groupsnapshot.storage.kubernetes.io/is-default-class"

# Class parameters under this prefix are for the snapshotter, never for the driver.
RESERVED_PREFIX: Final = "csi.storage.k8s.io/"
SNAPSHOTTER_SECRET_NAME: Final = "csi.storage.k8s.io/snapshotter-secret-name"
SNAPSHOTTER_SECRET_NAMESPACE: Final = "csi.storage.k8s.io/snapshotter-secret-namespace"
GROUP_SNAPSHOTTER_SECRET_NAME: Final = "csi.storage.k8s.io/group-snapshotter-secret-name"
GROUP_SNAPSHOTTER_SECRET_NAMESPACE: Final = "csi.storage.k8s.io/group-snapshotter-secret-namespace"
LIST_SECRET_NAME: Final = "csi.storage.k8s.io/snapshotter-list-secret-name"
LIST_SECRET_NAMESPACE: Final = "csi.storage.k8s.io/snapshotter-list-secret-namespace"
GROUP_GET_SECRET_NAME: Final = "csi.storage.k8s.io/group-snapshotter-get-secret-name"
GROUP_GET_SECRET_NAMESPACE: Final = "csi.storage.k8s.io/group-snapshotter-get-secret-namespace"
RESERVED_PARAMETERS: Final = frozenset(
    {
        SNAPSHOTTER_SECRET_NAME,
        SNAPSHOTTER_SECRET_NAMESPACE,
        LIST_SECRET_NAME,
        LIST_SECRET_NAMESPACE,
        GROUP_SNAPSHOTTER_SECRET_NAME,
        GROUP_SNAPSHOTTER_SECRET_NAMESPACE,
        GROUP_GET_SECRET_NAME,
        GROUP_GET_SECRET_NAMESPACE,
    }
)

# What --extra-create-metadata tells the driver about the objects behind a create.
METADATA_SNAPSHOT_NAME: Final = "csi.storage.k8s.io/volumesnapshot/name"
METADATA_SNAPSHOT_NAMESPACE: Final = "csi.storage.k8s.io/volumesnapshot/namespace"
METADATA_CONTENT_NAME: Final = "csi.storage.k8s.io/volumesnapshotcontent/name"

METADATA_GROUP_SNAPSHOT_NAME: Final = "csi.storage.k8s.io/volumegroupsnapshot/name"
METADATA_GROUP_SNAPSHOT_NAMESPACE: Final = "csi.storage.k8s.io/volumegroupsnapshot/namespace"
METADATA_GROUP_CONTENT_NAME: Final = "csi.storage.k8s.io/volumegroupsnapshotcontent/name"

# Event reasons.
CREATION_FAILED: Final = "SnapshotCreationFailed"
CHECK_FAILED: Final = "SnapshotContentCheckandUpdateFailed"
DELETE_FAILED: Final = "SnapshotDeleteError"
DELETE_PENDING: Final = "SnapshotDeletePending"
GROUP_CREATION_FAILED: Final = "GroupSnapshotCreationFailed"
GROUP_CHECK_FAILED: Final = "GroupSnapshotContentCheckandUpdateFailed"
GROUP_DELETE_FAILED: Final = "GroupSnapshotDeleteError"
MALFORMED: Final = "MalformedObject"
"""The one reason that is ours alone: of an object that does not fit its schema, for which nothing can be done."""

STRIPPED: Final = "***stripped***"
"""What stands in logs and texts in the place of a secret."""

CONTENT_QUEUE: Final = "csi-snapshotter-content"
GROUP_CONTENT_QUEUE: Final = "csi-snapshotter-groupsnapshotcontent"
"""The work queues' names in metrics."""
