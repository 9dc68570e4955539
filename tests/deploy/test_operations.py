"""What operations are given says what the program says: alerts, dashboard, unit, image."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import LoadSettings
from tests.end_to_end.gateway import Gateway, until

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = (PROMETHEUS / "hushtap.rules.yml").read_text(encoding="utf-8")
RULE_TESTS = (PROMETHEUS / "hushtap.rules.test.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "hushtap.json").read_text(encoding="utf-8"))
UNIT = ROOT / "deploy" / "systemd" / "hushtap.service"
DOCUMENTATION = "file:///usr/share/doc/hushtap/operations.md"
ALERTS = re.findall(r"- alert: (\w+)", RULES)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every name that a scrape of a running gateway shows."""
    with Gateway(tmp_path_factory.mktemp("scraped")) as gateway:
        scrape = until("a worker has told of itself", lambda: _with_workers(gateway), 30)
        assert gateway.terminate() == 0
    names = set(re.findall(r"^(?:# TYPE )?(hushtap_\w+)", scrape, re.MULTILINE))
    for histogram in re.findall(r"^# TYPE (\w+) histogram$", scrape, re.MULTILINE):  # of labels not seen yet
        names |= {f"{histogram}_{part}" for part in ("bucket", "count", "sum")}
    return names


def _with_workers(gateway: Gateway) -> str | None:
    text = gateway.scrape()
    return text if 'hushtap_resident_bytes{process="worker-0"}' in text else None


def queries() -> list[str]:
    found: list[str] = []
    for panel in DASHBOARD["panels"]:
        found += [target["expr"] for target in panel.get("targets", ())]
    return found


def promtool(*arguments: str, folder: Path = PROMETHEUS) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_fire_when_they_should() -> None:
    promtool("test", "rules", "hushtap.rules.test.yml")


def test_the_scrape_configuration_is_valid() -> None:
    promtool("check", "config", "prometheus.yml")


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_tried_and_explained(alert: str) -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert f"\n### {alert}\n" in runbook
    assert re.search(rf"alertname: {alert}\n\s+exp_alerts", RULE_TESTS), "it is never seen firing"
    assert f"alertname: {alert}}}" in RULE_TESTS, "it is never seen silent"


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_names_its_page(alert: str) -> None:
    (rule,) = re.findall(rf"- alert: {alert}\n(.*?)(?=\n\s*- alert|\Z)", RULES, re.DOTALL)
    assert f"runbook_url: {DOCUMENTATION}#{alert.lower()}\n" in f"{rule}\n"
    assert re.search(r"labels: \{severity: (page|ticket)\}", rule)


def test_the_runbook_tells_how_urgent_each_alert_is() -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^### (HushTap\w+)\n(page|ticket)\. ", runbook, re.MULTILINE))
    assert told == dict(re.findall(r"- alert: (\w+).*?severity: (\w+)", RULES, re.DOTALL))


def test_the_runbook_explains_no_alert_that_is_gone() -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### (HushTap\w+)$", runbook, re.MULTILINE)) == sorted(ALERTS)


@pytest.mark.parametrize("text", [RULES, *queries()])
def test_only_metrics_that_exist_are_asked_for(text: str, exported: set[str]) -> None:
    asked = set(re.findall(r"\bhushtap_\w+", text))
    assert asked <= exported


def test_the_dashboards_queries_are_valid(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": _filled(query)} for number, query in enumerate(queries())]
    path = tmp_path / "dashboard.yml"
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    promtool("check", "rules", str(path))


def _filled(query: str) -> str:
    return query.replace("$instance", ".*")


def test_the_dashboards_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def security(folder: Path, threshold: int, *drop_ins: Path) -> None:
    """Fails where a unit with its drop-ins is exposed more than that, of 100."""
    units = folder / "etc" / "systemd" / "system"
    (units / f"{UNIT.name}.d").mkdir(parents=True)
    for source in (UNIT, *drop_ins):
        target = units / UNIT.name if source == UNIT else units / f"{UNIT.name}.d" / source.name
        target.write_bytes(source.read_bytes())
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={threshold}",
            f"--root={folder}",
            UNIT.name,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_the_unit_is_hardened(tmp_path: Path) -> None:
    security(tmp_path, 15)


def test_a_tap_costs_one_capability(tmp_path: Path) -> None:
    security(tmp_path, 20, UNIT.with_name("tap.conf"))
    tap, unit = UNIT.with_name("tap.conf").read_text(encoding="utf-8"), UNIT.read_text(encoding="utf-8")
    assert re.findall(r"^\w*Capabilit\w*=(.*)$", tap, re.MULTILINE) == ["CAP_NET_RAW"] * 2
    assert re.findall(r"^\w*Capabilit\w*=(.*)$", unit, re.MULTILINE) == ["", ""]


@pytest.mark.parametrize(
    "line",
    ["User=hushtap", "LimitCORE=0", "LimitMEMLOCK=infinity", "ProtectSystem=strict", "NoNewPrivileges=yes"],
)
def test_the_unit_keeps_audio_to_itself(line: str) -> None:
    assert f"\n{line}\n" in UNIT.read_text(encoding="utf-8")


def test_the_unit_gives_running_calls_their_time() -> None:
    unit = UNIT.read_text(encoding="utf-8")
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert seconds
    assert int(seconds[1]) > LoadSettings().drain_seconds
