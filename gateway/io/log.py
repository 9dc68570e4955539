"""The log: lines on standard error, as a person or the system's journal reads them."""

from __future__ import annotations

import logging
import os
import sys

from gateway.config.settings import LogSettings

PLAIN = "%(asctime)s %(levelname)s %(name)s: %(message)s"
JOURNAL = (
    "<%(priority)d>%(name)s: %(message)s"  # sd-daemon(3): the journal keeps the time and the level itself
)
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


class JournalFormatter(logging.Formatter):
    """Every line with its priority, so that a traceback is not taken for several messages of another level."""

    def format(self, record: logging.LogRecord) -> str:
        record.priority = priority = PRIORITIES.get(record.levelno, 6)
        return super().format(record).replace("\n", f"\n<{priority}>")


def begin_log(settings: LogSettings) -> None:
    """Write from the level set on; in the journal's form when it listens (systemd.exec(5), JOURNAL_STREAM)."""
    handler = logging.StreamHandler(sys.stderr)
    journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(JournalFormatter(JOURNAL) if journal else logging.Formatter(PLAIN))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("gateway").setLevel(settings.level.upper())
