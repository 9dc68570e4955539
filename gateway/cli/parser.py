"""The command line's grammar: every command, option and help text."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from gateway.cli.bench import add_options as add_bench_options
from gateway.console.agents import Right

FORMATS = ("wav", "mp3", "flac", "mka", "vcon")
STATES = ("recording", "recorded", "partial", "not_recorded")
CODE_LONGEST = 40  # characters of a reason on the never-record list
REASON_SHORTEST = 3  # characters: long enough that a bare keystroke is no reason

EXAMPLES = """\
examples:
  hushtap demo                                     three real calls on this machine, from ringing to MP3
  hushtap serve --config /etc/hushtap.toml         record until told to stop
  hushtap calls --number 5550123 --since 2026-03-01
  hushtap show 0193c1                              a call by the start of its id
  hushtap export 0193c1 --format mp3 --output call.mp3 --reason "complaint 4711"
  hushtap verify --all                             is every recording still what was recorded?
  hushtap doctor --calls 500                       can this machine record 500 calls at once?
  hushtap replay trunk.pcapng                      record the calls in a capture
  hushtap bench --calls 200 --json                 what do 200 calls cost here?

exit status: 0 all is well; 1 a check found a fault; 2 the command could not run
"""


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command and its options; `command` names what to run. Exits with 2 on a wrong line."""
    return _parser().parse_args(argv)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hushtap",
        description="Records both legs of SIPREC calls, sealed as they are written.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _config_option(parser, None)
    parser.add_argument("--version", action="store_true", help="print the version and end")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    def command(name: str, summary: str, description: str = "") -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=summary, description=description or _sentence(summary), allow_abbrev=False
        )
        _config_option(made, argparse.SUPPRESS)
        return made

    _add_running(command)
    add_bench_options(
        command("bench", "measure what recording costs here, beside the least that it can cost"), _positive
    )
    _add_reading(command)
    _add_keeping(command)
    _add_hotkey(command)
    return parser


Command = Callable[..., argparse.ArgumentParser]


def _add_running(command: Command) -> None:
    command("serve", "start the gateway and record until told to stop")
    demo = command("demo", "record three real calls on this machine, verify and export them")
    demo.add_argument(
        "--directory",
        type=Path,
        default=Path("hushtap-demo"),
        metavar="FOLDER",
        help="where it writes (%(default)s)",
    )
    demo.add_argument(
        "--seconds", type=_positive, metavar="N", help="calls of this length instead of their dialogues'"
    )
    replay = command(
        "replay",
        "record the calls in captures, as if the gateway had listened",
        "Record the calls in captures as if the gateway had listened; several captures are one traffic.",
    )
    replay.add_argument(
        "captures",
        nargs="+",
        metavar="FILE",
        help="a capture, pcap or pcapng, also compressed by gzip; - is standard input",
    )
    replay.add_argument(
        "--no-personal", action="store_true", help="list the calls without numbers, names and extensions"
    )
    _json_option(replay)
    command("check-config", "read the configuration and say what is wrong with it")
    doctor = command("doctor", "can this machine record: limits, ports, clock, disk, keys")
    doctor.add_argument(
        "--calls", type=_positive, default=200, metavar="N", help="calls at the same time (%(default)s)"
    )
    doctor.add_argument(
        "--quick", action="store_true", help="do not try for some seconds what calls cost on this machine"
    )
    doctor.add_argument(
        "--attach", action="store_true", help="listen at the taps instead: what is seen, SIP, both directions"
    )
    doctor.add_argument(
        "--seconds", type=_positive, default=15, metavar="N", help="how long it listens (%(default)s)"
    )
    _json_option(doctor)


