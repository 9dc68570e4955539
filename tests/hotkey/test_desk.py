"""What the hotkey shows, asks and sounds, without keyboard, window or gateway."""

from __future__ import annotations

from gateway.hotkey.desk import ANSWER_SECONDS, Answer, Ask, Call, Desk, Key, State, Tone


def call(state: State = State.RECORDING, name: str = "c1", waits: bool = False) -> Call:
    return Call(name, state, 42.0, waits)


def desk(*calls: Call, **options: str) -> Desk:
    made = Desk(**options)
    made.heard(calls, 0.0)
    return made


def press(made: Desk, now: float = 1.0) -> Ask:
    (asked,) = made.pressed(Key.PAUSE, now - 0.2, now)
    assert isinstance(asked, Ask)
    return asked


def test_it_asks_for_what_the_person_saw_and_never_for_the_opposite() -> None:
    assert press(desk(call())).path == "calls/c1/pause"
    assert press(desk(call(State.PAUSED))).path == "calls/c1/resume"
    assert press(desk(call(State.UNKNOWN))).path == "calls/c1/pause"
    assert desk(call(State.OFF)).pressed(Key.PAUSE, 1.0, 1.0) == [Tone.OFF]
    assert desk().pressed(Key.PAUSE, 1.0, 1.0) == [Tone.FAULT]


def test_without_a_link_it_asks_by_extension_for_the_safe_thing() -> None:
    made = Desk("201")
    made.lost("", 0.0)
    assert press(made).path == "extensions/201/pause"


def test_a_tone_sounds_once_whoever_is_first_to_tell() -> None:
    made = desk(call())
    asked = press(made)
    assert made.heard((call(State.PAUSED),), 1.1) == [Tone.PAUSED]
    assert made.answered(asked.number, Answer("applied", call=call(State.PAUSED)), 1.2) == []
    asked = press(made, 2.0)
    assert made.answered(asked.number, Answer("applied", call=call()), 2.1) == [Tone.RECORDING]
    assert made.heard((call(),), 2.2) == []


def test_what_was_so_already_sounds_too() -> None:
    made = desk(call())
    asked = press(made)
    assert made.answered(asked.number, Answer("unchanged", call=call()), 1.1) == [Tone.RECORDING]


def test_presses_wait_for_the_answer() -> None:
    made = desk(call())
    asked = press(made)
    assert made.view(1.1).asking
    assert made.pressed(Key.PAUSE, 1.2, 1.2) == []
    assert made.answered(asked.number + 1, Answer("applied"), 1.3) == []
    assert made.view(1.3).asking


def test_no_answer_is_a_fault_in_time() -> None:
    made = desk(call())
    asked = press(made)
    assert made.tick(1.0 + ANSWER_SECONDS - 0.1) == []
    assert made.tick(1.0 + ANSWER_SECONDS) == [Tone.FAULT]
    assert "treat the call as being recorded" in made.view(7.0).message
    assert made.answered(asked.number, Answer("applied", call=call(State.PAUSED)), 8.0) == []


def test_what_was_not_done_sounds_unlike_all_else() -> None:
    for outcome in ("refused", "unconfirmed", "denied", "forbidden", "gone", "crowded", "unanswered"):
        made = desk(call())
        asked = press(made)
        assert made.answered(asked.number, Answer(outcome, "because"), 1.1) == [Tone.FAULT]
        assert made.view(1.2).message
        made.tick(60.0)
        assert not made.view(60.0).message


def test_loss_shows_nothing_of_before_and_sounds_once() -> None:
    made = desk(call(State.PAUSED))
    assert made.lost("", 2.0) == [Tone.FAULT]
    assert made.lost("", 3.0) == []
    view = made.view(3.0)
    assert (view.state, view.seconds) == (State.UNKNOWN, None)
    assert made.heard((call(State.PAUSED),), 4.0) == [Tone.PAUSED]
    assert made.view(5.0).seconds == 43.0


def test_calls_begin_and_end_in_silence_unless_they_are_not_recorded() -> None:
    made = desk()
    assert made.heard((call(),), 1.0) == []
    assert made.heard((), 2.0) == []
    assert made.heard((call(State.OFF),), 3.0) == [Tone.OFF]


def test_the_call_at_hand_stays() -> None:
    made = desk(call(name="old"))
    made.heard((call(name="new"), call(name="old")), 1.0)
    assert press(made).path == "calls/old/pause"
    made = desk(call(name="old"))
    made.heard((call(name="new"), call(name="old", waits=True)), 1.0)
    assert press(made).path == "calls/new/pause"


def test_opting_out_takes_two_presses_soon_after_each_other() -> None:
    made = desk(call(), opt_out_reason="distress")
    assert made.pressed(Key.OPT_OUT, 1.0, 1.0) == [Tone.AGAIN]
    assert made.pressed(Key.OPT_OUT, 9.0, 9.0) == [Tone.AGAIN]
    (asked,) = made.pressed(Key.OPT_OUT, 10.0, 10.0)
    assert isinstance(asked, Ask)
    assert (asked.path, asked.reason) == ("calls/c1/opt-out", "distress")
