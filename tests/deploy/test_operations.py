"""What operations are given says what the program says: alerts, dashboard, unit, image."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import LoadSettings
from gateway.io.metrics import Metrics

ROOT = Path(__file__).parent.parent.parent
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = (PROMETHEUS / "hushtap.rules.yml").read_text(encoding="utf-8")
RULE_TESTS = (PROMETHEUS / "hushtap.rules.test.yml").read_text(encoding="utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "hushtap.json").read_text(encoding="utf-8"))
UNIT = ROOT / "deploy" / "systemd" / "hushtap.service"
ALERTS = re.findall(r"- alert: (\w+)", RULES)


def exported() -> set[str]:
    """Every name a scrape can show."""
    names = set()
    for family in Metrics().registry.collect():
        match family.type:
            case "counter":
                names.add(f"{family.name}_total")
            case "histogram":
                names |= {f"{family.name}_{part}" for part in ("bucket", "count", "sum")}
            case _:
                names.add(family.name)
    return names


def queries() -> list[str]:
    found: list[str] = []
    for panel in DASHBOARD["panels"]:
        found += [target["expr"] for target in panel.get("targets", ())]
    return found


def promtool(*arguments: str, folder: Path = PROMETHEUS) -> None:
    done = subprocess.run(
        ["promtool", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
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
    assert re.search(rf"alertname: {alert}\n\s+exp_alerts", RULE_TESTS)


def test_the_runbook_explains_no_alert_that_is_gone() -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### (HushTap\w+)$", runbook, re.MULTILINE)) == sorted(ALERTS)


@pytest.mark.parametrize("text", [RULES, *queries()])
def test_only_metrics_that_exist_are_asked_for(text: str) -> None:
    asked = set(re.findall(r"\bhushtap_\w+", text))
    assert asked <= exported()


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


def test_the_unit_is_hardened() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_the_unit_gives_running_calls_their_time() -> None:
    unit = UNIT.read_text(encoding="utf-8")
    seconds = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert seconds
    assert int(seconds[1]) > LoadSettings().drain_seconds
