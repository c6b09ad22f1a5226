// Small parts that pages are built from. Text is always set as text: nothing that comes from a record is markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child !== undefined && child !== null && child !== false) node.append(child);
  }
  return node;
}

/** An element with attributes (`onclick` and the like are listeners) and children. */
export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for drawings. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

/** Tells whoever listens rather than looks. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** Shows `children` as the whole page and moves the focus there. */
export function show(...children) {
  const main = document.getElementById("main");
  main.replaceChildren(...children.filter((child) => child !== null));
  window.scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });

/** A FHIR date or instant for people: `today 14:05`, `3 Nov 09:10`, `3 Nov 2024`. */
export function when(text) {
  if (!text) return "";
  const at = new Date(text);
  if (Number.isNaN(at.getTime())) return "";
  const timed = text.length > 10;
  const now = new Date();
  if (at.toDateString() === now.toDateString()) return timed ? `today ${CLOCK.format(at)}` : "today";
  if (at.getFullYear() !== now.getFullYear() || !timed) return DATE.format(at);
  return `${DAY.format(at)} ${CLOCK.format(at)}`;
}

/** A date that does not change with the place where it is read. */
export function date(text) {
  const [year, month, day] = (text ?? "").split("-").map(Number);
  return year && month && day ? DATE.format(new Date(year, month - 1, day)) : text ?? "";
}

/** Whole years since a birth date. */
export function age(born) {
  const [year, month, day] = (born ?? "").split("-").map(Number);
  if (!year) return "";
  const now = new Date();
  const had = now.getMonth() + 1 > month || (now.getMonth() + 1 === month && now.getDate() >= day);
  return `${now.getFullYear() - year - (had ? 0 : 1)} y`;
}

/** Grey bars where something will be. */
export function waiting(rows = 3) {
  const bars = Array.from({ length: rows }, () => el("span", { class: "bar" }));
  return el("div", { class: "waiting", role: "img", "aria-label": "Loading" }, bars);
}

/**
 * What a refusal looks like: the sentence, and the ways on. Asking again is offered only where the answer may change by
 * itself; `home` adds the way back to the patients.
 */
export function notice(problem, { again, beside, home } = {}) {
  const ways = [];
  if (problem.continueUrl) {
    const words = { break_glass: "Emergency access", step_up: "Confirm it is you" };
    ways.push(el("a", {
      class: "button",
      href: problem.continueUrl,
      // A form that is being filled in stays open in its own tab.
      target: beside ? "_blank" : undefined,
      rel: "noopener",
      onclick: beside ? undefined : rememberPlace,
    }, words[problem.outcome] ?? "Sign in"));
  } else if (again && problem.passing) {
    ways.push(el("button", { class: "button", type: "button", onclick: again }, "Try again"));
  }
  if (home) ways.push(el("a", { class: "button second", href: "#/" }, "Back to the patients"));
  const afterwards = problem.continueUrl && beside
    ? el("p", { class: "quiet" }, "It opens beside this page. What you entered stays here; send it again afterwards.")
    : null;
  return el("div", { class: `notice ${problem.outcome}`, role: problem.outcome === "deny" ? "note" : "alert" },
    el("p", {}, problem.sentence),
    afterwards,
    ways.length ? el("p", { class: "ways" }, ways) : null,
    problem.record === undefined ? null : el("p", { class: "quiet record" }, `Record ${problem.record}`));
}

const PLACE = "chart.place";

/** Keeps the place in this page while a ceremony takes place elsewhere; at most a quarter of an hour, in this tab. */
function rememberPlace() {
  sessionStorage.setItem(PLACE, JSON.stringify({ hash: location.hash, at: Date.now() }));
}

/** Goes back there, once. */
export function returnToPlace() {
  const kept = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  if (!kept || location.hash) return;
  const { hash, at } = JSON.parse(kept);
  if (typeof hash === "string" && hash.startsWith("#/") && Date.now() - at < 900_000) {
    history.replaceState(null, "", `/${hash}`);
  }
}
