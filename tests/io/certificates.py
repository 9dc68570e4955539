"""Certificates of an authority that lives as long as a test."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Authority:
    """Writes `ca.pem`, and pairs of certificate and key that it signed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("test authority")
        made = _builder(self._name, self._key.public_key(), self._name, 1).add_extension(
            x509.BasicConstraints(True, 0), critical=True
        )
        self.path.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def issue(self, name: str, serial: int = 2) -> tuple[Path, Path]:
        """Certificate and key, of an own name each, for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        addresses = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        made = _builder(_name(name), key.public_key(), self._name, serial)
        signed = made.add_extension(addresses, critical=False).sign(self._key, hashes.SHA256())
        certificate, private = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        certificate.write_bytes(signed.public_bytes(Encoding.PEM))
        private.touch(0o600)
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, private


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name, serial: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    made = x509.CertificateBuilder(issuer, subject, key, serial)
    return made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