def _add_reading(command: Command) -> None:
    calls = command("calls", "list calls, newest first")
    calls.add_argument("--number", metavar="TEXT", help="a number, or the digits it ends with")
    calls.add_argument("--state", choices=STATES, help="only calls in this state")
    calls.add_argument(
        "--since", type=_moment, metavar="TIME", help="started at or after this time: 2026-03-01[T08:30[Z]]"
    )
    calls.add_argument("--limit", type=_positive, metavar="N", help="at most so many")
    show = command("show", "show one call: parties, legs, redactions, recordings")
    show.add_argument("call", metavar="CALL", help="a call id, or enough of its start")
    for reader in (calls, show):
        reader.add_argument(
            "--no-personal",
            action="store_true",
            help="without numbers, names and extensions; needs no private key",
        )
        _json_option(reader)
    export = command(
        "export",
        "decrypt a call's audio into a file",
        "Decrypt a call's audio into a file, for a reason that is kept.",
    )
    export.add_argument("call", metavar="CALL", help="a call id, or enough of its start")
    export.add_argument(
        "--format",
        choices=FORMATS,
        required=True,
        help="mka is the stored payload, untouched; vcon the audio with all that is known of the call",
    )
    export.add_argument("--output", type=Path, required=True, metavar="FILE", help="the file to write")
    export.add_argument(
        "--leg",
        choices=("external", "agent", "both"),
        default="both",
        help="both: external left, agent right",
    )
    export.add_argument(
        "--segment", type=_positive, metavar="N", help="only this segment of a call that was transferred"
    )
    export.add_argument(
        "--reason", type=_reason, required=True, metavar="TEXT", help="why; kept, sealed, in the access log"
    )
    export.add_argument("--sign", action="store_true", help="sign the vcon with the node's key")
    export.add_argument("--force", action="store_true", help="replace the output file if it exists")


def _add_keeping(command: Command) -> None:
    verify = command("verify", "check recordings: signature, hashes, every sealed segment")
    chosen = verify.add_mutually_exclusive_group()
    chosen.add_argument("call", nargs="?", metavar="CALL", help="a call id, or enough of its start")
    chosen.add_argument("--all", action="store_true", help="every recording, as without a CALL")
    _json_option(verify)
    _add_actions(
        command("keys", "make, show or rotate the keys"),
        init="make the keys of a new vault",
        show="show which keys are there, and the public ones",
        rotate="make a new vault key and wrap every data key to it; the audio stays as it is",
    )
    users = _add_actions(
        command("sip-user", "who may place recordings by digest authentication"),
        add="let a user in, or change the password, which is asked for or read from standard input",
        list="list users",
        remove="keep a user out",
    )
    for action in ("add", "remove"):
        users[action].add_argument("name", metavar="NAME", help="the user's name")
    _add_never_record(
        _add_actions(
            command("never-record", "numbers that are never recorded"),
            add="put a number on the list, or change its entry; a running gateway knows at once",
            list="show the list; needs the private key",
            remove="take a number off the list",
        )
    )
    agents = _add_actions(
        command("agents", "who may pause, opt out and mark running calls, by a token each"),
        add="make a token, which is shown this once",
        list="list tokens, never their secrets",
        revoke="make a token worth nothing, at once",
    )
    agents["add"].add_argument(
        "name", type=_label, metavar="NAME", help="for you: a desk, a telephone, a person"
    )
    agents["add"].add_argument(
        "--extension",
        type=_extension,
        action="append",
        required=True,
        metavar="EXT",
        help="whose calls; may be given several times; '*': all, for supervisors",
    )
    agents["add"].add_argument(
        "--may",
        type=_rights,
        default="pause,opt-out,mark",
        metavar="LIST",
        help="what it may do (%(default)s)",
    )
    agents["revoke"].add_argument("id", metavar="ID", help="the token's id, its second part")
    command("reindex", "make the index anew from the vault")
    cut = command(
        "cut",
        "carry out pending cuts of what must not be kept",
        "Write recordings anew without what was stored before it was known that it must not be kept, under new keys;"
        " the old ones are destroyed.",
    )
    which = cut.add_mutually_exclusive_group(required=True)
    which.add_argument("call", nargs="?", metavar="CALL", help="a call id, or enough of its start")
    which.add_argument("--pending", action="store_true", help="every call with pending cuts")


