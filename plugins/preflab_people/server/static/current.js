// The task that is on the page, shared by the modules of the task page.

import { draftOf } from "./answer.js";

/** task: as the server gave it; answer: as it is now; draft: its keeper; view: of the step; shown:
 *  nothing is blurred; instructions: the version; busy: something is being sent. */
export const current = {
  task: null,
  answer: null,
  draft: null,
  view: null,
  shown: true,
  instructions: 0,
  busy: false,
};

/** Change the answer and keep it. Not while it is being sent. */
export function change(apply) {
  if (current.busy) return false;
  apply(current.answer);
  current.answer.changes += 1;
  current.draft.save(draftOf(current.answer));
  return true;
}
