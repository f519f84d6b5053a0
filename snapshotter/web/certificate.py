"""The certificate and key that a server shows, exchanged while it serves when their files change."""

import asyncio
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from snapshotter.metrics import WebhookMetrics
from snapshotter.web.validity import BadCertificate, Validity, validity

log = structlog.get_logger(__name__)

LOOK_SECONDS: Final = 2.0
"""How often the files are read. Reading sees every way in which they can change: a rewrite in place, another file
under the name, the exchanged links of a Kubernetes volume, a file that comes back after a while."""
TELL_AGAIN_SECONDS: Final = 60.0
"""How often is told of a pair that cannot be used."""


class BadPair(Exception):
    """The files do not hold a certificate and the key that belongs to it; the text names the file."""


@dataclass(frozen=True, slots=True)
class _Files:
    """What is in the two files. None: the file cannot be read."""

    certificate: bytes | None
    key: bytes | None = field(repr=False)


class ServedCertificate:
    """A pair in use. Handshakes take it whole: none ever sees the certificate of one pair with the key of another.

    The pair in use stays until there is a better one. Connections keep the one that they began with.
    """

    def __init__(self, certificate_file: Path, key_file: Path, metrics: WebhookMetrics) -> None:
        """Raises `BadPair`."""
        self._certificate_file = certificate_file
        self._key_file = key_file
        self._metrics = metrics
        self.trouble: str | None = None
        """Why what is in the files is not in use; None when it is."""
        self._told_at = 0.0
        self._seen = self._used = self._read()
        self._in_use, self._validity = self._loaded(self._used)
        self._tell()
        self.listening = _context()
        """What to listen with."""
        self.listening.sni_callback = self._choose

    def _choose(self, handshake: ssl.SSLObject | ssl.SSLSocket, *_: object) -> None:
        # OpenSSL asks in each handshake, also when the client names no server.
        handshake.context = self._in_use

    async def keep_current(self) -> None:
        """Follow the files, for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Use what is in the files if it is new and fits together.

        What does not is told of when it is there at a second look too: they may be in the middle of being written.
        """
        files, before = self._read(), self._seen
        self._seen = files
        if files == self._used:
            self.trouble = None
            return
        try:
            self._in_use, self._validity = self._loaded(files)
        except BadPair as error:
            if files == before:
                self._complain(str(error))
            return
        self._used, self.trouble = files, None
        self._metrics.certificate_reloads.labels("success").inc()
        self._tell()

    def _complain(self, trouble: str) -> None:
        now = time.monotonic()
        if trouble == self.trouble and now - self._told_at < TELL_AGAIN_SECONDS:
            return
        self.trouble, self._told_at = trouble, now
        self._metrics.certificate_reloads.labels("failure").inc()
        log.warning("the certificate is not exchanged", reason=trouble, expires=self._validity.end.isoformat())

    def problems(self) -> list[str]:
        """Why clients cannot trust the certificate in use at this moment."""
        now = time.time()
        if now > self._validity.end.timestamp():
            return [f"the certificate has expired at {self._validity.end.isoformat()}"]
        if now < self._validity.begin.timestamp():
            return [f"the certificate is not valid before {self._validity.begin.isoformat()}"]
        return []

    def _tell(self) -> None:
        self._metrics.certificate_expiry.set(self._validity.end.timestamp())
        log.info("certificate in use", begins=self._validity.begin.isoformat(), expires=self._validity.end.isoformat())

    def _read(self) -> _Files:
        return _Files(_content(self._certificate_file), _content(self._key_file))

    def _loaded(self, files: _Files) -> tuple[ssl.SSLContext, Validity]:
        if files.certificate is None:
            raise BadPair(f"{self._certificate_file} cannot be read")
        if files.key is None:
            raise BadPair(f"{self._key_file} cannot be read")
        try:
            found = validity(files.certificate)
        except BadCertificate as error:
            raise BadPair(f"{self._certificate_file}: {error}") from error
        context = _context()
        try:
            with _in_memory(files.certificate) as certificate, _in_memory(files.key) as key:
                context.load_cert_chain(certificate, key, password="")
        except ssl.SSLError as error:
            reason = (error.reason or "unreadable").lower().replace("_", " ")
            raise BadPair(
                f"{self._certificate_file} and {self._key_file} are not a certificate and its key: {reason}"
            ) from error
        return context, found


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """The path of a file that has this content and is nowhere on a disk.

    OpenSSL reads from files alone, and those that we have read may have changed since.
    """
    descriptor = os.memfd_create("copy")
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
