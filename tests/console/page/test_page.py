"""The call-taker's page in a real browser: what is shown is only what the gateway has said."""

from __future__ import annotations

import time

import pytest

from gateway.console.shapes import LONGEST_AGO_MS
from gateway.recording.messages import Outcome, RecordingNow
from gateway.recording.model import Cause, Direction
from tests.console.fake import SECOND
from tests.console.page.browser import Browser, Tab
from tests.console.page.looks import Enter, shows, tells
from tests.console.page.switchboard import Switchboard, switchboard

LATE = "1.2 s that it covers were stored before, and are cut out of the recording"
PAUSED = {"state": RecordingNow.PAUSED, "cause": Cause.AGENT}


def test_a_call_is_shown_paused_and_resumed_by_mouse(gateway: Switchboard, signed_in: Enter) -> None:
    tab = signed_in()
    shows(tab, "idle")
    gateway.begin()
    shows(tab, "recording")
    assert ("button", "Pause recording") in tab.nodes()
    tab.click("#press")
    shows(tab, "paused")
    assert ("button", "Resume recording") in tab.nodes()
    assert tab.said("about") == "Paused by you"
    tab.click("#press")
    shows(tab, "recording")
    assert [asked[0] for asked in gateway.asked()] == ["pause", "resume"]
    gateway.do(lambda calls: calls.end("c1"))
    shows(tab, "idle")


