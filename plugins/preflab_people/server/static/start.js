// Signing in: the token stands in the link's fragment, is exchanged for a cookie, and leaves the
// address bar and the history.

import { byId } from "./dom.js";
import { get, post, sleep } from "./server.js";
import { problemText } from "./shell.js";
import { say } from "./words.js";

const state = byId("state");
const token = decodeURIComponent(location.hash.slice(1));
const left = location.search === "?left";
history.replaceState(null, "", "/");

/** Where a person goes: new ones read first. */
const onward = (me) =>
  me.next === "/task" && me.done === 0 && me.has_instructions ? "/instructions" : me.next;

async function begin() {
  for (let wait = 1; ; wait = Math.min(30, 2 * wait)) {
    try {
      return location.replace(onward(token ? await post("/api/login", { token }) : await get("/api/me")));
    } catch (problem) {
      if (problem.status === 401 || problem.status === 422)
        return (state.textContent = say(token ? "start.bad_link" : "start.no_link"));
      state.textContent = problemText(problem);
      await sleep(problem.wait || wait);
    }
  }
}

if (left) state.textContent = say("start.left");
else {
  if (token) state.textContent = say("start.signing_in");
  await begin();
}
addEventListener("hashchange", () => location.reload()); // another link, pasted into this tab
