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

/** Opens a dialog; gives what it is closed with, or null when it is left or taken away. */
function opened(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((give) => {
    dialog.addEventListener("close", () => give(dialog.returnValue || null), { once: true });
  });
}

/** Takes open questions away: their call is over, or nobody is signed in any more. */
export function withdraw() {
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
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
    button.addEventListener("click", () => $("why").close(reason));
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
  const answer = opened($("ask"));
  $("ask-no").focus();
  return (await answer) && { reason: $("ask").querySelector("input:checked").value };
}

$("why-no").addEventListener("click", () => $("why").close());
$("why").addEventListener("keydown", (event) => {
  if (!event.repeat) $("why-reasons").querySelector(`[data-key="${CSS.escape(event.key)}"]`)?.click();
});
$("ask-reasons").addEventListener("change", () => ($("ask-yes").disabled = false));
$("ask-no").addEventListener("click", () => $("ask").close());
$("ask-yes").addEventListener("click", () => $("ask").close("stop"));