def test_the_keyboard_alone_does_it(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    assert tab.focused() == "press"
    for key, state in ((" ", "paused"), ("Enter", "recording"), ("p", "paused"), ("P", "recording")):
        tab.press(key)
        shows(tab, state)
    tab.click("#keys")
    tab.evaluate("document.activeElement.blur()")
    tab.press("p")
    assert len(gateway.asked()) == 4, "single keys can be switched off"


@pytest.mark.parametrize("key", ["p", "Enter", " "])
def test_a_held_key_acts_once(gateway: Switchboard, signed_in: Enter, key: str) -> None:
    gateway.begin()
    tab = signed_in()
    tab.hold(key)
    if key != " ":  # which acts when it comes up
        shows(tab, "paused")
    for _ in range(8):
        tab.hold(key, again=True)
    tab.release(key)
    shows(tab, "paused")
    tab.press("t")
    tells(tab, "Noted")
    assert [asked[0] for asked in gateway.asked()] == ["pause", "mark"]


def test_nothing_is_shown_before_the_gateway_has_answered(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    gateway.do(lambda calls: calls.gate.clear())
    tab.press("p")
    tab.until("document.getElementById('press').getAttribute('aria-busy') === 'true'")
    tab.press("p")
    shows(tab, "recording")
    assert ("button", "Asking…") in tab.nodes()
    gateway.do(lambda calls: calls.gate.set())
    shows(tab, "paused")
    asked = gateway.asked()
    assert [each[0] for each in asked] == ["pause"]


def test_a_pause_is_not_lost_because_something_else_is_asked(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    gateway.do(lambda calls: calls.gate.clear())
    tab.press("t")
    tab.until("document.getElementById('press').getAttribute('aria-busy') === 'true'")
    tab.press("p")
    tab.evaluate("new Promise((give) => setTimeout(give, 300))")
    gateway.do(lambda calls: calls.gate.set())
    shows(tab, "paused")
    (_, pause) = gateway.asked()
    assert pause[0] == "pause"
    assert int(str(pause[-1])) >= 300_000_000, "counted from the key"


@pytest.mark.parametrize(
    ("outcome", "why", "state", "words"),
    [
        (Outcome.REFUSED, "keys are still being pressed", "recording",
         "Not done. Keys are still being pressed. The call is being recorded."),
        (Outcome.LATE, LATE, "paused",
         f"The recording is paused. But late: {LATE}."),
        (Outcome.UNCONFIRMED, "no media worker answers", "unknown",
         "Not confirmed. No media worker answers. Treat the call as being recorded."),
    ],
)  # fmt: skip
def test_an_outcome_is_told_in_plain_words(
    gateway: Switchboard, signed_in: Enter, outcome: Outcome, why: str, state: str, words: str
) -> None:
    gateway.begin()
    tab = signed_in()

    def answer(calls: object) -> None:
        gateway.controls.outcome, gateway.controls.why = outcome, why

    gateway.do(answer)
    tab.press("p")
    tells(tab, words)
    shows(tab, state)
    assert ("status", "") in tab.nodes(), "what became of it is read out"


def seconds(shown: str) -> int:
    """Of a time such as 0:42."""
    minutes, rest = shown.split(":")
    return 60 * int(minutes) + int(rest)


def test_time_is_the_gateways(gateway: Switchboard, signed_in: Enter) -> None:
    began = time.time_ns()
    gateway.begin(**PAUSED, since_ns=began - 42 * SECOND)
    tab = signed_in()
    shown, passed = seconds(tab.said("clock")), (time.time_ns() - began) / SECOND
    assert 42 <= shown <= 42 + passed
    tab.evaluate("Date.now = () => 0; new Date(0)")
    tab.until(f"document.getElementById('clock').textContent >= '0:{shown + 2}'")


def test_a_pause_counts_down_and_is_extended_by_one_key(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin(**PAUSED, resumes_ns=time.time_ns() + 58 * SECOND, warning=True)
    tab = signed_in()
    tells(tab, "Recording again in 0:", "alarm")
    left = seconds(tab.said("again"))
    assert left <= 58
    tab.until(f"document.getElementById('again').textContent <= '0:{left - 2}'")
    tab.press("e")
    tab.until("document.getElementById('again').textContent > '5:00'")
    assert [asked[0] for asked in gateway.asked()] == ["extend"]
    assert not tab.evaluate("document.getElementById('countdown').classList.contains('soon')")


def test_what_another_does_is_shown_in_every_tab(
    gateway: Switchboard, browser: Browser, signed_in: Enter
) -> None:
    gateway.begin()
    first = signed_in()
    with Tab(browser) as second:
        signed_in("all", second)
        second.press("p")
        shows(second, "paused")
        shows(first, "paused")
        assert first.said("about") == "Paused by a call-taker"
        gateway.do(lambda calls: calls.change("c1", state=RecordingNow.PAUSED, cause=Cause.CARD))
        for each in (first, second):
            tells(each, "card digits", "about")
        first.press("p")
        for each in (first, second):
            shows(each, "recording")


def test_markers_are_noted(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin(direction=Direction.OUTBOUND)
    tab = signed_in()
    assert "Before we start" in tab.text()
    for key, kind in (("t", "told_caller"), ("a", "abuse_reminder"), ("d", "decision_read_back")):
        tab.press(key)
        tab.until(f"document.querySelector('[data-kind={kind}]').classList.contains('noted')")
    tab.click("[data-kind=told_caller]")
    tab.until("document.getElementById('press').getAttribute('aria-busy') === 'false'")
    kinds = [asked[-1] for asked in gateway.asked()]
    assert kinds == ["told_caller", "abuse_reminder", "decision_read_back", "told_caller"]


def test_of_several_calls_one_is_acted_on(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin("old")
    tab = signed_in()
    gateway.begin("new")
    tab.until("!document.getElementById('calls').hidden")
    assert [name for role, name in tab.nodes() if role == "radio"] == ["Recording · They rang · 201"] * 2
    tab.press("p")
    shows(tab, "paused")
    assert gateway.asked()[0][:2] == ("pause", "old"), "the call at hand stays, whatever begins beside it"
    tab.click("[data-call=new] input")
    shows(tab, "recording")
    tab.press("p")
    shows(tab, "paused")
    assert gateway.asked()[0][:2] == ("pause", "new")
    gateway.do(lambda calls: calls.end("new"))
    tab.until("document.getElementById('calls').hidden")
    gateway.do(lambda calls: calls.change("old", held=True, state=RecordingNow.RECORDING))
    gateway.begin("third")
    tab.until("document.querySelector('[data-call=third] input')?.checked")
    tab.press("p")
    shows(tab, "paused")
    assert gateway.asked()[0][:2] == ("pause", "third"), "a call on hold gives way to the one that is spoken"


def test_the_last_words_of_a_call_that_was_hung_up_can_be_paused(
    gateway: Switchboard, signed_in: Enter
) -> None:
    gateway.begin("old")
    tab = signed_in()
    gateway.do(lambda calls: calls.change("old", ended=True))
    tells(tab, "Hung up", "about")
    tab.press("p")
    shows(tab, "paused")
    gateway.begin("new")
    shows(tab, "recording")
    tab.press("p")
    shows(tab, "paused")
    assert [asked[:2] for asked in gateway.asked()] == [("pause", "old"), ("pause", "new")]


def test_recording_is_never_stopped_by_accident(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    for key in ("Enter", "Escape"):
        tab.click("#stop")
        tab.until("document.getElementById('ask').open")
        assert ("dialog", "Stop recording this call?") in tab.nodes()
        assert tab.focused() == "ask-no"
        tab.press("p")
        tab.press(key)
        tab.until("!document.getElementById('ask').open")
    tab.click("#stop")
    tab.click("#ask-yes")
    assert tab.evaluate("document.getElementById('ask').open"), "nothing happens before a reason is chosen"
    assert gateway.asked() == []
    tab.click("#ask input[value=distress]")
    tab.click("#ask-yes")
    shows(tab, "off")
    assert [asked[:2] + asked[3:] for asked in gateway.asked()] == [("opt_out", "c1", "distress")]
    assert tab.focused() == "press"
    assert tab.evaluate("document.getElementById('stop').disabled")
    tab.press("p")
    assert gateway.asked() == [], "nothing brings it back"


def test_a_question_asked_again_at_once_is_answered_by_its_own_answer(
    gateway: Switchboard, signed_in: Enter
) -> None:
    gateway.begin()
    tab = signed_in()
    tab.evaluate(  # the browser tells that a dialog was closed only with its next frame
        "for (const each of ['stop', 'ask-no', 'stop']) document.getElementById(each).click()"
    )
    tab.evaluate("new Promise((give) => requestAnimationFrame(() => requestAnimationFrame(give)))")
    tab.click("#ask input[value=distress]")
    tab.click("#ask-yes")
    shows(tab, "off")
    assert [asked[:2] + asked[3:] for asked in gateway.asked()] == [("opt_out", "c1", "distress")]


def test_a_question_goes_with_its_call(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    tab.click("#stop")
    gateway.do(lambda calls: calls.end("c1"))
    tab.until("!document.getElementById('ask').open")
    assert gateway.asked() == []


def test_a_reason_is_asked_for_where_policy_wants_one(signed_in: Enter) -> None:
    with switchboard(require_reason=["pause", "opt-out"]) as gateway:
        gateway.begin()
        tab = signed_in(at=gateway)
        tab.press("p")
        tab.until("document.getElementById('why').open")
        assert ("button", "Payment details are taken") in tab.nodes()
        tab.press("3")
        shows(tab, "paused")
        action, _, _, reason, ago_ns = gateway.asked()[0]
        assert (action, reason) == ("pause", "payment")
        assert int(str(ago_ns)) > 0, "counted from the key, not from the answer to the question"
        tab.click("#stop")
        assert not tab.evaluate("!!document.querySelector('#ask input[value=\"\"]')")


def test_who_thinks_long_about_the_reason_still_pauses(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin()
    tab = signed_in()
    tab.evaluate(
        "const press = new KeyboardEvent('keydown', { key: 'p' });"
        "Object.defineProperty(press, 'timeStamp', { value: performance.now() - 60000 });"
        "dispatchEvent(press)"
    )
    shows(tab, "paused")
    assert gateway.asked()[0][-1] == LONGEST_AGO_MS * 1_000_000


def test_a_token_that_may_only_look(gateway: Switchboard, signed_in: Enter) -> None:
    gateway.begin(**PAUSED, resumes_ns=time.time_ns() + 100 * SECOND)
    tab = signed_in("eyes")
    tab.until("document.getElementById('stop').hidden")
    for key in "pet":
        tab.press(key)
    tab.click("#press")
    assert ("button", "Note on the recording") not in tab.nodes()
    assert gateway.asked() == []
