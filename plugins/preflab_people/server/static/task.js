// The task page: one task after another, by keys, mouse or touch.

import { createAnswer, isRating, missing, newer, sent } from "./answer.js";
import { change, current } from "./current.js";
import { deliver, persist, tell } from "./delivery.js";
import { announce, byId, el, tree } from "./dom.js";
import { Draft, Pending, Watch } from "./keeping.js";
import { nameOf } from "./keys.js";
import { get, newKey, post } from "./server.js";
import { ready, showProblem, signedIn } from "./shell.js";
import { listenToKeys } from "./shortcuts.js";
import { dropMissing, goTo, showBetter, showMissing, showStep } from "./steps.js";
import { turns } from "./text.js";
import { named, say } from "./words.js";

const RENEW = 60_000; // milliseconds between signs of life
const BREAK = 45 * 60; // seconds of work until a break is proposed

const me = await signedIn("/task");
const pending = new Pending(me.labeler);
const tabs = new BroadcastChannel(`preflab:${me.round}:${me.labeler}`);
const session = { seconds: 0, tasks: 0, sinceBreak: 0 };
let screening = me.screening && !me.screening.over ? me.screening : null;
let done = me.done;

// --- one task after another ---

async function nextTask(message = "") {
  if (screening) {
    const tries = screening.tries.length;
    screening = (await persist(() => get("/api/me"))).screening;
    if (screening.tries.length > tries) {
      location.assign("/screening");
      return new Promise(() => {});
    }
  }
  const given = await persist(() => post("/api/task"));
  if (given.next !== "/task") {
    location.replace(given.next);
    return new Promise(() => {}); // nothing after it should run
  }
  show(given, message);
}

/** fresh: what was kept of an earlier visit does not count. */
function show(given, message, fresh = false) {
  const { task } = given;
  current.draft?.end();
  current.draft = new Draft(me.labeler, task.id, (state) => (byId("saved").textContent = say(`task.${state}`)));
  const kept = fresh ? null : newer(current.draft.local(), given.draft);
  const answer = createAnswer(task, me.form, kept ?? { answer: given.answer });
  if (!isRating(answer)) answer.step = answer.count;
  Object.assign(current, { task, answer, shown: !task.sensitive, instructions: given.instructions.version });
  byId("saved").textContent = "";
  byId("number").textContent = say("task.number", { number: done + 1 });
  byId("facts").textContent = facts();
  byId("prompt").replaceChildren(...turns(task));
  showInstructions(given.instructions);
  history.replaceState({ task: task.id, step: answer.step }, "");
  showStep();
  ready();
  lift();
  scrollTo(0, 0);
  byId(current.shown ? "number" : "veil-show").focus({ preventScroll: true });
  const about = answer.write ? say("task.write") : say("task.outputs", { count: answer.count });
  announce([message, byId("number").textContent, about].filter(Boolean).join(" "));
}

function lift() {
  byId("veil").classList.toggle("veil", !current.shown);
  byId("veiled").classList.toggle("veiled", !current.shown);
  byId("veiled").inert = !current.shown;
  byId("ask").hidden = current.shown;
}

function facts() {
  const parts = [say("progress.done", { count: done })];
  if (screening) parts.push(say("progress.screening", { done: screening.done, of: screening.tasks }));
  const { tasks, seconds } = session;
  if (tasks > 1) parts.push(say("progress.pace", { seconds: Math.max(1, Math.round(seconds / tasks)) }));
  return parts.join(" · ");
}

let version = null;
function showInstructions(given) {
  if (version === given.version) return;
  const changed = version !== null;
  version = given.version;
  const part = byId("instructions");
  part.hidden = version === 0;
  part.open = changed || matchMedia("(min-width: 64rem)").matches;
  byId("instructions-text").replaceChildren(...tree(given.nodes));
  byId("instructions-version").textContent = say("instructions.version", { version });
  if (changed) showProblem(null, say("instructions.new"));
}

// --- sending ---

async function whileBusy(work) {
  if (current.busy) return;
  current.busy = true;
  byId("submit").setAttribute("aria-disabled", "true");
  byId("saved").textContent = say("task.sending");
  try {
    await work();
  } finally {
    current.busy = false;
    byId("submit").removeAttribute("aria-disabled");
    byId("saved").textContent = "";
  }
}

