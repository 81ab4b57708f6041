// Nothing a person did is lost: drafts on this device at once and on the server every two seconds,
// submissions until the server has said that it has them.

import { post, sleep } from "./server.js";

const EVERY = 2; // seconds between drafts
const LONGEST_WAIT = 30; // seconds between tries

const store = {
  read(key) {
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch {
      return null;
    }
  },
  write(key, value) {
    try {
      if (value === null) localStorage.removeItem(key);
      else localStorage.setItem(key, JSON.stringify(value));
    } catch {
      // A browser that keeps nothing: the server has the draft.
    }
  },
};

/** Everything of ours that lies on this device goes: for shared computers. */
export function clearDevice() {
  for (const key of Object.keys(localStorage))
    if (key.startsWith("preflab:draft:") || key.startsWith("preflab:pending:")) localStorage.removeItem(key);
}

/** The draft of one task. tell("saving" | "saved" | "kept_here") is called as it changes. */
export class Draft {
  constructor(labeler, task, tell) {
    this.key = `preflab:draft:${labeler}:${task}`;
    Object.assign(this, { task, tell, body: null, timer: null, failed: 0, over: false });
  }

  local() {
    return store.read(this.key);
  }

  save(body) {
    if (this.over) return;
    this.body = body;
    store.write(this.key, body);
    this.tell("saving");
    this.timer ??= setTimeout(() => this.send(), 1000 * EVERY);
  }

  async send(keepalive = false) {
    clearTimeout(this.timer);
    this.timer = null;
    const { body } = this;
    if (body === null || this.over) return;
    this.body = null;
    try {
      await post("/api/draft", { task: this.task, body }, keepalive);
      this.failed = 0;
      if (!this.over) this.tell(this.body === null ? "saved" : "saving");
    } catch (problem) {
      if (this.over) return;
      this.tell("kept_here");
      if (!problem.passes) return; // the task is somebody else's now: submitting will tell
      this.body ??= body;
      const wait = Math.min(LONGEST_WAIT, EVERY * 2 ** this.failed++);
      this.timer ??= setTimeout(() => this.send(), 1000 * wait);
    }
  }

  /** The task is over: the draft is needed no more. */
  end() {
    this.over = true;
    clearTimeout(this.timer);
    store.write(this.key, null);
  }
}

/** Submissions that the server has not confirmed, which outlive a reload. */
export class Pending {
  constructor(labeler) {
    this.key = `preflab:pending:${labeler}`;
  }

  read() {
    return store.read(this.key);
  }

  /** Send until the server answers; the same body, and so the same key, at every try. Throws what
   *  the server refuses for good. waits(problem, seconds) tells of each wait. */
  async send(body, waits) {
    store.write(this.key, body);
    for (let attempt = 0; ; attempt++) {
      try {
        const receipt = await post("/api/submit", body);
        store.write(this.key, null);
        return receipt;
      } catch (problem) {
        if (!problem.passes && problem.status !== 401) store.write(this.key, null);
        if (!problem.passes) throw problem;
        const backoff = Math.min(LONGEST_WAIT, 2 ** attempt) * (0.8 + 0.4 * Math.random());
        const seconds = Math.ceil(Math.max(problem.wait, backoff));
        waits(problem, seconds);
        await Promise.race([sleep(seconds), wake()]);
      }
    }
  }
}

/** When it is worth trying again before the time: the connection is back, or the person says so. */
function wake() {
  return new Promise((resolve) => {
    addEventListener("online", resolve, { once: true });
    addEventListener("preflab:retry", resolve, { once: true });
  });
}

/** Seconds in which the page was in use: seen, and touched within the last minute. */
export class Watch {
  constructor(tick) {
    this.last = Date.now();
    for (const type of ["keydown", "pointerdown", "pointermove", "scroll", "input"])
      addEventListener(type, () => (this.last = Date.now()), { passive: true, capture: true });
    setInterval(() => {
      if (document.visibilityState === "visible" && Date.now() - this.last < 60_000) tick();
    }, 1000);
  }
}
