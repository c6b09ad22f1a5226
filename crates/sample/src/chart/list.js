// Lists of patients: mine, a ward's, and those found by name.

import { search } from "./api.js";
import { age, date, el, notice, say, show, waiting, when } from "./dom.js";

const WARD = "chart.ward";

/** Name of a person for a list: family name first. */
export function listed(patient) {
  const name = patient.name?.[0] ?? {};
  const given = name.given?.join(" ");
  return [name.family, given].filter(Boolean).join(", ") || "Without a name";
}

/** The first page: my patients and those of a ward. */
export async function home(me, chosen) {
  const mine = el("div", {}, waiting());
  const ward = el("div", {}, waiting(5));
  const picker = el("select", { id: "ward", "aria-label": "Ward", onchange: () => go(picker.value) });
  const go = (id) => {
    location.hash = `#/ward/${encodeURIComponent(id)}`;
  };
  show(
    el("h1", {}, "Patients"),
    me.person || me.id
      ? el("section", { class: "card", "aria-labelledby": "mine" }, el("h2", { id: "mine" }, "My patients"), mine)
      : null,
    el("section", { class: "card", "aria-labelledby": "on-ward" },
      el("div", { class: "card-head" }, el("h2", { id: "on-ward" }, "On the ward"), picker), ward),
    wristband());
  await Promise.all([myPatients(me.person ?? me.id, mine), wards(me, chosen, picker, ward)]);
}

async function myPatients(person, into) {
  if (!person) return;
  await fillIn(into, async () => {
    const me = encodeURIComponent(`Practitioner/${person}`);
    const all = await search(`CareTeam?participant=${me}&status=active&_include=CareTeam:subject&_count=200`);
    return rows(all.filter((r) => r.resourceType === "Patient"), () => "", "Nobody is in your care at the moment.");
  });
}

async function wards(me, chosen, picker, into) {
  await fillIn(into, async () => {
    const places = (await search("Location?status=active&_count=100"))
      .filter((place) => ["Ward", "Clinic", "Programme"].includes(place.type?.[0]?.text))
      .sort((a, b) => (a.name ?? "").localeCompare(b.name ?? ""));
    const known = (id) => places.some((place) => place.id === id);
    const here = [chosen, me.unit, me.device?.unit, ...(me.units ?? []), sessionStorage.getItem(WARD)].find(known)
      ?? places[0]?.id;
    picker.replaceChildren(...places.map((place) =>
      el("option", { value: place.id, selected: place.id === here }, place.name)));
    if (!here) return el("p", { class: "quiet" }, "There are no wards.");
    sessionStorage.setItem(WARD, here);
    const location = encodeURIComponent(`Location/${here}`);
    const all = await search(
      `Encounter?status=in-progress&location=${location}&_include=Encounter:subject&_sort=date&_count=200`);
    const stays = new Map(all.filter((r) => r.resourceType === "Encounter")
      .map((stay) => [stay.subject?.reference, stay]));
    const more = (patient) => {
      const stay = stays.get(`Patient/${patient.id}`);
      const since = when(stay?.period?.start);
      return [stay?.reasonCode?.[0]?.text, since ? `since ${since}` : ""].filter(Boolean).join(", ");
    };
    const patients = all.filter((r) => r.resourceType === "Patient");
    return rows(patients, more, "You take part in nobody's care here.");
  });
}

/** Patients found by the beginnings of their names. */
export async function found(words) {
  const list = el("div", {}, waiting(4));
  show(
    el("h1", {}, "Found by name"),
    el("section", { class: "card", "aria-label": "Patients" }, list),
    wristband());
  await fillIn(list, async () => {
    const names = words.trim().split(/[\s,]+/).slice(0, 5).map((word) => `name=${encodeURIComponent(word)}`);
    const all = await search(`Patient?${names.join("&")}&_sort=family,given&_count=50`);
    return rows(all, () => "", "Nobody of that name is in your care.");
  });
}

async function fillIn(into, make) {
  try {
    into.replaceChildren(await make());
  } catch (problem) {
    into.replaceChildren(notice(problem, { again: () => fillIn(into, make) }));
  }
}

function rows(patients, more, empty) {
  say(patients.length === 1 ? "1 patient" : `${patients.length} patients`);
  if (!patients.length) return el("p", { class: "quiet" }, empty);
  const sorted = [...patients].sort((a, b) => listed(a).localeCompare(listed(b)));
  return el("ul", { class: "people" }, sorted.map((patient) =>
    el("li", {}, el("a", { href: `#/patient/${encodeURIComponent(patient.id)}` },
      el("span", { class: "people-name" }, listed(patient)),
      el("span", { class: "people-facts" }, `${age(patient.birthDate)}, ${patient.gender ?? "unknown"}, born ${date(patient.birthDate)}`),
      el("span", { class: "people-more" }, more(patient))))));
}

/** Whoever is not listed can be opened by the number on the wristband: the way in an emergency. */
function wristband() {
  const box = el("input", {
    id: "band", type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", maxlength: 64,
    pattern: "[A-Za-z0-9.\\-]+", required: true, placeholder: "p7k3m9q",
  });
  const open = (event) => {
    event.preventDefault();
    location.hash = `#/patient/${encodeURIComponent(box.value.trim().toLowerCase())}`;
  };
  return el("section", { class: "card", "aria-labelledby": "by-band" },
    el("h2", { id: "by-band" }, "By wristband"),
    el("p", { class: "quiet" },
      "Lists hold the patients in whose care you take part. In an emergency, open a chart by the number on the wristband."),
    el("form", { class: "line", onsubmit: open },
      el("label", { class: "unseen", for: "band" }, "Number on the wristband"),
      box, el("button", { class: "button", type: "submit" }, "Open chart")));
}

