// Asks something of the gateway and tells what became of it. An answer is a value, also when there is none.

const PATIENCE_MS = 4000; // longer than the gateway itself waits for its media worker

/**
 * Gives {outcome, why, status, said}: `said` is all of the answer, `outcome` is the gateway's, or one of
 * "denied" (the token), "forbidden", "gone" (the call), "crowded" (too many requests), "unanswered".
 */
export async function ask(access, path, body) {
  let response;
  try {
    response = await fetch(new URL(`v1/${path}`, document.baseURI), {
      method: body ? "POST" : "GET",
      headers: { Authorization: `Bearer ${access.token}`, ...(body && { "Content-Type": "application/json" }) },
      body: body && JSON.stringify(body),
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    return read(response.status, await response.json());
  } catch {
    return { outcome: "unanswered", why: "", status: null, said: {} };
  }
}

const ELSE = { 401: "denied", 403: "forbidden", 404: "gone", 429: "crowded" };

function read(code, said) {
  const outcome = said.outcome ?? ELSE[code] ?? (code < 300 ? "applied" : "refused");
  return { outcome, why: said.why ?? said.detail ?? "", status: said.call_status ?? said.status ?? null, said };
}
