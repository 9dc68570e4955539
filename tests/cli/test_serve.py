"""`serve` where it cannot start; that it records is tested end to end."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from gateway.storage.vault import Vault


def serve(here: Path, settings: str) -> subprocess.CompletedProcess[str]:
    (here / "hushtap.toml").write_text(settings)
    command = [sys.executable, "-m", "gateway", "serve"]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_a_taken_port_is_one_sentence(here: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = serve(here, f"[sip]\nport = {port}\n[metrics]\nport = 0\n")
    assert done.returncode == 2
    assert f"127.0.0.1:{port}" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert (here / "hushtap-data/keys/vault.pub").exists()


def test_two_gateways_never_share_a_vault(here: Path) -> None:
    with Vault(here / "hushtap-data").exclusive():
        done = serve(here, "[metrics]\nport = 0\n")
    assert done.returncode == 2
    assert "another process writes to this vault" in done.stderr
    assert "Traceback" not in done.stderr
