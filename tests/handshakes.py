"""TLS handshakes in memory."""

import ssl

from snapshotter.web.certificate import ServedCertificate


def shown(served: ServedCertificate) -> bytes:
    """The certificate that a client is shown, in DER form. Fails if the server's key is not its own."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trusting.wrap_bio(to_client, to_server)
    server = served.listening.wrap_bio(to_server, to_client, server_side=True)
    finished: set[ssl.SSLObject] = set()
    while len(finished) < 2:
        for end in (client, server):
            try:
                end.do_handshake()
                finished.add(end)
            except ssl.SSLWantReadError:
                pass
    found = client.getpeercert(binary_form=True)
    assert found is not None
    return found
