"""Certificates for tests: made in no time, valid when a test says so."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate that vouches for itself, and its key, in PEM form."""

    certificate: bytes
    key: bytes

    def trusting(self) -> ssl.SSLContext:
        """What a client uses that trusts this certificate alone."""
        return ssl.create_default_context(cadata=self.certificate.decode())

    @property
    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.certificate.decode())


def make_pair(
    *,
    begin: datetime | None = None,
    end: datetime | None = None,
    password: bytes | None = None,
    name: str = "localhost",
) -> Pair:
    """A new pair for `localhost` and 127.0.0.1, valid from yesterday until tomorrow unless said otherwise."""
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin or now - DAY)
        .not_valid_after(end or now + DAY)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return Pair(
        certificate.public_bytes(Encoding.PEM),
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption),
    )


@dataclass(frozen=True, slots=True)
class Files:
    """Where a server finds its pair."""

    certificate: Path
    key: Path

    def write(self, pair: Pair) -> None:
        """In place: first the one file, then the other."""
        self.certificate.write_bytes(pair.certificate)
        self.key.write_bytes(pair.key)


def files_in(directory: Path) -> Files:
    return Files(directory / "tls.crt", directory / "tls.key")


def rewrite(files: Files, pair: Pair) -> None:
    """Both files are written over."""
    files.write(pair)


def rename(files: Files, pair: Pair) -> None:
    """New files take the places of the old ones."""
    for file, content in ((files.certificate, pair.certificate), (files.key, pair.key)):
        new = file.with_suffix(".new")
        new.write_bytes(content)
        new.rename(file)


def recreate(files: Files, pair: Pair) -> None:
    """Both files are removed and made anew."""
    files.certificate.unlink()
    files.key.unlink()
    files.write(pair)


def volume(files: Files, pair: Pair) -> None:
    """As the kubelet does it: the files are links into a directory that is itself a link, which is exchanged."""
    directory = files.certificate.parent
    data = directory / "..data"
    old = data.resolve() if data.is_symlink() else None
    new = directory / f"..{len(list(directory.iterdir()))}-{id(pair)}"
    new.mkdir()
    files_in(new).write(pair)
    link = directory / "..data_tmp"
    link.symlink_to(new.name)
    link.rename(data)
    for file in (files.certificate, files.key):
        if not file.is_symlink():
            file.unlink(missing_ok=True)
            file.symlink_to(Path("..data") / file.name)
    if old is not None:
        for file in old.iterdir():
            file.unlink()
        old.rmdir()


EXCHANGES = {
    "files that are written over": rewrite,
    "files that take the place of others": rename,
    "files that are removed and made anew": recreate,
    "a volume of Kubernetes": volume,
}
"""The ways in which the files of a pair come to hold another one."""
