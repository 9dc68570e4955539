// The live link to the gateway: tells what it says, and at once when it says nothing any more.

import { ask } from "./ask.js";

const SILENCE_MS = 2500; // the gateway speaks every second
const REVOKED = 4401; // how a WebSocket says 401
const RETRY_MS = [500, 1000, 2000, 4000, 8000];

export class Link {
  /** `tell` has calls(list), lost(), denied(). `blocked`: it answers requests, and gives no live state. */
  constructor(tell) {
    this.tell = tell;
    this.access = null;
    this.socket = null;
    this.retryAt = 0;
    this.blocked = false;
    addEventListener("offline", () => this.lose());
    addEventListener("online", () => this.retry());
    addEventListener("pageshow", (event) => event.persisted && this.lose());
  }

  open(access) {
    this.close();
    this.access = access;
    this.failures = 0;
    this.connect();
  }

  close() {
    this.access = null;
    this.drop();
  }

  /** Called on every beat: is the other side still there, is it time to try again? */
  check(now) {
    if (!this.access) return;
    // The computer may have slept, which only the wall clock tells of.
    const silence = Math.max(now - this.heard, Date.now() - this.heardAt);
    if (this.socket && silence > SILENCE_MS) this.lose();
    if (!this.socket && now >= this.retryAt) this.connect();
  }

  /** Milliseconds until the next attempt; 0 while one is under way. */
  wait(now) {
    return this.socket ? 0 : Math.max(0, this.retryAt - now);
  }

  retry() {
    if (this.access && !this.socket) this.connect();
  }

  connect() {
    const address = new URL("v1/live", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const { token, extension } = this.access;
    const socket = new WebSocket(address);
    this.socket = socket;
    this.listen();
    this.spoken = false;
    socket.onopen = () => socket.send(JSON.stringify(extension ? { token, extension } : { token }));
    socket.onmessage = (event) => this.hear(event.data);
    socket.onclose = (event) => (event.code === REVOKED ? this.tell.denied() : this.lose());
  }

  hear(text) {
    const said = JSON.parse(text);
    if (said.type !== "calls") return;
    this.listen();
    this.spoken = true;
    this.failures = 0;
    this.blocked = false;
    this.tell.calls(said.calls);
  }

  listen() {
    this.heard = performance.now();
    this.heardAt = Date.now();
  }

  lose() {
    if (!this.socket) return;
    if (!this.spoken) this.enquire();
    this.drop();
    const delay = RETRY_MS[Math.min(this.failures, RETRY_MS.length - 1)];
    this.failures += 1;
    this.retryAt = performance.now() + delay * (0.8 + 0.4 * Math.random());
    this.tell.lost();
  }

  /** A link that never spoke may be one that the token does not open. */
  async enquire() {
    const access = this.access;
    const answer = await ask(access, "calls");
    if (access !== this.access) return;
    this.blocked = answer.outcome === "applied";
    if (answer.outcome === "denied") this.tell.denied();
  }

  drop() {
    const socket = this.socket;
    if (!socket) return;
    this.socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }
}
