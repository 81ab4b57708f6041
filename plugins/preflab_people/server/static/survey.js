// The voluntary survey. What is left at "rather not say" is not sent.

import { byId } from "./dom.js";
import { post } from "./server.js";
import { ready, showProblem, signedIn } from "./shell.js";

await signedIn();
const form = byId("survey");
const onward = () => location.assign("/instructions");
byId("skip").addEventListener("click", onward);

// Several ethnicities can be said, or none.
form.addEventListener("change", ({ target }) => {
  if (target.name !== "ethnicity") return;
  const boxes = [...form.querySelectorAll("[name=ethnicity]")];
  if (target.value === "" && target.checked) for (const box of boxes) box.checked = box === target;
  else boxes[0].checked = !boxes.some((box) => box.value !== "" && box.checked);
});
form.elements["nationality-text"].addEventListener("input", ({ target }) => {
  form.querySelector(`[name=nationality][value="${target.value.trim() ? "say" : ""}"]`).checked = true;
});

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const data = new FormData(form);
  const answers = {};
  for (const name of ["gender", "ethnicity", "nationality", "age", "education"]) {
    const values = data
      .getAll(name)
      .map((value) => (value === "say" ? data.get("nationality-text").trim() : value))
      .filter(Boolean);
    if (values.length) answers[name] = values;
  }
  try {
    if (Object.keys(answers).length) await post("/api/survey", { answers, link: data.has("link") });
    onward();
  } catch (problem) {
    showProblem(problem);
  }
});
ready();
