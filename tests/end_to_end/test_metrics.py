"""Figures of a running gateway beside what it did, and after it was started again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from tests.end_to_end import callers
from tests.end_to_end.client import Client, both, metadata, sdp
from tests.end_to_end.gateway import Gateway, until

SETTINGS = {"media": {"hold_back_seconds": 1.0}}


def ended(gateway: Gateway, why: str) -> float:
    return gateway.metric("hushtap_calls_explained_total", why=why)


def test_every_call_is_accounted_for_and_every_process_pays(tmp_path: Path) -> None:
    with Gateway(tmp_path, {**SETTINGS, "metrics": {"office_hours": ["mon-sun 00:00-24:00"]}}) as gateway:
        assert gateway.metric("hushtap_recovered_calls") == 0
        asyncio.run(callers.place_all([callers.call(number, 3.0) for number in (1, 2)], gateway.server))
        silent(gateway)
        gateway.wait_idle()
        assert gateway.metric("hushtap_calls_signalled_total") == 3
        assert gateway.metric("hushtap_calls_total") == 3
        assert gateway.metric("hushtap_calls_setting_up") == 0
        assert ended(gateway, "no_media") == gateway.metric("hushtap_calls_explained_total") == 1
        assert gateway.metric("hushtap_office_hours") == 1
        until(
            "the speech was measured", lambda: gateway.metric("hushtap_resident_bytes", process="analyst"), 30
        )
        for process in ("control", "worker-0", "analyst"):
            used = gateway.metric("hushtap_cpu_seconds_total", process=process)
            assert 0 < used < 60
            assert gateway.metric("hushtap_resident_bytes", process=process) > 1 << 20
        assert 0 < gateway.metric("hushtap_open_files") < gateway.metric("hushtap_open_files_limit")
        assert time.time() - 300 < gateway.metric("hushtap_start_time_seconds") <= time.time()
        assert gateway.terminate() == 0
        gateway.start()
        stored = sum(path.stat().st_size for path in gateway.storage.rglob("*.sealed"))
        until("it was counted", lambda: gateway.metric("hushtap_storage_bytes_per_day") == 24 * stored, 30)
        left = gateway.metric("hushtap_storage_free_bytes") - (16 << 20)
        days = gateway.metric("hushtap_storage_days_left")
        assert 0.9 < days * 24 * stored / left < 1.1
        for name in ("vault_key", "oldest_recording_key"):
            assert time.time() - 300 < gateway.metric(f"hushtap_{name}_timestamp_seconds") <= time.time() + 1
        assert gateway.metric("hushtap_calls_of_other_keys") == 0


def silent(gateway: Gateway) -> None:
    with Client(gateway.server, "silent") as client:
        client.invite(*both(sdp("12"), metadata([("c", "4441", "1"), ("a", "1001", "2")])))
        client.request("BYE")


def test_calls_that_were_running_are_told_of_after_a_crash(tmp_path: Path) -> None:
    with Gateway(tmp_path, SETTINGS) as gateway:
        with Client(gateway.server, "crash") as client:
            client.invite(*both(sdp("12"), metadata([("c", "4442", "1"), ("a", "1001", "2")])))
            until("it is recorded", lambda: gateway.metric("hushtap_calls_recording") == 1, 20)
            assert gateway.process is not None
            os.killpg(gateway.process.pid, signal.SIGKILL)
            gateway.process.wait()
        gateway.start()
        assert gateway.metric("hushtap_recovered_calls") == 1
        assert gateway.metric("hushtap_calls_recording") == gateway.metric("hushtap_calls_paused_now") == 0
        until("calls are taken", lambda: gateway.metric("hushtap_taking_calls"), 20)
