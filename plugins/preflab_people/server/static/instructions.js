// The newest instructions as a page of their own.

import { byId, tree } from "./dom.js";
import { get } from "./server.js";
import { ready, signedIn } from "./shell.js";
import { say } from "./words.js";

const me = await signedIn();
const { version, nodes } = await get("/api/instructions");
byId("version").hidden = version === 0;
byId("version").textContent = say("instructions.version", { version });
byId("text").replaceChildren(...(version ? tree(nodes) : [say("instructions.none")]));
const first = me.done === 0;
const screened = me.screening && !me.screening.over;
const next = first && me.has_examples ? "/calibration" : first && screened ? "/screening" : me.next;
byId("go-on").href = next;
ready();
