"""What a line of the log holds, in each form, and what it never does."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.config.watching import LogSettings
from gateway.io import log as logs
from gateway.recording.model import Personal

CALL = "0193c1a5-7a00-7000-8000-00000000abcd"
OTHER = "0193c1a5-7a00-7000-8000-00000000ffff"
SECRET = "+15550001234"


def record(message: str, *args: object, error: bool = False) -> logging.LogRecord:
    raised = sys.exc_info() if error else None
    return logging.LogRecord("gateway.io.calls", logging.WARNING, __file__, 1, message, args, raised)


def line(told: logging.LogRecord) -> dict[str, Any]:
    text = logs.JsonFormatter().format(told)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def failed(error: Exception, cause: Exception | None = None) -> logging.LogRecord:
    try:
        raise error from cause
    except Exception:  # noqa: BLE001 whatever the test raises
        return record("call %s could not be stored", CALL, error=True)


def test_a_line_of_json() -> None:
    told = line(record("call %s was refused with %d: no port", CALL, 503))
    assert told == {
        "time": told["time"],
        "level": "warning",
        "logger": "gateway.io.calls",
        "message": f"call {CALL} was refused with 503: no port",
        "call": CALL,
    }


def test_time_is_utc_to_the_millisecond() -> None:
    told = record("ready")
    told.created, told.msecs = 1_700_000_000.007, 7.0
    assert line(told)["time"] == "2023-11-14T22:13:20.007Z"


def test_of_several_calls_the_first_is_the_field() -> None:
    told = line(record("call %s follows call %s", CALL, OTHER))
    assert told["call"] == CALL
    assert line(record("recording %s part 2 failed", OTHER))["recording"] == OTHER
    assert not {"call", "recording", "error"} & line(record("a call could not be set up")).keys()


def test_line_ends_stay_inside() -> None:
    assert line(record("one\ntwo\r\nthree \u2028"))["message"] == "one\ntwo\r\nthree \u2028"


@pytest.mark.parametrize(
    "formatter", [logs.Formatter(logs.PLAIN), logs.JournalFormatter(logs.JOURNAL), logs.JsonFormatter()]
)
def test_errors_are_told_by_kind_and_place_alone(formatter: logging.Formatter) -> None:
    text = formatter.format(failed(ValueError(SECRET), cause=KeyError(SECRET)))
    assert SECRET not in text
    assert "builtins.ValueError" in text
    assert "builtins.KeyError" in text
    assert "test_log.py" in text
    assert SECRET not in formatter.format(record("%s said %r", Personal(SECRET), Personal(SECRET)))


def test_what_the_system_says_is_told() -> None:
    told = line(failed(OSError(28, "No space left on device", SECRET)))
    assert "OSError: No space left on device" in told["error"]
    assert SECRET not in told["error"]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger; as before afterwards."""
    logger, ours = logging.getLogger(), logging.getLogger("gateway")
    kept, levels = logger.handlers[:], (logger.level, ours.level)
    yield logger
    logger.handlers[:] = kept
    logger.setLevel(levels[0])
    ours.setLevel(levels[1])
    logging.captureWarnings(False)


@pytest.mark.parametrize(
    ("form", "journal", "formatter"),
    [
        ("text", False, logs.Formatter),
        ("text", True, logs.JournalFormatter),
        ("json", False, logs.JsonFormatter),
        ("json", True, logs.JsonFormatter),
    ],
)
def test_the_setting_and_the_journal_decide(
    form: str, journal: bool, formatter: type, root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    monkeypatch.setenv(logs.FORMAT_VARIABLE, "")
    if journal:
        monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    root.handlers.clear()  # pytest has put its own there
    logs.begin_log(LogSettings.model_validate({"format": form, "level": "error"}))
    (handler,) = root.handlers
    assert type(handler.formatter) is formatter
    assert logging.getLogger("gateway").level == logging.ERROR


def test_the_end_of_a_child_is_a_line_like_any_other() -> None:
    program = (
        f"from gateway.io.log import begin_childs_log\nbegin_childs_log()\nraise ValueError({SECRET!r})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={logs.FORMAT_VARIABLE: "json", "PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 1
    told = json.loads(ended.stderr)
    assert told["level"] == "critical"
    assert "ValueError" in told["error"]
    assert SECRET not in ended.stderr
