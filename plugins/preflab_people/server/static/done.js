// Nothing to do: why, and what the person has done.

import { byId } from "./dom.js";
import { get } from "./server.js";
import { signedIn } from "./shell.js";
import { say } from "./words.js";

const me = await signedIn();
byId("state").textContent = say(me.closed ? "done.closed" : me.next === "/done" ? "done.paused" : "done.nothing");
byId("count").textContent = say("done.count", { count: me.done });
byId("look").hidden = me.closed || me.next === "/done";
