"""What people and models may write that has done harm elsewhere. It stays text."""

from __future__ import annotations

MARK = "window.harmed=1"
"""What each of these scripts would do: a browser test looks for it."""
SCRIPTS = (
    f"<script>{MARK}</script>",
    f"</script><script>{MARK}</script>",
    f"<img src=x onerror={MARK}>",
    f"<svg onload={MARK}>",
    f"<svg><script>{MARK}</script></svg>",
    f"<body onload={MARK}>",
    f"<iframe srcdoc='<script>parent.{MARK}</script>'></iframe>",
    f"<iframe src=javascript:parent.{MARK}></iframe>",
    f"<a href=javascript:{MARK}>x</a>",
    f"<details open ontoggle={MARK}>",
    f"<input autofocus onfocus={MARK}>",
    f"<video><source onerror={MARK}></video>",
    f"<math><mtext></p><img src onerror={MARK}></mtext></math>",
    f"<style>@import 'javascript:{MARK}'</style>",
    f"<object data=javascript:{MARK}></object>",
    f"<form action=javascript:{MARK}><button>x</button></form>",
    f"<meta http-equiv=refresh content='0;url=javascript:{MARK}'>",
    f"<base href=javascript:{MARK}//>",
    f"<template><script>{MARK}</script></template>",
    f"\"><img src=x onerror='{MARK}'>",
    f"' onmouseover='{MARK}",
    f"--><script>{MARK}</script><!--",
    f"]]><script>{MARK}</script>",
    f"{{{{constructor.constructor('{MARK}')()}}}}",
    f"${{{MARK}}}`;{MARK}//\\u003cscript\\u003e{MARK}",
)
SQL = (
    "'; DROP TABLE events; --",
    "' OR '1'='1",
    '" UNION SELECT token FROM people --',
    "1; UPDATE people SET state='active'",
    "%_\\' ESCAPE '",
)
CELLS = ("=HYPERLINK(1)", "+1+1", "-2+3", "@SUM(A1)", "\t=1+1", 'a";"b,c\r\nd')
"""What a spreadsheet would take for a formula, or for the end of a cell."""
HIDDEN = ("\u202eevil\u202c", "a\u200bb", "\u2066x\u2069", "\ufeffx", "a\u00adb", "x\U000e0041y")
TEXTS = (*SCRIPTS, *SQL, *CELLS, *HIDDEN)
