"""How the webhook of the playground is joined to the API server: its certificate, its Service, its use."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trustme

from snapshotter import names
from snapshotter.testing.client import KubeClient

NAMESPACE: Final = "default"
SERVICE: Final = "snapshot-conversion-webhook-service"
"""The Service that the manifests make for the webhook."""
DEFINITION: Final = f"volumegroupsnapshotcontents.{names.GROUP_SNAPSHOT_GROUP}"


@dataclass(frozen=True, slots=True)
class Certificate:
    """The webhook's certificate and key, new with each start."""

    file: Path
    key_file: Path
    authority: bytes
    """The CA to trust, in PEM form."""


def make_certificate(directory: Path) -> Certificate:
    """A certificate for the Service, in this directory."""
    directory.mkdir(exist_ok=True)
    authority = trustme.CA()
    issued = authority.issue_cert(f"{SERVICE}.{NAMESPACE}.svc")
    made = Certificate(directory / "tls.crt", directory / "tls.key", authority.cert_pem.bytes())
    made.key_file.touch(mode=0o600)
    issued.private_key_pem.write_to_path(str(made.key_file))
    made.file.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    return made


async def have_converted(api: KubeClient, certificate: Certificate) -> None:
    """Tell the API server who converts group contents, as an administrator does."""
    client = {
        "service": {"namespace": NAMESPACE, "name": SERVICE, "path": "/convert", "port": 443},
        "caBundle": base64.b64encode(certificate.authority).decode(),
    }
    conversion = {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"], "clientConfig": client}}
    await api.merge_patch("CustomResourceDefinition", DEFINITION, {"spec": {"conversion": conversion}})