function submit() {
  if (current.busy) return;
  const { answer } = current;
  if (isRating(answer)) return goTo(answer.step + 1);
  const lacking = missing(answer);
  if (lacking) return showMissing(lacking);
  return send(sent(answer), "task.submitted");
}

const send = (answer, message) =>
  whileBusy(async () => {
    const { task, instructions } = current;
    const { seconds } = current.answer;
    if (!(await deliver(pending, { task: task.id, key: newKey(), answer, seconds, instructions }))) return;
    current.draft.end();
    tabs.postMessage({ submitted: task.id });
    session.tasks += 1;
    done += 1;
    await nextTask(say(message));
  });

const undo = () =>
  whileBusy(async () => {
    await current.draft.send();
    try {
      const given = await post("/api/undo");
      done = Math.max(0, done - 1);
      show(given, say("task.undone"), true);
    } catch (problem) {
      tell(problem);
    }
  });

function openSkip() {
  if (current.busy) return;
  byId("skip").showModal();
  byId("skip").querySelector("input").focus();
}

// --- listening ---

function listenToFields() {
  const writes = (event) => change((answer) => (answer.written = event.target.value)) && dropMissing();
  byId("written").addEventListener("input", writes);
  byId("better").addEventListener("input", writes);
  byId("notes").addEventListener("input", (event) => change((answer) => (answer.notes = event.target.value)));
  byId("open-better").addEventListener("click", () => {
    change((answer) => (answer.better = !answer.better));
    showBetter();
    if (current.answer.better) byId("better").focus();
  });
}

function listenToButtons() {
  const clicks = { submit, undo, "open-skip": openSkip, "veil-skip": openSkip };
  for (const [id, act] of Object.entries(clicks)) byId(id).addEventListener("click", () => act());
  byId("veil-show").addEventListener("click", () => {
    current.shown = true;
    lift();
    byId("what").focus();
  });
  byId("break-dismiss").addEventListener("click", () => {
    session.sinceBreak = 0;
    byId("break").hidden = true;
  });
  byId("skip-form").addEventListener("submit", (event) => {
    event.preventDefault();
    byId("skip").close();
    const reason = new FormData(event.target).get("reason");
    send({ skipped: reason, notes: current.answer.notes }, "task.skipped");
  });
  byId("skip").addEventListener("keydown", (event) => {
    const input = byId("skip").querySelectorAll("input")[Number(nameOf(event)) - 1];
    input?.click();
    input?.focus();
  });
}

/** Other tabs, the back button, and the end of the page. */
function listenToTheRest() {
  addEventListener("popstate", ({ state }) => {
    if (state?.task === current.task.id) goTo(state.step, false);
  });
  addEventListener("pagehide", () => current.draft.send(true));
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") current.draft.send(true);
  });
  addEventListener("storage", ({ key, newValue }) => {
    if (key !== current.draft.key || !newValue || document.hasFocus()) return;
    const draft = JSON.parse(newValue);
    if (draft.changes <= current.answer.changes) return;
    current.answer = createAnswer(current.task, me.form, draft);
    showStep();
  });
  tabs.addEventListener("message", ({ data }) => {
    if (current.busy || data.submitted !== current.task.id) return;
    current.draft.end();
    done += 1;
    nextTask(say("task.elsewhere"));
  });
  setInterval(() => {
    if (document.visibilityState === "visible") post("/api/renew", { task: current.task.id }).catch(() => {});
  }, RENEW);
  new Watch(() => {
    current.answer.seconds += 1;
    session.seconds += 1;
    if (++session.sinceBreak !== BREAK) return;
    byId("break-text").textContent = say("break.hint", { minutes: BREAK / 60 });
    byId("break").hidden = false;
  });
}

const reasonView = (name, index) =>
  el(
    "label",
    { class: "check" },
    el("input", { type: "radio", name: "reason", value: name, required: true }),
    el("span", { dir: "auto" }, named("skip", name)),
    el("kbd", { "aria-hidden": "true" }, String(index + 1)),
  );
byId("reasons").append(...me.form.reasons.map(reasonView));
const unsent = pending.read();
if (unsent) {
  await deliver(pending, unsent);
  done = (await persist(() => get("/api/me"))).done;
}
await nextTask();
listenToKeys({ submit, undo, skip: openSkip });
listenToFields();
listenToButtons();
listenToTheRest();
