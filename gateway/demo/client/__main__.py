"""Load on a recording server: `python -m gateway.demo.client --server 127.0.0.1:5060 --calls 50 --seconds 30`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import ssl
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles

from gateway.demo import speech
from gateway.demo.client import Client, ClientError, Ending, Leg, Login, Network, Outcome, Party, Plan

PASSWORD = "SIP_PASSWORD"  # noqa: S105 the name of an environment variable


@dataclass(frozen=True, slots=True)
class Result:
    """All calls of a run."""

    outcomes: tuple[Outcome, ...]
    unanswered: tuple[str, ...]  # what was missing, for calls without an outcome
    latest_tick: float  # seconds
    cpu_seconds: float

    def summary(self) -> dict[str, object]:
        answered = [outcome for outcome in self.outcomes if outcome.ending is not Ending.REFUSED]
        legs = [leg for outcome in answered for leg in outcome.legs]
        setup = sorted(outcome.setup_seconds for outcome in answered) or [0.0]
        return {
            "calls": len(self.outcomes) + len(self.unanswered),
            "answered": len(answered),
            "refused": dict(Counter(str(o.status) for o in self.outcomes if o.ending is Ending.REFUSED)),
            "ended_by_server": sum(outcome.ending is Ending.SERVER for outcome in answered),
            "unanswered": list(self.unanswered),
            "problems": dict(Counter(problem for outcome in answered for problem in outcome.problems)),
            "setup_ms": {
                "median": round(1000 * setup[len(setup) // 2], 1),
                "p95": round(1000 * quantiles(setup, n=20)[-1], 1)
                if len(setup) > 1
                else round(1000 * setup[0], 1),
                "longest": round(1000 * setup[-1], 1),
            },
            "packets": sum(leg.packets for leg in legs),
            "lost_on_purpose": sum(leg.lost for leg in legs),
            "duplicated": sum(leg.duplicated for leg in legs),
            "not_sent": sum(leg.failed for leg in legs),
            "latest_tick_ms": round(1000 * self.latest_tick, 1),
            "cpu_seconds": round(self.cpu_seconds, 2),
        }


def plan(options: argparse.Namespace, index: int, audio: Sequence[bytes]) -> Plan:
    """The plan of one call of a run: inbound and outbound in turn, each with numbers of its own."""
    external = Leg(
        Party(f"+1555{1_000_000 + index}", f"Caller {index}"), audio[0], "1", skew_ppm=options.skew
    )
    agent = Leg(Party(str(200 + index % 700), f"Agent {index % 700}"), audio[1], "2", skew_ppm=-options.skew)
    caller, callee = (external, agent) if index % 2 == 0 else (agent, external)
    seed = None if options.seed is None else options.seed + index
    network = Network(
        options.loss, options.duplicate, options.jitter, options.reorder, options.reorder_delay, seed
    )  # fmt: skip
    return Plan(
        caller, callee, options.seconds, options.codec, ptime_ms=options.ptime, network=network, keep=False,
        session_seconds=options.session,
    )  # fmt: skip


async def run(options: argparse.Namespace) -> Result:
    """Start the calls one after the other at the rate asked for, and wait for all."""
    host, _, port = options.server.rpartition(":")
    audio = [speech.load("inbound", role, options.codec) for role in ("external", "agent")]
    loop = asyncio.get_running_loop()
    login = Login(options.user, os.environ.get(PASSWORD, "")) if options.user else None
    trusted = ssl.create_default_context(cafile=options.ca) if options.transport == "tls" else None
    async with Client((host, int(port)), options.transport, login, trusted) as client:
        began = loop.time()

        async def one(index: int) -> Outcome:
            await asyncio.sleep(began + index / options.rate - loop.time())
            return await client.place(plan(options, index, audio))

        ends = await asyncio.gather(*map(one, range(options.calls)), return_exceptions=True)
        latest = client.pacer.latest
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, ClientError):
            raise end
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Result(
        tuple(end for end in ends if isinstance(end, Outcome)),
        tuple(str(end) for end in ends if isinstance(end, ClientError)),
        latest,
        used.ru_utime + used.ru_stime,
    )


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m gateway.demo.client", description=__doc__)
    parser.add_argument("--server", required=True, metavar="HOST:PORT", help="the recording server")
    parser.add_argument("--calls", type=int, default=1, help="how many (default 1)")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each lasts (default 10)")
    parser.add_argument("--rate", type=float, default=20.0, help="calls started a second (default 20)")
    parser.add_argument("--transport", choices=("udp", "tcp", "tls"), default="udp")
    parser.add_argument(
        "--ca", metavar="FILE", help="PEM of whom to trust over TLS; else whom the system trusts"
    )
    parser.add_argument(
        "--user", metavar="NAME", help=f"for digest authentication; the password is ${PASSWORD}"
    )
    parser.add_argument(
        "--session", type=int, metavar="SECONDS", help="ask for a session timer, and refresh in time"
    )
    parser.add_argument("--codec", choices=("PCMA", "PCMU"), default="PCMA")
    parser.add_argument(
        "--ptime", type=int, default=20, choices=(10, 20, 30, 40, 60), help="milliseconds a packet"
    )
    parser.add_argument("--loss", type=float, default=0.0, help="probability that a packet is lost")
    parser.add_argument(
        "--duplicate", type=float, default=0.0, help="probability that a packet is sent twice"
    )
    parser.add_argument("--jitter", type=float, default=0.0, help="longest delay of a packet, milliseconds")
    parser.add_argument("--reorder", type=float, default=0.0, help="probability that a packet is held up")
    parser.add_argument(
        "--reorder-delay", type=float, default=60.0, help="how long then, milliseconds (default 60)"
    )
    parser.add_argument(
        "--skew", type=float, default=0.0, help="clock skew of the external legs, parts per million"
    )
    parser.add_argument("--seed", type=int, help="makes losses and delays the same each time")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 when every call was answered."""
    options = parser().parse_args(arguments)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # two sockets a call
    try:
        summary = asyncio.run(run(options)).summary()
    except OSError as error:
        print(f"{options.server}: {error.strerror}", file=sys.stderr)
        return 2
    print(
        json.dumps(summary, indent=2) if options.json else "\n".join(f"{k}: {v}" for k, v in summary.items())
    )
    return 0 if summary["answered"] == summary["calls"] else 1


if __name__ == "__main__":
    sys.exit(main())
