// Talking to the server: JSON, our own header, and errors by code.

/** An answer that is none. code: the server's word, or "offline"; status 0: nothing came back;
 *  wait: seconds until another try is worth it. */
export class Problem extends Error {
  constructor(code, message, status = 0, wait = 0) {
    super(message);
    Object.assign(this, { code, status, wait });
  }

  /** Whether the same request may succeed later. */
  get passes() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

async function call(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new Problem("offline", "");
  }
  let body = null;
  try {
    body = await response.json();
  } catch {
    // An answer of something in between, such as a proxy whose server is gone.
    throw new Problem(response.ok ? "offline" : "server", response.statusText, response.ok ? 0 : response.status);
  }
  if (response.ok) return body;
  const { code = "server", message = "" } = body.error ?? {};
  throw new Problem(code, message, response.status, Number(response.headers.get("retry-after") ?? 0));
}

export const get = (path) => call(path, {});

/** keepalive: the browser sends it even if the page is being closed. */
export const post = (path, body = {}, keepalive = false) =>
  call(path, {
    method: "POST",
    headers: { "content-type": "application/json", "x-preflab": "1" },
    body: JSON.stringify(body),
    keepalive,
  });

/** A key that nobody else will make. crypto.randomUUID is missing without TLS. */
export const newKey = () =>
  [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");

export const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
