// The token by which a call-taker is known: kept for the tab, or on this computer where the person asks for that.

const NAME = "hushtap.access";

/** What is kept: {token, extension}, or null. */
export function kept() {
  for (const store of [sessionStorage, localStorage]) {
    try {
      const access = JSON.parse(store.getItem(NAME));
      if (access?.token) return access;
    } catch { /* not of ours: as if nothing were kept */ }
  }
  return null;
}

export function keep(access, remember) {
  forget();
  (remember ? localStorage : sessionStorage).setItem(NAME, JSON.stringify(access));
}

export function forget() {
  sessionStorage.removeItem(NAME);
  localStorage.removeItem(NAME);
}

/** Takes #token=...&extension=...&remember=yes out of the address, where neither history nor a server sees it. */
export function taken() {
  const given = new URLSearchParams(location.hash.slice(1));
  if (!given.has("token")) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return {
    access: { token: given.get("token"), extension: given.get("extension") ?? "" },
    remember: given.get("remember") === "yes",
  };
}

/** Another tab of this computer signed out, or in anew. */
export function whenChangedElsewhere(act) {
  addEventListener("storage", (event) => {
    if (event.key === NAME || event.key === null) act();
  });
}
