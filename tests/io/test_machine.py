"""Facts measured on the machine the tests run on."""

from __future__ import annotations

import socket
from pathlib import Path

from gateway.config.settings import Settings, parse
from gateway.io.machine import PortState, measure
from gateway.storage.vault import Vault


def settings(folder: Path, **changes: dict[str, object]) -> Settings:
    return parse({"metrics": {"port": 0}, **changes}, "test", folder)


def test_taken_ports_are_seen(tmp_path: Path) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rtp,
    ):
        sip.bind(("127.0.0.1", 0))
        rtp.bind(("127.0.0.1", 0))
        port = rtp.getsockname()[1]
        even = port - port % 2
        machine = measure(
            settings(
                tmp_path,
                sip={"port": sip.getsockname()[1]},
                media={"first_port": even, "last_port": even + 5},
            )
        )
    assert machine.sip_udp is PortState.IN_USE
    assert machine.rtp_ports == 3
    assert machine.rtp_ports_free <= (2 if port == even else 3)


def test_a_foreign_address_is_not_ours(tmp_path: Path) -> None:
    machine = measure(settings(tmp_path, sip={"address": "192.0.2.1"}))
    assert machine.sip_udp is machine.sip_tcp is PortState.NO_SUCH_ADDRESS


def test_a_folder_that_is_not_there_leaves_the_one_above(tmp_path: Path) -> None:
    machine = measure(settings(tmp_path, storage={"directory": "a/b/c"}))
    assert not machine.folder.exists
    assert machine.folder.path == tmp_path
    assert machine.disk_free > 0
    assert not (tmp_path / "a").exists()


def test_modes_of_folder_and_keys(tmp_path: Path) -> None:
    keys = tmp_path / "calls" / "keys"
    keys.mkdir(parents=True)
    keys.parent.chmod(0o700)
    (keys / "node.key").touch(0o600)
    (keys / "lookup.key").touch()
    (keys / "lookup.key").chmod(0o644)
    machine = measure(settings(tmp_path, storage={"directory": "calls"}))
    assert machine.folder.exists
    assert machine.folder.mode == 0o700
    assert machine.keys == {"vault_public": None, "vault_private": None, "node": 0o600, "lookup": 0o644}


def test_a_running_gateway_is_known_by_its_lock(tmp_path: Path) -> None:
    chosen = settings(tmp_path, storage={"directory": "calls"})
    assert not measure(chosen).gateway_running
    with Vault(tmp_path / "calls").exclusive():
        assert measure(chosen).gateway_running
    assert not measure(chosen).gateway_running
