"""The settings model: defaults that stand alone, faults named by place, paths rooted at the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.settings import Settings, SettingsError, load, parse


def written(folder: Path, text: str) -> Path:
    path = folder / "hushtap.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_defaults_keep_everything_in_one_folder() -> None:
    settings = Settings()
    assert settings.storage.directory == Path("hushtap-data")
    assert settings.key_path("vault_private") == Path("hushtap-data/keys/vault.key")
    assert settings.sip.address == "127.0.0.1"


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    settings = load(written(tmp_path, ""))
    assert settings.sip == Settings().sip
    assert settings.storage.directory == tmp_path / "hushtap-data"


def test_relative_paths_lie_beside_the_file(tmp_path: Path) -> None:
    settings = load(
        written(
            tmp_path,
            '[storage]\ndirectory = "calls"\n[keys]\nnode = "/etc/node.key"\nlookup = "k/lookup.key"\n',
        )
    )
    assert settings.storage.directory == tmp_path / "calls"
    assert settings.key_path("node") == Path("/etc/node.key")
    assert settings.key_path("lookup") == tmp_path / "k/lookup.key"
    assert settings.agents_path() == tmp_path / "calls/agents.json"
    assert settings.key_path("vault_public") == tmp_path / "calls/keys/vault.pub"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[sip]\nprot = 5060\n", "sip.prot: there is no such setting"),
        ("[spi]\nport = 5060\n", "spi"),
        ("[sip]\nport = 70000\n", "sip.port"),
        ('[sip]\nport = "high"\n', "sip.port"),
        ("[media]\nfirst_port = 20000\nlast_port = 20002\n", "at least four"),
        ("[media]\nhold_back_seconds = 0\n", "media.hold_back_seconds"),
        ("[roles]\nextensions = ['(']\n", "roles.extensions"),
        ("[roles]\ncaller = 'second'\n", "roles.caller"),
        ('[api]\norigins = ["recorder.example"]\n', "is not an origin"),
        ('[api]\nreasons = ["Card 4111"]\n', "small letters"),
        ('[api]\nreasons = []\nrequire_reason = ["opt-out"]\n', "needs at least one of reasons"),
        ('[api]\ncertificate = "chain.pem"\n', "certificate and key belong together"),
        ("sip = 5\n", "sip: a table is expected, found 5"),
        ("[sip\n", "is not TOML"),
    ],
)
def test_a_fault_is_named_by_its_place(tmp_path: Path, text: str, place: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert place in str(caught.value)


def test_every_fault_has_its_line(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        parse({"sip": {"port": 0, "prot": 1}, "log": {"level": "loud"}}, "a.toml", tmp_path)
    assert len(str(caught.value).splitlines()) == 3


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "absent.toml")
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"[sip]\naddress = '\xe9'\n")
    with pytest.raises(SettingsError, match="is not TOML"):
        load(tmp_path / "latin.toml")


def test_settings_are_replaced_whole_never_edited() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings().sip.port = 5070  # type: ignore[misc]
