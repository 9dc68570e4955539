// The two questions: why to pause, where policy wants to know; and whether to stop for good, never by accident.

const $ = (id) => document.getElementById(id);
const NAMES = {
  caller_asked: "The caller asked for it",
  distress: "Recording would distress the caller",
  payment: "Payment details are taken",
};

function named(reason) {
  return NAMES[reason] ?? (reason[0].toUpperCase() + reason.slice(1)).replaceAll(/[_-]/g, " ");
}

const waiting = new Map(); // who asked, by the dialog that is open

/** Opens a dialog; gives what it is answered with, or null when it is left or taken away. */
function opened(dialog) {
  settle(dialog, null);
  dialog.showModal();
  return new Promise((give) => waiting.set(dialog, give));
}

function settle(dialog, value) {
  waiting.get(dialog)?.(value);
  waiting.delete(dialog);
}

/** The answer is given before anything else happens: the browser tells of the closing only with its next frame. */
function answer(dialog, value = null) {
  settle(dialog, value);
  dialog.close();
}

for (const dialog of document.querySelectorAll("dialog")) {
  // Left by Escape. Where it is open, this tells of a closing before, and is too late.
  dialog.addEventListener("close", () => dialog.open || settle(dialog, null));
}

/** Takes open questions away: their call is over, or nobody is signed in any more. */
export function withdraw() {
  for (const dialog of document.querySelectorAll("dialog[open]")) answer(dialog);
}

export function asking() {
  return document.querySelector("dialog[open]") !== null;
}

/** The code of a reason, or null. */
export function whyPause(reasons) {
  $("why-reasons").replaceChildren(...reasons.map((reason, index) => {
    const button = $("why-option").content.firstElementChild.cloneNode(true);
    const [label, key] = button.children;
    button.dataset.key = String(index + 1);
    label.textContent = named(reason);
    key.textContent = button.dataset.key;
    button.addEventListener("click", () => answer($("why"), reason));
    return button;
  }));
  return opened($("why"));
}

/** Gives {reason}, which is empty where none is wanted and none was given; or null: do not stop. */
export async function whyStop(reasons, needed) {
  const choices = needed ? reasons : [...reasons, ""];
  $("ask-reasons").replaceChildren(...choices.map((reason) => {
    const item = $("reason-option").content.firstElementChild.cloneNode(true);
    item.querySelector("input").value = reason;
    item.querySelector("span").textContent = reason ? named(reason) : "Another reason";
    return item;
  }));
  $("ask-yes").disabled = true;
  const stopped = opened($("ask"));
  $("ask-no").focus();
  return (await stopped) && { reason: $("ask").querySelector("input:checked").value };
}

$("why-no").addEventListener("click", () => answer($("why")));
$("why").addEventListener("keydown", (event) => {
  if (!event.repeat) $("why-reasons").querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
});
$("ask-reasons").addEventListener("change", () => ($("ask-yes").disabled = false));
$("ask-no").addEventListener("click", () => answer($("ask")));
$("ask-yes").addEventListener("click", () => answer($("ask"), true));
