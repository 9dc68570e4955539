"""The log: lines on standard error, as a person, a collector or the system's journal reads them.

No line tells of a person: messages name a call by its id, and of an error that nobody foresaw only its kind and the
place are told, for its text may be whatever was being read.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
import traceback
from types import TracebackType

from gateway.config.watching import LogSettings

PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
JOURNAL = (
    "<%(priority)d>%(name)s: %(message)s"  # sd-daemon(3): the journal keeps the time and the level itself
)
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
# How messages name a call and a recording, by UUID; JSON lines have each as a member, too.
NAMED = re.compile(r"\b(call|recording) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
FORMAT_VARIABLE = "HUSHTAP_LOG_FORMAT"  # from the control process to those it starts, which read no settings

Raised = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class Formatter(logging.Formatter):
    """Lines of text."""

    def formatException(self, ei: Raised) -> str:
        """Kinds and places of an error and of those that caused it, never their texts but what the system says."""
        chain: list[str] = []
        error = ei[1]
        while error is not None:
            chain.append("".join(traceback.format_tb(error.__traceback__)) + _kind(error))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\nfrom which came:\n".join(reversed(chain))


class JournalFormatter(Formatter):
    """Every line with its priority, so that a traceback is not taken for several messages of another level."""

    def format(self, record: logging.LogRecord) -> str:
        record.priority = priority = PRIORITIES.get(record.levelno, 6)
        return super().format(record).replace("\n", f"\n<{priority}>")


class JsonFormatter(Formatter):
    """An object a line: time (UTC, RFC 3339), level, logger, message; call, recording and error where there are such."""

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = {
            "time": f"{moment}.{record.msecs:03.0f}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": message,
            **dict(reversed(NAMED.findall(message))),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def begin_log(settings: LogSettings) -> None:
    """Write from the level set on; as text in the journal's form when it listens (systemd.exec(5), JOURNAL_STREAM)."""
    os.environ[FORMAT_VARIABLE] = settings.format
    _to_standard_error(settings.format)
    logging.getLogger("gateway").setLevel(settings.level.upper())


def begin_childs_log() -> None:
    """Tell of what ends this process as the one that started it would."""
    _to_standard_error(os.environ.get(FORMAT_VARIABLE, "text"))
    sys.excepthook = _tell


def _to_standard_error(form: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(JsonFormatter())
    elif "JOURNAL_STREAM" in os.environ:
        handler.setFormatter(JournalFormatter(JOURNAL))
    else:
        handler.setFormatter(Formatter(PLAIN))
    logging.basicConfig(handlers=[handler])
    logging.captureWarnings(True)


def _tell(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("gateway").critical("the process ends", exc_info=(kind, error, trace))


def _kind(error: BaseException) -> str:
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    return f"{kind}: {error.strerror}" if isinstance(error, OSError) and error.strerror else kind
