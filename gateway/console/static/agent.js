// The call-taker's page: what is shown is only what the gateway has said.

import { forget, keep, kept, taken, whenChangedElsewhere } from "./access.js";
import { ask } from "./ask.js";
import { asking, whyPause, whyStop, withdraw } from "./dialogs.js";
import { Link } from "./link.js";
import { told } from "./outcomes.js";
import { ACTIONS, describe, paint } from "./view.js";

const $ = (id) => document.getElementById(id);
const REACH_MS = 10_000; // the gateway takes no press that is older
const WITHDRAWN = "The gateway does not know this token, or it was withdrawn.";
const NOTED = {
  told_caller: "Noted: the caller was told.",
  abuse_reminder: "Noted: the reminder was given.",
  decision_read_back: "Noted: the decision was read back.",
};
const ANYBODY = { actor: null, may: ["pause", "opt-out", "mark"], reasons: [], require_reason: [] };

let access = null;
let learning = false;
let chosen = null; // the id of a call that the person chose
let asked = null; // the action that is being asked for
let meanwhile = null; // a press for a pause that came while something else was asked
let announced = { state: "", warning: false };
const desk = {
  linked: false, // the gateway has spoken within the last seconds
  blocked: false,
  wait: 0, // seconds until the next attempt to reach it
  heard: 0, // monotonic milliseconds
  calls: [],
  call: null, // the one acted on
  asking: false,
  message: "",
  noted: new Set(), // kinds of marker that the gateway has taken for this call
  extension: "",
  holder: ANYBODY, // what the token may do
};

const link = new Link({
  calls(calls) {
    desk.linked = true;
    desk.heard = performance.now();
    desk.calls = calls;
    choose();
    show();
    learn();
  },
  lost() {
    desk.linked = false;
    show();
  },
  denied() {
    forget();
    signIn(WITHDRAWN);
  },
});

/** The call acted on stays the same while it can: until it is over, or waits while another is spoken. */
function choose() {
  const find = (id) => desk.calls.find((call) => call.call === id);
  const before = desk.call?.call;
  if (!find(chosen)) chosen = null;
  const waits = (call) => call.held || call.ended;
  const spoken = desk.calls.find((call) => !waits(call));
  const same = find(before);
  desk.call = find(chosen) ?? (same && !(waits(same) && spoken) ? same : (spoken ?? desk.calls[0] ?? null));
  if (desk.call?.call === before) return;
  desk.message = "";
  desk.noted.clear();
  withdraw();
}

function show() {
  const now = performance.now();
  desk.wait = Math.ceil(link.wait(now) / 1000);
  desk.blocked = link.blocked;
  const view = describe(desk, now);
  if (view.state !== announced.state) announce(view);
  if (view.warning && !announced.warning) $("alarm").textContent = `Recording again in ${view.again}. Press E to stay paused.`;
  announced = { state: view.state, warning: view.warning };
  paint(view, desk);
}

/** Said to those who listen: loss of what is known at once, all else when there is a pause in speech. */
function announce(view) {
  const loud = view.state === "unknown" && announced.state !== "";
  $("alarm").textContent = loud ? `Unknown. ${view.about} Treat the call as being recorded.` : "";
  $("said").textContent = loud ? "" : `${view.word}. ${view.about}`;
  if (!desk.asking) desk.message = "";
}

/** One request about the call shown; nothing else is asked until its answer is there. */
async function request(action, event, more = {}) {
  const call = desk.call?.call;
  if (!call || desk.asking) return null;
  const who = access;
  desk.asking = true;
  asked = action;
  desk.message = "";
  show();
  const ago_ms = Math.min(REACH_MS, Math.max(0, Math.round(performance.now() - event.timeStamp)));
  const result = await ask(who, `calls/${encodeURIComponent(call)}/${action}`, { ago_ms, ...more });
  desk.asking = false;
  if (who !== access) return null;
  queueMicrotask(catchUp);
  if (result.outcome === "denied") {
    link.tell.denied();
    return null;
  }
  if (desk.linked && desk.call?.call === call && result.status?.state) adopt(result.status);
  show();
  desk.message = told(result, desk.linked);
  show();
  return desk.call?.call === call ? result : null;
}

/** The answer says how the call stands: newer than what the link said last. */
function adopt(status) {
  const passed = (performance.now() - desk.heard) / 1000;
  const left = status.resumes_in_seconds;
  desk.call = { ...status, seconds: status.seconds - passed, resumes_in_seconds: left === null ? null : left + passed };
  desk.calls = desk.calls.map((call) => (call.call === status.call ? desk.call : call));
}

