"""Can the endpoints take calls and tell callers that they are recorded: facts, weighed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway.doctor import Finding, Level
from gateway.io.endpoint_facts import EndpointFacts


def examine_endpoints(facts: Sequence[EndpointFacts]) -> list[Finding]:
    """Of every endpoint, in the order in which its start would meet what is wrong."""
    return [finding for each in facts for finding in _endpoint(each)]


def _endpoint(found: EndpointFacts) -> Iterator[Finding]:
    yield Finding(
        f"{found.name} pjsua2",
        Level.OK if found.pjsua else Level.FAULT,
        "installed" if found.pjsua else "not installed",
        "installed",
        "" if found.pjsua else "install hushtap with the extra `endpoint`, on Python 3.11 or 3.12",
    )
    yield Finding(
        f"{found.name} audio",
        Level.FAULT if found.interface_fault else Level.OK,
        found.interface_fault or f"is heard on {found.interface}",
        "an interface with the endpoint's address",
        "set address and interface in its [[attach]]" if found.interface_fault else "",
    )
    yield _password(found)
    yield _notice(found)


def _password(found: EndpointFacts) -> Finding:
    return Finding(
        f"{found.name} password",
        Level.FAULT if found.password_fault else Level.OK,
        found.password_fault or ("given" if found.password else "none"),
        "readable by the gateway's user alone",
        "see the file that password_file names" if found.password_fault else "",
    )


def _notice(found: EndpointFacts) -> Finding:
    check = f"{found.name} notice"
    if found.notice_fault:
        return Finding(check, Level.FAULT, found.notice_fault, "a notice that can be played", "see there")
    if not found.notice_seconds:
        action = "set notice or notice_text: callers are not told that they are recorded"
        return Finding(check, Level.WARNING, "none", "a notice", action)
    return Finding(check, Level.OK, f"{found.notice_seconds:.1f} seconds", "a notice")
