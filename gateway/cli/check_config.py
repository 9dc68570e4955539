"""`hushtap check-config`: is the configuration right, and what follows from it."""

from __future__ import annotations

import argparse

from gateway.cli.configuration import chosen, settings_of


def run(arguments: argparse.Namespace) -> int:
    settings = settings_of(arguments)
    print(f"{chosen(arguments) or 'no file, the defaults'}: good")
    print(f"  SIP         {settings.sip.address} port {settings.sip.port}, UDP and TCP")
    if settings.sip.tls.certificate:
        print(f"  SIP         port {settings.sip.tls.port}, TLS")
    print(f"  peers       {', '.join(map(str, settings.sip.peers()))}")
    print(f"  RTP         ports {settings.media.first_port} to {settings.media.last_port}")
    print(f"  recordings  {settings.storage.directory.absolute()}")
    for name in ("vault_public", "vault_private", "node", "lookup"):
        print(f"  key         {name}: {settings.key_path(name).absolute()}")
    return 0
