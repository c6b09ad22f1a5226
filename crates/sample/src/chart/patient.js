// One patient's chart: a banner, and sections that are asked for and answered one by one.

import { read, search } from "./api.js";
import { age, date, el, notice, say, show, svg, waiting, when } from "./dom.js";
import { prescribe, recordVital } from "./write.js";

const LABELS = {
  PSY: "Psychiatry", ETH: "Substance use programme", HIV: "HIV", SDV: "Violence", STD: "Sexual health",
  SEX: "Sexual health", GDIS: "Genetics", PSYTHPN: "Psychotherapy", VIP: "Public interest", EMP: "Employee",
};

/** Vital signs from left to right, by LOINC code. */
const ORDER = ["8867-4", "85354-9", "9279-1", "59408-5", "8310-5"];

/** Opens the chart of the patient `id`. */
export async function chart(id, me) {
  show(back(), waiting(6));
  say("Loading the chart");
  let patient;
  try {
    patient = await read(`Patient/${encodeURIComponent(id)}`);
  } catch (problem) {
    const closed = problem.passing ? "The chart could not be opened" : "This chart is closed";
    show(
      back(),
      el("h1", {}, problem.outcome === "step_up" ? "Please confirm it is you" : closed),
      notice(problem, { again: () => chart(id, me), home: true }));
    say(problem.sentence);
    return;
  }
  const view = { id, me, current: undefined };
  const vitals = section(view, "Vital signs", vitalSigns, () => recordVital(view, vitals.load), "Record");
  const medicines = section(view, "Medicines", medications, () => prescribe(view, medicines.load), "Prescribe");
  const left = [section(view, "Problems", problems), medicines, section(view, "Documents", documents)];
  const right = [section(view, "Laboratory", laboratory), section(view, "Stays and team", stays)];
  const column = (sections) => el("div", { class: "column" }, sections.map((s) => s.node));
  const warnings = el("div", { class: "allergies" });
  show(back(), banner(patient, warnings), vitals.node, el("div", { class: "columns" }, column(left), column(right)));
  say("Chart opened");
  await Promise.all([allergies(id, warnings), ...[vitals, ...left, ...right].map((s) => s.load())]);
}

function back() {
  return el("nav", { "aria-label": "Way back" }, el("a", { class: "plain", href: "#/" }, "All patients"));
}

function banner(patient, warnings) {
  const name = patient.name?.[0] ?? {};
  const full = [...(name.given ?? []), name.family].filter(Boolean).join(" ");
  const number = patient.identifier?.find((i) => i.type?.coding?.[0]?.code === "MR")?.value;
  const fact = (term, value) => el("div", {}, el("dt", {}, term), el("dd", {}, value || "unknown"));
  return el("section", { class: "banner", "aria-label": "Patient" },
    el("div", { class: "banner-name" }, el("h1", {}, full || "Without a name"), chips(patient)),
    el("dl", { class: "facts" },
      fact("Born", `${date(patient.birthDate)} (${age(patient.birthDate)})`),
      fact("Sex", patient.gender),
      fact("Record", number),
      fact("Wristband", patient.id)),
    warnings);
}

function chips(resource) {
  const codes = (resource.meta?.security ?? []).map((label) => LABELS[label.code]).filter(Boolean);
  return [...new Set(codes)].map((words) => el("span", { class: "chip" }, words));
}

/** A card that loads by itself; what goes wrong in it is told in it. */
function section(view, title, make, act, words) {
  const body = el("div", {}, waiting());
  const id = `s-${title.toLowerCase().replaceAll(" ", "-")}`;
  const load = async () => {
    try {
      body.replaceChildren(await make(view));
    } catch (problem) {
      body.replaceChildren(notice(problem, { again: load }));
    }
  };
  const node = el("section", { class: `card ${id}`, "aria-labelledby": id },
    el("div", { class: "card-head" },
      el("h2", { id }, title),
      act ? el("button", { class: "button second", type: "button", onclick: act }, words) : null),
    body);
  return { node, load };
}

