"""How long tests wait for what takes milliseconds: a machine that is busy must not fail them."""

from __future__ import annotations

PATIENCE_SECONDS = 30.0
