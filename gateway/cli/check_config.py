"""`hushtap check-config`: is the configuration right, and what follows from it."""

from __future__ import annotations

import argparse

from gateway.cli.configuration import chosen, settings_of
from gateway.cli.errors import CannotRun
from gateway.io.admission import Admission
from gateway.io.credentials import CredentialsFault
from gateway.io.references import ReferenceFault, read_notices
from gateway.io.tls import TlsError


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    try:
        Admission(settings.sip, lambda: "unused")
        read_notices(settings.notice)
    except (TlsError, CredentialsFault, ReferenceFault) as error:
        raise CannotRun(str(error)) from error
    print(f"{chosen(arguments) or 'no file, the defaults'}: good")
    print(f"  SIP         {settings.sip.address} port {settings.sip.port}, UDP and TCP")
    if settings.sip.tls.certificate:
        print(f"  SIP         port {settings.sip.tls.port}, TLS")
    print(f"  peers       {', '.join(map(str, settings.sip.peers()))}")
    print(f"  RTP         ports {settings.media.first_port} to {settings.media.last_port}")
    print(f"  recordings  {settings.storage.directory.absolute()}")
    for notice, path in settings.notice.references.items():
        print(f"  notice      {notice}: {path.absolute()}")
    for name in ("vault_public", "vault_private", "node", "lookup"):
        print(f"  key         {name}: {settings.key_path(name).absolute()}")
    return 0