const none = (words) => el("p", { class: "quiet" }, words);
const path = (view, rest) => `Patient/${encodeURIComponent(view.id)}/${rest}`;
const code = (concept) => concept?.coding?.[0]?.code;
const words = (concept) => concept?.text ?? concept?.coding?.[0]?.display ?? "";
const amount = (quantity) => (quantity ? `${quantity.value} ${quantity.unit ?? ""}`.trim() : "");

async function allergies(id, into) {
  try {
    const all = await search(`Patient/${encodeURIComponent(id)}/AllergyIntolerance?_count=50`);
    if (!all.length) return;
    into.append(el("p", {}, el("strong", {}, "Allergies: "), all.map((a) => words(a.code)).join(", ")));
  } catch (problem) {
    into.append(el("p", {}, `Allergies cannot be shown. ${problem.sentence}`));
  }
}

async function problems(view) {
  const all = await search(path(view, "Condition?_count=100"));
  if (!all.length) return none("No problems are listed.");
  return el("ul", { class: "entries" }, all.map((c) => el("li", {},
    el("span", { class: "entry-main" }, words(c.code), chips(c)),
    el("span", { class: "entry-more" }, `since ${date(c.onsetDateTime?.slice(0, 10))}`))));
}

async function vitalSigns(view) {
  const all = await search(path(view, "Observation?category=vital-signs&_sort=-date&_count=200"));
  if (!all.length) return none("No vital signs are recorded.");
  const groups = new Map();
  for (const one of all) {
    const key = code(one.code) ?? words(one.code);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(one);
  }
  // Always in the same places, so that the eye finds them.
  const place = ([key]) => (ORDER.includes(key) ? ORDER.indexOf(key) : ORDER.length);
  const placed = [...groups].sort((a, b) => place(a) - place(b));
  return el("div", { class: "tiles" }, placed.map(([, series]) => tile(series)));
}

function tile(series) {
  const [latest] = series;
  const pressure = latest.component;
  const shown = pressure
    ? pressure.map((part) => part.valueQuantity?.value).join("/")
    : latest.valueQuantity?.value;
  const unit = pressure ? pressure[0].valueQuantity?.unit : latest.valueQuantity?.unit;
  const values = series.map((o) => (o.component?.[0] ?? o).valueQuantity?.value).filter(Number.isFinite).reverse();
  return el("div", { class: "tile" },
    el("span", { class: "tile-name" }, words(latest.code)),
    el("span", { class: "tile-value" }, String(shown ?? "?"), el("span", { class: "tile-unit" }, unit ?? ""), flag(latest)),
    line(values),
    el("span", { class: "tile-when" }, when(latest.effectiveDateTime)));
}

/** The course of a value, the latest at the right. */
function line(values) {
  if (values.length < 2) return null;
  const low = Math.min(...values);
  const span = Math.max(...values) - low || 1;
  const at = values.map((v, i) => [4 + (i * 172) / (values.length - 1), 28 - ((v - low) * 22) / span]);
  const points = at.map((p) => p.map((n) => n.toFixed(1)).join(",")).join(" ");
  const [x, y] = at[at.length - 1];
  return svg("svg", { class: "course", viewBox: "0 0 180 34", role: "img", "aria-label": `Course: ${values.join(", ")}` },
    svg("polyline", { points }), svg("circle", { cx: x.toFixed(1), cy: y.toFixed(1), r: 3 }));
}

function flag(observation) {
  const mark = code(observation.interpretation?.[0]);
  if (mark !== "H" && mark !== "L") return null;
  return el("span", { class: "flag" }, mark === "H" ? "high" : "low");
}

