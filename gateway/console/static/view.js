// From what is known to what is seen: `describe` decides, `paint` writes only what has changed.

export const WORDS = { recording: "Recording", paused: "Paused", off: "Off", unknown: "Unknown", idle: "No call" };
const SIGNS = { recording: "●", paused: "❚❚", off: "□", unknown: "?", idle: "–" };
const CAUSES = {
  agent: "Paused by a call-taker",
  feature_code: "Paused from the telephone",
  card: "Paused: card digits are being keyed",
  src: "Paused by the telephone system",
  opt_out: "Recording was stopped for this call",
  never_record: "Calls of this line or number are not recorded",
};
const MINE = { agent: "Paused by you", opt_out: "You stopped the recording of this call" };
const LEADS = { inbound: "They rang", outbound: "You rang", internal: "Internal call" };
const WARN_SECONDS = 30;

/** Seconds as 0:42 or 1:02:03, never ahead of what has passed. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  const tail = String(whole % 60).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** What to show of `desk` at `now`, a monotonic time in milliseconds. */
export function describe(desk, now) {
  const call = desk.linked ? desk.call : null;
  const state = !desk.linked ? "unknown" : call ? call.state : "idle";
  const passed = (now - desk.heard) / 1000;
  const resumes = state === "paused" ? call.resumes_in_seconds : null;
  const left = resumes === null || resumes === undefined ? null : Math.max(0, resumes - passed);
  return {
    state,
    call,
    word: WORDS[state],
    clock: state === "unknown" || state === "idle" ? "" : clock(call.seconds + passed),
    about: about(desk, call, state),
    again: left === null ? "" : clock(Math.ceil(left)),
    warning: left !== null && (call.warning || left <= WARN_SECONDS),
    press: desk.asking ? "Asking…" : PRESSES[state],
    pressable: !desk.asking && state in ACTIONS && desk.call !== null && desk.holder.may.includes("pause"),
    stoppable: !desk.asking && call !== null && state !== "off",
    direction: call?.direction ?? "",
    title: `${SIGNS[state]} ${WORDS[state]} – HushTap`,
  };
}

const PRESSES = {
  recording: "Pause recording",
  paused: "Resume recording",
  off: "Not being recorded",
  unknown: "Try to pause",
  idle: "Pause recording",
};
/** What the big button asks for: never the opposite of what is shown. */
export const ACTIONS = { recording: "pause", paused: "resume", unknown: "pause" };

function about(desk, call, state) {
  if (!desk.linked && desk.blocked) return `The gateway answers, but gives no live state to pages of ${location.host}.`;
  if (!desk.linked) return desk.wait > 1 ? `No link to the gateway. Trying again in ${desk.wait} s.` : "Connecting to the gateway…";
  if (state === "idle") return "Recording is shown here as soon as a call begins.";
  if (state === "unknown") return "The gateway cannot say at the moment whether this call is recorded.";
  const mine = call.actor !== null && call.actor === desk.holder.actor;
  const why = state === "recording" ? LEADS[call.direction] : (mine && MINE[call.cause]) || CAUSES[call.cause];
  return [why, call.held && "On hold", call.ended && "Hung up: its last words can still be paused"].filter(Boolean).join(" · ");
}

const $ = (id) => document.getElementById(id);

function text(element, value) {
  if (element.textContent !== value) element.textContent = value;
}

function shape(picture, state) {
  const use = picture.firstElementChild;
  if (use.getAttribute("href") !== `#shape-${state}`) use.setAttribute("href", `#shape-${state}`);
}

function inert(button, on) {
  if (button.getAttribute("aria-disabled") !== String(on)) button.setAttribute("aria-disabled", on);
}

export function paint(view, desk) {
  const root = document.documentElement;
  if (root.dataset.state !== view.state) {
    root.dataset.state = view.state;
    $("icon").href = `agent/${view.state}.svg`;
  }
  shape($("shape"), view.state);
  if (document.title !== view.title) document.title = view.title;
  text($("word"), view.word);
  if ($("word").ariaLabel !== view.word) $("word").ariaLabel = view.word; // in capitals only for the eye
  text($("clock"), view.clock);
  text($("about"), view.about);
  text($("press-name"), view.press);
  inert($("press"), !view.pressable);
  $("press").setAttribute("aria-busy", desk.asking);
  text($("again"), view.again);
  $("countdown").hidden = !view.again;
  $("extend").hidden = !desk.holder.may.includes("pause");
  $("countdown").classList.toggle("soon", view.warning);
  $("stop").disabled = !view.stoppable;
  $("stop").hidden = !desk.holder.may.includes("opt-out");
  $("markers").hidden = !desk.holder.may.includes("mark");
  text($("line"), line(desk));
  text($("message"), desk.message);
  for (const words of $("words").children) {
    const { when, direction } = words.dataset;
    words.hidden = when !== view.state || (direction !== undefined && direction !== view.direction);
  }
  $("more").hidden = !desk.linked || !view.call;
  for (const button of $("markers").querySelectorAll("button")) {
    inert(button, desk.asking);
    button.classList.toggle("noted", desk.noted.has(button.dataset.kind));
  }
  paintCalls(view, desk);
}

function line(desk) {
  const lines = desk.linked && desk.call ? desk.call.extensions : [desk.extension].filter(Boolean);
  return lines.length ? `Extension ${lines.join(", ")}` : "";
}

/** More than one call: a choice of which one is acted on, each with its own shape and word. */
function paintCalls(view, desk) {
  const several = desk.linked && desk.calls.length > 1;
  $("calls").hidden = !several;
  const list = $("call-list");
  const wanted = several ? desk.calls : [];
  for (const item of [...list.children]) {
    if (!wanted.some((call) => call.call === item.dataset.call)) item.remove();
  }
  for (const call of wanted) {
    const item = [...list.children].find((one) => one.dataset.call === call.call) ?? list.appendChild(option(call));
    const [radio, picture, label] = item.children;
    radio.checked = call.call === view.call?.call;
    item.dataset.state = call.state;
    shape(picture, call.state);
    text(label, [WORDS[call.state], LEADS[call.direction], call.extensions.join(", "), call.held && "on hold", call.ended && "hung up"].filter(Boolean).join(" · "));
  }
}

function option(call) {
  const item = $("call-option").content.firstElementChild.cloneNode(true);
  item.dataset.call = call.call;
  item.firstElementChild.value = call.call;
  return item;
}
