// What every page has: who is here, the language, signing out, help.

import { byId } from "./dom.js";
import * as keys from "./keys.js";
import { clearDevice } from "./keeping.js";
import { get, post, Problem } from "./server.js";
import { knows, say } from "./words.js";

/** The person, or another page: that where they should be, if `here` is given and is not it. */
export async function signedIn(here = null) {
  let me;
  for (;;) {
    try {
      me = await get("/api/me");
      break;
    } catch (problem) {
      if (problem.status === 401) {
        location.replace("/");
        return new Promise(() => {});
      }
      showProblem(problem);
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
  hideProblem();
  if (here !== null && me.next !== here) {
    location.replace(me.next);
    return new Promise(() => {}); // nothing after it should run
  }
  byId("person").textContent = me.labeler;
  byId("round").textContent = me.round;
  for (const link of document.querySelectorAll("[data-when]")) link.hidden = !me[link.dataset.when];
  return me;
}

/** Show what works only now: a click on it would have been lost before. */
export function ready() {
  for (const part of document.querySelectorAll("[data-ready]")) part.hidden = false;
}

/** Say what went wrong, in the notice at the top of the page. */
export function showProblem(problem, text = problemText(problem), button = null) {
  const notice = byId("problem");
  byId("problem-text").textContent = text;
  const act = byId("problem-act");
  act.hidden = button === null;
  act.textContent = button?.text ?? "";
  act.onclick = button?.act ?? null;
  notice.hidden = false;
}

export const hideProblem = () => (byId("problem").hidden = true);

export function problemText(problem) {
  if (!(problem instanceof Problem)) throw problem;
  if (problem.status === 0) return say("error.offline");
  if (problem.status === 401) return say("error.signed_out");
  const key = `error.${problem.code}`;
  if (knows(key)) return say(key);
  if (problem.status >= 500) return say("error.server");
  return say("error.unknown", { message: problem.message });
}

byId("language")?.addEventListener("change", (event) => {
  document.cookie = `preflab-language=${event.target.value}; path=/; max-age=31536000; SameSite=Lax`;
  location.reload();
});
byId("leave")?.addEventListener("click", async () => {
  try {
    await post("/api/logout");
  } catch (problem) {
    showProblem(problem);
    return;
  }
  clearDevice();
  location.replace("/?left");
});

const help = byId("help");
export const openHelp = () => help.showModal();
byId("open-help")?.addEventListener("click", openHelp);
byId("keys-on").checked = keys.areOn();
byId("keys-on").addEventListener("change", (event) => keys.turn(event.target.checked));
for (const dialog of document.querySelectorAll("dialog"))
  dialog.querySelector("[data-close]")?.addEventListener("click", () => dialog.close());
