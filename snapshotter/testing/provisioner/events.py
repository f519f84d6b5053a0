"""What users are told of their claims and volumes: one event for each thing, counted up when it happens again."""

import uuid
from datetime import UTC, datetime

from snapshotter.testing.client import ApiFailure, Json, KubeClient


class Events:
    """Raises nothing: an event that cannot be written is not worth more."""

    def __init__(self, api: KubeClient, component: str) -> None:
        self._api = api
        self._component = component
        self._told: dict[tuple[str, str, str], Json] = {}

    async def tell(self, about: Json, kind: str, reason: str, message: str, *, warning: bool = False) -> None:
        metadata = about["metadata"]
        key = (metadata["uid"], reason, message)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        namespace = metadata.get("namespace", "default")
        try:
            if (told := self._told.get(key)) is not None:
                again = {"count": told["count"] + 1, "lastTimestamp": now}
                self._told[key] = await self._api.merge_patch(
                    "Event", told["metadata"]["name"], again, namespace=namespace
                )
                return
            self._told[key] = await self._api.create(
                {
                    "kind": "Event",
                    "metadata": {"name": f"{metadata['name']}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
                    "involvedObject": {
                        "apiVersion": "v1",
                        "kind": kind,
                        **{key: metadata[key] for key in ("namespace", "name", "uid") if key in metadata},
                    },
                    "type": "Warning" if warning else "Normal",
                    "reason": reason,
                    "message": message,
                    "source": {"component": self._component},
                    "reportingComponent": self._component,
                    "firstTimestamp": now,
                    "lastTimestamp": now,
                    "count": 1,
                }
            )
        except ApiFailure:
            self._told.pop(key, None)
