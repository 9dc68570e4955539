"""A name server for tests: dnsmasq."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import dns.exception
import dns.nameserver
import dns.resolver

from tests.end_to_end.gateway import until
from tests.ports import free_port

HOST = "127.0.0.1"
OPTIONS = (
    "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--bind-interfaces", "--pid-file=", "--user=root",
    "--local-ttl=60", f"--listen-address={HOST}", f"--host-record=there.test,{HOST}",
)  # fmt: skip


@contextmanager
def name_server(*records: str) -> Iterator[str]:
    """Gives its place; `records` are options of dnsmasq. It knows `there.test`."""
    port = free_port()
    process = subprocess.Popen(["dnsmasq", *OPTIONS, f"--port={port}", *records], stdin=subprocess.DEVNULL)
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = [dns.nameserver.Do53Nameserver(HOST, port)]

    def answers() -> bool:
        assert process.poll() is None, "dnsmasq ended"
        try:
            return bool(resolver.resolve("there.test", "A", lifetime=1.0))
        except (dns.exception.DNSException, OSError):
            return False

    try:
        until("the name server answers", answers)
        yield f"{HOST}:{port}"
    finally:
        process.terminate()
        process.wait()