async function press(event) {
  if (desk.asking && asked !== "pause") meanwhile ??= { event, call: desk.call?.call };
  const view = describe(desk, performance.now());
  if (!view.pressable) return;
  const action = ACTIONS[view.state];
  const { require_reason, reasons } = desk.holder;
  if (action !== "pause" || !require_reason.includes("pause")) return request(action, event);
  const reason = await whyPause(reasons);
  if (reason) await request(action, event, { reason });
}

/** A pause is never lost because something else was asked just then; it reaches back to when its key was pressed. */
function catchUp() {
  const late = meanwhile;
  meanwhile = null;
  const view = describe(desk, performance.now());
  if (late && late.call === desk.call?.call && ACTIONS[view.state] === "pause") press(late.event);
}

function extend(event) {
  if (!$("countdown").hidden && !$("extend").hidden) request("extend", event);
}

async function mark(kind, event) {
  if ($("more").hidden || $("markers").hidden) return;
  const result = await request("markers", event, { kind });
  if (!["applied", "unchanged"].includes(result?.outcome)) return;
  desk.noted.add(kind);
  desk.message = NOTED[kind];
  show();
}

async function stop(event) {
  const { require_reason, reasons } = desk.holder;
  const answer = await whyStop(reasons, require_reason.includes("opt-out"));
  $("press").focus();
  if (answer) await request("opt-out", { timeStamp: performance.now() }, answer.reason ? answer : {});
}

const KEYS = {
  p: press,
  e: extend,
  t: (event) => mark("told_caller", event),
  a: (event) => mark("abuse_reminder", event),
  d: (event) => mark("decision_read_back", event),
};

addEventListener("keydown", (event) => {
  if (event.repeat) {
    // A key that is held acts once: also Enter and the space bar, which a button would take again and again.
    if (event.target instanceof HTMLButtonElement) event.preventDefault();
    return;
  }
  if (event.ctrlKey || event.altKey || event.metaKey || asking()) return;
  if (document.documentElement.dataset.screen === "call" && $("keys").checked) KEYS[event.key.toLowerCase()]?.(event);
});
$("press").addEventListener("click", press);
$("extend").addEventListener("click", extend);
$("stop").addEventListener("click", stop);
$("markers").addEventListener("click", (event) => {
  const kind = event.target.closest("button")?.dataset.kind;
  if (kind) mark(kind, event);
});
$("call-list").addEventListener("change", (event) => {
  chosen = event.target.value;
  choose();
  show();
});
$("keys").checked = localStorage.getItem("hushtap.keys") !== "off";
$("keys").addEventListener("change", () => localStorage.setItem("hushtap.keys", $("keys").checked ? "on" : "off"));

function signIn(fault = "") {
  access = null;
  link.close();
  meanwhile = null;
  Object.assign(desk, { linked: false, calls: [], call: null, asking: false, message: "", holder: ANYBODY });
  announced = { state: "", warning: false };
  withdraw();
  Object.assign(document.documentElement.dataset, { screen: "sign-in", state: "idle" });
  document.title = "Sign in – HushTap";
  $("said").textContent = $("alarm").textContent = "";
  $("access-fault").textContent = fault;
  $("line").textContent = "";
  $("token").value = "";
  $("token").focus();
}

function enter(given) {
  access = given;
  desk.extension = given.extension;
  document.documentElement.dataset.screen = "call";
  link.open(given);
  show();
  $("press").focus();
  learn();
}

/** What the token may do, once that is to be had. */
async function learn() {
  if (desk.holder.actor || learning) return;
  const who = access;
  learning = true;
  const { outcome, said } = await ask(who, "token");
  learning = false;
  if (outcome === "applied" && who === access) desk.holder = said;
}

$("access").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = { token: $("token").value.trim(), extension: $("extension").value.trim() };
  const query = given.extension ? `?extension=${encodeURIComponent(given.extension)}` : "";
  $("access-fault").textContent = "Asking…";
  const result = await ask(given, `calls${query}`);
  $("access-fault").textContent = result.outcome === "denied" ? WITHDRAWN : told(result);
  if (result.outcome !== "applied") return;
  keep(given, $("remember").checked);
  enter(given);
});
$("sign-out").addEventListener("click", () => {
  forget();
  signIn();
});
whenChangedElsewhere(() => {
  if (!kept()) signIn();
  else if (!access) enter(kept());
});
addEventListener("hashchange", begin);

function begin() {
  const given = taken();
  if (given) keep(given.access, given.remember);
  else if (access) return;
  const found = kept();
  if (found) enter(found);
  else signIn();
}

new Worker(new URL("beat.js", import.meta.url)).onmessage = () => {
  if (!access) return;
  link.check(performance.now());
  if (access) show();
};
begin();
