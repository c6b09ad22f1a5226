// FHIR through the gateway: every answer is either a resource or a problem that says in one sentence what is wrong.

/** Why something was not answered. */
export class Problem extends Error {
  constructor(status, { outcome, sentence, continueUrl, record }) {
    super("not answered");
    this.status = status;
    this.outcome = outcome ?? "fault";
    this.sentence = sentence;
    this.continueUrl = continueUrl;
    this.record = record;
    // Something that is out of order now and may work in a moment, unlike a refusal or what is not there.
    this.passing = status === 0 || status === 429 || status >= 500;
  }
}

const UNREACHABLE = "The hospital's records cannot be reached at the moment.";
const RELOADED = "chart.reloaded";

async function send(method, path, body) {
  const headers = { Accept: "application/fhir+json" };
  if (body !== undefined) headers["Content-Type"] = "application/fhir+json";
  let response;
  try {
    response = await fetch(`/fhir/${path}`, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
    });
  } catch {
    throw new Problem(0, { sentence: UNREACHABLE });
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) {
    sessionStorage.removeItem(RELOADED);
    return answer;
  }
  throw problem(response, answer);
}

function problem(response, answer) {
  const { status } = response;
  if (status === 401 && answer.outcome !== "step_up") return signIn(status);
  const sentence = answer.reason ?? answer.detail ?? answer.issue?.[0]?.diagnostics ?? UNREACHABLE;
  // What a record server says is lower case and without a full stop.
  const plain = sentence.charAt(0).toUpperCase() + sentence.slice(1);
  return new Problem(status, {
    outcome: answer.outcome,
    sentence: /[.!?]$/.test(plain) ? plain : `${plain}.`,
    continueUrl: safe(answer.continue),
    record: answer.record,
  });
}

/** Loading the page again leads through the sign-in; once, so that no loop can come of it. */
function signIn(status) {
  const last = Number(sessionStorage.getItem(RELOADED) ?? 0);
  if (Date.now() - last > 20_000) {
    sessionStorage.setItem(RELOADED, String(Date.now()));
    location.reload();
  }
  return new Problem(status, { sentence: "Please sign in again.", continueUrl: safe("/") });
}

/** Only web addresses are followed. */
function safe(address) {
  if (typeof address !== "string") return undefined;
  try {
    const url = new URL(address, location.href);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : undefined;
  } catch {
    return undefined;
  }
}

export const read = (path) => send("GET", path);
export const create = (resource) => send("POST", resource.resourceType, resource);

const PAGES_MAX = 5;

/** Every entry of a search, over a few pages. */
export async function search(path) {
  const found = [];
  for (let pages = 0; path && pages < PAGES_MAX; pages += 1) {
    const bundle = await send("GET", path);
    for (const entry of bundle.entry ?? []) if (entry.resource) found.push(entry.resource);
    const next = bundle.link?.find((link) => link.relation === "next")?.url;
    const at = next ? new URL(next, location.href) : undefined;
    // Wherever the link says the server is, the way there is this origin's.
    path = at && at.pathname.startsWith("/fhir") ? (at.pathname.slice(5) + at.search).replace(/^\//, "") : undefined;
  }
  return found;
}

/** Who is signed in, as far as the gateway tells. */
export async function whoami() {
  try {
    const response = await fetch("/.asepsis/whoami", {
      headers: { Accept: "application/json" },
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
    });
    return response.ok ? await response.json() : {};
  } catch {
    return {};
  }
}

/** Ends the session everywhere. */
export async function signOut() {
  await fetch("/.asepsis/sign-out", {
    method: "POST",
    credentials: "same-origin",
    cache: "no-store",
    redirect: "manual",
  }).catch(() => undefined);
  sessionStorage.clear();
  location.replace("/");
}
