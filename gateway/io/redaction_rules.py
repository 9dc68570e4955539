"""The rules of redaction, made from the settings."""

from __future__ import annotations

from gateway.config.settings import Settings
from gateway.redaction.rules import CardRule, FeatureCodes, PauseRule, Rules

NS = 1_000_000_000


def rules_of(settings: Settings) -> Rules:
    """Seconds and milliseconds become ns; the look-back is what audio is held for, at most."""
    redaction = settings.redaction
    card, pause, codes = redaction.card, redaction.pause, redaction.codes
    return Rules(
        look_back_ns=round(settings.look_back_seconds() * NS),
        inband=redaction.inband,
        guard_ns=redaction.guard_milliseconds * 1_000_000,
        discard=settings.optout.before == "discard",
        card=CardRule(
            active=card.active,
            least_digits=card.least_digits,
            schemes_only=card.schemes_only,
            gap_ns=round(card.gap_seconds * NS),
            quiet_ns=round(card.quiet_seconds * NS),
            ceiling_ns=round(card.ceiling_seconds * NS),
            agent_may_resume=card.agent_may_resume,
        ),
        pause=PauseRule(
            ceiling_ns=round(pause.ceiling_seconds * NS),
            warn_ns=round(pause.warn_seconds * NS),
            extend_ns=round(pause.extend_seconds * NS),
            forgotten_ns=round(pause.forgotten_seconds * NS),
        ),
        codes=FeatureCodes(codes.pause, codes.resume, codes.opt_out),
    )
