// An answer while it is made: plain values, and no page.

/** @param task of the server; @param form {likert, flags}; @param draft of an earlier visit */
export function createAnswer(task, form, draft = null) {
  const count = task.outputs.length;
  const each = (make) => Array.from({ length: count }, make);
  const fitting = (values, make) => (Array.isArray(values) && values.length === count ? values : each(make));
  const given = draft?.answer ?? {};
  return {
    task: task.id,
    count,
    write: task.form === "write",
    rates: task.form === "rank" && (form.likert || form.flags.length > 0),
    form,
    ranks: fitting(given.ranks, () => null),
    likert: fitting(given.likert, () => null),
    flags: fitting(given.flags, () => []),
    written: given.written ?? "",
    notes: given.notes ?? "",
    better: draft?.better ?? Boolean(given.written),
    step: draft?.step ?? 0, // 0 to count - 1: rating that output; count: ranking
    active: Math.min(draft?.active ?? 0, Math.max(0, count - 1)),
    seconds: draft?.seconds ?? 0,
    changes: draft?.changes ?? 0,
  };
}

export const isRating = (answer) => answer.rates && answer.step < answer.count;

/** What keeps the answer from being sent: {what, place}, or null. Only up to the current step, if
 *  `until` is given. */
export function missing(answer, until = answer.count) {
  if (answer.write) return answer.written.trim() ? null : { what: "written", place: 0 };
  for (let place = 0; place < Math.min(answer.count, until); place++)
    if (answer.rates && answer.form.likert && answer.likert[place] === null) return { what: "likert", place };
  if (until < answer.count) return null;
  if (answer.better && answer.written.trim()) return null; // whose outputs are all bad
  const place = answer.ranks.indexOf(null);
  if (place >= 0) return { what: "rank", place };
  return null;
}

/** What is sent. The texts of a field that was closed again are not. */
export function sent(answer) {
  const { form } = answer;
  const written = answer.write || answer.better ? answer.written : "";
  if (answer.write) return { written, notes: answer.notes };
  return {
    ranks: answer.ranks,
    ...(form.likert ? { likert: answer.likert } : {}),
    ...(form.flags.length ? { flags: answer.flags } : {}),
    written,
    notes: answer.notes,
  };
}

/** What is kept of an unfinished answer. */
export function draftOf(answer) {
  const { seconds, step, better, active, changes } = answer;
  const { ranks, likert, flags, written, notes } = answer;
  return { answer: { ranks, likert, flags, written, notes }, seconds, step, better, active, changes };
}

/** The newer of two drafts. */
export const newer = (first, second) =>
  !second || (first && (first.changes ?? 0) >= (second.changes ?? 0)) ? first : second;

/** Letters of the outputs at each rank: [[places] of rank 1, ...]. */
export const columns = (ranks) =>
  ranks.map((_, index) => ranks.flatMap((rank, place) => (rank === index + 1 ? [place] : [])));
