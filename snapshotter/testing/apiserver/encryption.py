"""What the server needs to be spoken to over TLS: a certificate, and an authority of its own that vouches for it."""

import ssl
from dataclasses import dataclass

import trustme


@dataclass(frozen=True, slots=True)
class Encryption:
    context: ssl.SSLContext
    authority: str
    """The PEM text of the certificate that clients have to trust."""


def encryption_for(host: str) -> Encryption:
    """A new authority, and a certificate of it for the host and for this machine."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*dict.fromkeys((host, "127.0.0.1", "localhost"))).configure_cert(context)
    return Encryption(context, authority.cert_pem.bytes().decode())
