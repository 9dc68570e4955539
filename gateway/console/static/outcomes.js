// What became of a request, in plain words, with what is true now.

const NOW = {
  recording: "The call is being recorded.",
  paused: "The recording is paused.",
  off: "The call is not being recorded.",
  unknown: "Treat the call as being recorded.",
};

/** A sentence or two; empty when it was done and the state itself says so: `linked` tells whether that is seen. */
export function told({ outcome, why, status }, linked = true) {
  const now = NOW[status?.state] ?? "";
  const because = sentence(why);
  switch (outcome) {
    case "applied": return linked ? "" : `Answered: ${now} Without a link to the gateway a change is not seen here.`;
    case "unchanged": return `Nothing to do. ${now}`;
    case "late": return `${now} But late: ${sentence(why, false)}`;
    case "refused": return `Not done. ${because} ${now}`;
    case "unconfirmed": return `Not confirmed. ${because} ${NOW.unknown}`;
    case "unanswered": return `The gateway did not answer. ${NOW.unknown}`;
    case "gone": return "That call is over.";
    case "forbidden": return `Not done. ${because}`;
    case "crowded": return "Not done: too many requests. Wait a moment, then try again.";
    default: return because;
  }
}

function sentence(text, capital = true) {
  if (!text) return "";
  const begun = capital ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
