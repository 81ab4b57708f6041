// Bringing a submission to the server, with words for what happens meanwhile.

import { announce, byId } from "./dom.js";
import { sleep } from "./server.js";
import { hideProblem, problemText, showProblem } from "./shell.js";
import { say } from "./words.js";

const TO_READ = 4; // seconds
// Refusals after which there is nothing left to do about this task.
const FOR_GOOD = ["not_yours", "task_full", "screened", "closed", "not_active", "key_reused"];

/** Send a submission until it is confirmed. Whether the task is over. */
export async function deliver(pending, body) {
  try {
    await pending.send(body, waiting);
    hideProblem();
    return true;
  } catch (problem) {
    tell(problem);
    if (!FOR_GOOD.includes(problem.code)) return false;
    await sleep(TO_READ);
    return true;
  }
}

function waiting(problem, count) {
  const text = problem.status === 0 ? say("error.retry", { count }) : problemText(problem);
  const act = () => dispatchEvent(new Event("preflab:retry"));
  showProblem(problem, text, { text: say("error.retry_now"), act });
  announce(text, true);
}

/** Show and say a problem. */
export function tell(problem) {
  const text = problemText(problem);
  showProblem(problem, text);
  delete byId("problem").dataset.kind;
  announce(text, true);
}

/** Ask until there is an answer. */
export async function persist(ask) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await ask();
    } catch (problem) {
      tell(problem);
      if (!problem.passes) throw problem;
      await sleep(Math.max(problem.wait, Math.min(30, 2 ** attempt)));
    }
  }
}
