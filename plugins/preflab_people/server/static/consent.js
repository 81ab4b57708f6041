// The consent text, and agreeing to it.

import { byId, tree } from "./dom.js";
import { get, post } from "./server.js";
import { ready, showProblem, signedIn } from "./shell.js";
import { say } from "./words.js";

const me = await signedIn();
const text = await get("/api/consent");
byId("text").replaceChildren(...tree(text.nodes));
byId("version").textContent = say("consent.version", { version: text.version });
byId("disagree").addEventListener("click", () => (byId("refused").hidden = false));
byId("agree").addEventListener("click", async () => {
  try {
    const now = await post("/api/consent", { version: text.version });
    location.assign(now.next !== "/task" || now.done ? now.next : me.has_survey ? "/survey" : "/instructions");
  } catch (problem) {
    if (problem.code === "consent_needed") location.reload(); // there is a newer text
    showProblem(problem);
  }
});
ready();
