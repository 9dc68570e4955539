"""The signed form of a vCon: a JSON Web Signature in the general JSON serialisation (RFC 7515 section 7.2.1).

Made with the node's Ed25519 key (EdDSA, RFC 8037). The certificate that the draft asks for is signed by that key
itself: it carries the key in the form that is expected and vouches for nothing more.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.export.base64file import encoded
from gateway.storage.keys import NodeKey, NodePublicKey

ALGORITHM = "EdDSA"
CHUNK_BYTES = 3 << 20  # a multiple of three, so that pieces encoded one by one join
NO_END = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280 section 4.1.2.5: no end is known


def node_name(node: NodePublicKey) -> str:
    """A DNS name that is this node's alone, and never anybody's address (RFC 6761 section 6.4)."""
    return f"{node.id}.hushtap.invalid"


def write_signed(file: BinaryIO, vcon: memoryview, uuid: str, node: NodeKey, created: datetime) -> None:
    """Write the signed form of a vCon's JSON. Holds it in memory once more, encoded, for it is signed in one piece."""
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": encoded(node.key.public_key().public_bytes_raw()).decode()}
    protected = encoded(_json({"alg": ALGORITHM, "kid": node.public.id, "jwk": jwk}))
    message = bytearray(protected + b".")
    for at in range(0, len(vcon), CHUNK_BYTES):
        message += encoded(vcon[at : at + CHUNK_BYTES])
    signature = encoded(node.key.sign(message))
    # The draft wants `alg` in this header and has it in both in its examples.
    header = _json({"alg": ALGORITHM, "x5c": [_certificate(node, created)], "uuid": uuid})
    file.write(b'{"payload":"')
    file.write(memoryview(message)[len(protected) + 1 :])
    file.write(b'","signatures":[{"header":' + header)
    file.write(b',"protected":"' + protected + b'","signature":"' + signature + b'"}]}')


def _certificate(node: NodeKey, created: datetime) -> str:
    """RFC 7515 section 4.1.6: base64 of the DER."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, node_name(node.public))])
    certificate = (
        x509.CertificateBuilder(name, name, node.key.public_key(), x509.random_serial_number())
        .not_valid_before(created)
        .not_valid_after(NO_END)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(node_name(node.public))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(node.key, None)
    )
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode("ascii")


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
