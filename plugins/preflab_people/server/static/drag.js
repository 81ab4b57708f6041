// Dragging a card or a chip into a column of ranks, by mouse, pen or finger. What can be dragged
// can be chosen by keys and buttons too.

import { el } from "./dom.js";
import { letter } from "./words.js";

const FAR = 6; // pixels until a press is a drag

/** @param handle the element that is dragged; @param columnAt (x, y) -> column or null;
 *  @param drop (column index) */
export function draggable(handle, place, columnOf, drop) {
  handle.addEventListener("pointerdown", (start) => {
    if (start.button !== 0) return;
    let ghost = null;
    let over = null;
    const move = (event) => {
      if (!ghost) {
        if (Math.hypot(event.clientX - start.clientX, event.clientY - start.clientY) < FAR) return;
        ghost = el("span", { class: "letter ghost", "aria-hidden": "true" }, letter(place));
        document.body.append(ghost);
      }
      ghost.style.transform = `translate(${event.clientX - 20}px, ${event.clientY - 30}px)`;
      over?.classList.remove("over");
      over = columnOf(event.clientX, event.clientY);
      over?.classList.add("over");
    };
    const end = (event) => {
      handle.removeEventListener("pointermove", move);
      for (const type of ["pointerup", "pointercancel"]) handle.removeEventListener(type, end);
      ghost?.remove();
      over?.classList.remove("over");
      if (ghost && over && event.type === "pointerup") drop(Number(over.dataset.rank));
    };
    try {
      handle.setPointerCapture(start.pointerId);
    } catch {
      return; // a pointer that is gone already
    }
    handle.addEventListener("pointermove", move);
    for (const type of ["pointerup", "pointercancel"]) handle.addEventListener(type, end);
  });
}
