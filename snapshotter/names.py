"""Strings that we share with others: API groups, annotations, finalizers, parameters, event reasons.

They are the interface with the snapshot-controller, with drivers and with dashboards; none may change.
"""

from typing import Final

SNAPSHOT_GROUP: Final = "snapshot.storage.k8s.io"
SNAPSHOT_VERSION: Final = "v1"

# Annotations of VolumeSnapshotContent. Of the two marks only the key's presence means something.
BEING_CREATED: Final = "snapshot.storage.kubernetes.io/volumesnapshot-being-created"
BEING_DELETED: Final = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted"
DELETION_SECRET_NAME: Final = "snapshot.storage.kubernetes.io/deletion-secret-name"
DELETION_SECRET_NAMESPACE: Final = "snapshot.storage.kubernetes.io/deletion-secret-namespace"
# The domain of this one really is k8s.io: it marks a member of a group and carries the group's handle.
MEMBER_OF_GROUP: Final = "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle"

CONTENT_FINALIZER: Final = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"

MARK: Final = "yes"
"""The value that a being-created mark is written with."""

# Class parameters under this prefix are for the snapshotter, never for the driver.
RESERVED_PREFIX: Final = "csi.storage.k8s.io/"
LIST_SECRET_NAME: Final = "csi.storage.k8s.io/snapshotter-list-secret-name"
LIST_SECRET_NAMESPACE: Final = "csi.storage.k8s.io/snapshotter-list-secret-namespace"
RESERVED_PARAMETERS: Final = frozenset(
    {
        "csi.storage.k8s.io/snapshotter-secret-name",
        "csi.storage.k8s.io/snapshotter-secret-namespace",
        LIST_SECRET_NAME,
        LIST_SECRET_NAMESPACE,
        "csi.storage.k8s.io/group-snapshotter-secret-name",
        "csi.storage.k8s.io/group-snapshotter-secret-namespace",
        "csi.storage.k8s.io/group-snapshotter-get-secret-name",
        "csi.storage.k8s.io/group-snapshotter-get-secret-namespace",
    }
)

# What --extra-create-metadata tells the driver about the objects behind a create.
METADATA_SNAPSHOT_NAME: Final = "csi.storage.k8s.io/volumesnapshot/name"
METADATA_SNAPSHOT_NAMESPACE: Final = "csi.storage.k8s.io/volumesnapshot/namespace"
METADATA_CONTENT_NAME: Final = "csi.storage.k8s.io/volumesnapshotcontent/name"

# Event reasons.
CREATION_FAILED: Final = "SnapshotCreationFailed"
CHECK_FAILED: Final = "SnapshotContentCheckandUpdateFailed"
DELETE_FAILED: Final = "SnapshotDeleteError"
DELETE_PENDING: Final = "SnapshotDeletePending"

STRIPPED: Final = "***stripped***"
"""What stands in logs and texts in the place of a secret."""

CONTENT_QUEUE: Final = "csi-snapshotter-content"
"""The work queue's name in metrics."""