async function laboratory(view) {
  const all = await search(path(view, "Observation?category=laboratory&_sort=-date&_count=200"));
  if (!all.length) return none("No results.");
  const latest = new Map();
  for (const one of all) {
    const key = code(one.code) ?? words(one.code);
    if (!latest.has(key)) latest.set(key, one);
  }
  const range = (o) => {
    const one = o.referenceRange?.[0];
    return one ? `${one.low?.value ?? ""} to ${one.high?.value ?? ""}` : "";
  };
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Results" }, el("table", {},
    el("thead", {}, el("tr", {}, ["Test", "Result", "Usual", "Taken"].map((h) => el("th", { scope: "col" }, h)))),
    el("tbody", {}, [...latest.values()].map((o) => el("tr", {},
      el("th", { scope: "row" }, words(o.code), chips(o)),
      el("td", { class: "number" }, amount(o.valueQuantity) || words(o.valueCodeableConcept), flag(o)),
      el("td", { class: "number quiet" }, range(o)),
      el("td", { class: "quiet" }, when(o.effectiveDateTime)))))));
}

async function medications(view) {
  const all = await search(path(view, "MedicationRequest?status=active&_sort=-authoredon&_count=100"));
  if (!all.length) return none("No medicines are ordered.");
  const controlled = (m) => m.extension?.some((e) => e.url.endsWith("/controlled") && e.valueBoolean);
  return el("ul", { class: "entries" }, all.map((m) => el("li", {},
    el("span", { class: "entry-main" }, words(m.medicationCodeableConcept),
      controlled(m) ? el("span", { class: "chip strong" }, "Controlled") : null, chips(m)),
    el("span", { class: "entry-more" },
      [m.dosageInstruction?.[0]?.text, m.requester?.display, when(m.authoredOn)].filter(Boolean).join(" · ")))));
}

async function documents(view) {
  const all = await search(path(view, "DocumentReference?_sort=-date&_count=100"));
  if (!all.length) return none("No documents.");
  return el("ul", { class: "entries" }, all.map((d) => {
    const text = el("div", { class: "document", hidden: true });
    const button = el("button", { class: "link", type: "button", "aria-expanded": "false", onclick: () => unfold(d, button, text) },
      words(d.type) || "Document");
    return el("li", {},
      el("span", { class: "entry-main" }, button, chips(d)),
      el("span", { class: "entry-more" }, [d.author?.[0]?.display, when(d.date)].filter(Boolean).join(" · ")),
      text);
  }));
}

async function unfold(document, button, into) {
  const open = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!open));
  into.hidden = open;
  if (open || into.childElementCount) return;
  into.replaceChildren(waiting(4));
  try {
    const attachment = document.content?.[0]?.attachment ?? {};
    const [, binary] = /^Binary\/([A-Za-z0-9.-]{1,64})$/.exec(attachment.url ?? "") ?? [];
    const data = attachment.data ?? (binary ? (await read(`Binary/${binary}`)).data : undefined);
    const bytes = Uint8Array.from(atob(data ?? ""), (c) => c.charCodeAt(0));
    into.replaceChildren(el("pre", {}, new TextDecoder().decode(bytes)));
  } catch (problem) {
    into.replaceChildren(notice(problem));
  }
}

async function stays(view) {
  const [encounters, teams] = await Promise.all([
    search(path(view, "Encounter?_sort=-date&_count=50")),
    search(path(view, "CareTeam?_count=10")),
  ]);
  view.current = encounters.find((e) => e.status === "in-progress");
  const team = teams.map((t) => el("p", {}, el("strong", {}, `${t.name ?? "Care team"}: `),
    (t.participant ?? []).map((p) => p.member?.display).filter(Boolean).join(", "), chips(t)));
  const list = encounters.length
    ? el("ul", { class: "entries" }, encounters.map((e) => el("li", {},
      el("span", { class: "entry-main" }, e.location?.[0]?.location?.display ?? "Visit",
        e.status === "in-progress" ? el("span", { class: "chip strong" }, "Now") : null, chips(e)),
      el("span", { class: "entry-more" }, [
        e.period?.end ? `${when(e.period.start)} to ${when(e.period.end)}` : `since ${when(e.period?.start)}`,
        e.participant?.map((p) => p.individual?.display).filter(Boolean).join(", "),
      ].filter(Boolean).join(" · ")))))
    : none("No stays.");
  return el("div", {}, team, list);
}