def _add_never_record(actions: dict[str, argparse.ArgumentParser]) -> None:
    for action in ("add", "remove"):
        actions[action].add_argument(
            "number", metavar="NUMBER", help="a number; +44, 0044 and 0 forms are the same"
        )
    actions["add"].add_argument(
        "--reason",
        type=_code,
        required=True,
        metavar="TEXT",
        help="why; a few words without digits, kept in the clear",
    )
    actions["add"].add_argument(
        "--until", type=_day, metavar="DATE", help="the last day, UTC, on which it holds; else for ever"
    )
    _json_option(actions["list"])


def _add_hotkey(command: Command) -> None:
    hotkey = command(
        "hotkey",
        "a key on the call-taker's desktop that pauses and resumes",
        "A key on the call-taker's desktop that pauses and resumes, and tells by sound and sight what was done.",
    )
    hotkey.add_argument("--url", required=True, metavar="URL", help="the gateway's API: http://host:9480")
    hotkey.add_argument(
        "--token-file", type=Path, required=True, metavar="FILE", help="holds the token, mode 0600"
    )
    hotkey.add_argument(
        "--extension", default="", metavar="EXT", help="only this extension's calls; else all of the token's"
    )
    hotkey.add_argument(
        "--key", default="<ctrl>+<alt>+p", metavar="KEYS", help="pauses and resumes (%(default)s)"
    )
    hotkey.add_argument(
        "--opt-out-key", default="", metavar="KEYS", help="pressed twice, stops recording the call for good"
    )
    hotkey.add_argument("--reason", default="", metavar="CODE", help="given with a pause")
    hotkey.add_argument("--opt-out-reason", default="", metavar="CODE", help="given with an opt-out")
    hotkey.add_argument(
        "--ca", type=Path, metavar="FILE", help="trust the gateway's certificate by these authorities, PEM"
    )
    hotkey.add_argument("--quiet", action="store_true", help="make no sound")


def _add_actions(parser: argparse.ArgumentParser, **summaries: str) -> dict[str, argparse.ArgumentParser]:
    """What a command does is said by a word after it; each has its own --help."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    made = {
        name: actions.add_parser(name, help=summary, description=_sentence(summary), allow_abbrev=False)
        for name, summary in summaries.items()
    }
    for action in made.values():
        _config_option(action, argparse.SUPPRESS)
    return made


def _sentence(summary: str) -> str:
    return summary[0].upper() + summary[1:] + "."


def _config_option(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Taken before and after the command; the later parser must not overwrite what the first one read."""
    parser.add_argument(
        "--config",
        type=Path,
        default=default,
        metavar="FILE",
        help="configuration; else $HUSHTAP_CONFIG, else ./hushtap.toml, else the defaults",
    )


def _json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, of a shape that stays")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _label(text: str) -> str:
    if not 1 <= len(text) <= 64 or not text.isprintable():
        raise argparse.ArgumentTypeError("a name has 1 to 64 printable characters")
    return text


def _extension(text: str) -> str:
    if not 1 <= len(text) <= 64 or not text.isprintable() or " " in text:
        raise argparse.ArgumentTypeError("an extension has 1 to 64 printable characters and no space")
    return text


def _rights(text: str) -> frozenset[Right]:
    try:
        return frozenset(Right(word) for word in text.split(",") if word)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error}: expected of {', '.join(Right)}") from None


def _reason(text: str) -> str:
    if len(text.strip()) < REASON_SHORTEST:
        raise argparse.ArgumentTypeError(f"a reason has at least {REASON_SHORTEST} characters")
    return text.strip()


def _code(text: str) -> str:
    """A reason that calls' records may name: no digits, so no number."""
    if (
        not re.fullmatch(r"[^\W\d_][^\W\d_ -]*([ -][^\W\d_]+)*", text)
        or not REASON_SHORTEST <= len(text) <= CODE_LONGEST
    ):
        raise argparse.ArgumentTypeError(
            f"a reason for the list is {REASON_SHORTEST} to {CODE_LONGEST} letters, in words, without digits"
        )
    return text


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day like 2026-12-31") from None


def _moment(text: str) -> int:
    """UTC nanoseconds of an ISO 8601 time; one without a zone is UTC, as everything printed is."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a time like 2026-03-01 or 2026-03-01T08:30Z"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000
