// The two things that can be entered: a vital sign and a prescription.

import { create } from "./api.js";
import { el, notice, say } from "./dom.js";

const LOINC = "http://loinc.org";
const UCUM = "http://unitsofmeasure.org";
const RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm";
const CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category";
const CONTROLLED = "https://asepsis.health/fhir/controlled";

const SIGNS = [
  { code: "85354-9", text: "Blood pressure", unit: "mmHg", ucum: "mm[Hg]", low: 20, high: 300, pair: true },
  { code: "8867-4", text: "Heart rate", unit: "beats/minute", ucum: "/min", low: 10, high: 300 },
  { code: "9279-1", text: "Respiratory rate", unit: "breaths/minute", ucum: "/min", low: 1, high: 100 },
  { code: "8310-5", text: "Body temperature", unit: "°C", ucum: "Cel", low: 25, high: 45, step: 0.1 },
  { code: "59408-5", text: "Oxygen saturation", unit: "%", ucum: "%", low: 30, high: 100 },
];

const MEDICINES = [
  { code: "161", text: "Paracetamol", dose: "1 g by mouth four times a day" },
  { code: "723", text: "Amoxicillin", dose: "500 mg by mouth three times a day" },
  { code: "4603", text: "Furosemide", dose: "40 mg by mouth in the morning" },
  { code: "7646", text: "Omeprazole", dose: "20 mg by mouth once a day" },
  { code: "7052", text: "Morphine", dose: "5 mg by mouth every 4 hours if needed", controlled: true },
  { code: "7804", text: "Oxycodone", dose: "5 mg by mouth every 6 hours if needed", controlled: true },
  { code: "6470", text: "Lorazepam", dose: "1 mg by mouth at night", controlled: true },
];

/** A form in a dialog. `make` turns it into a resource; what the gateway answers is shown inside. */
function ask(title, words, fields, make, done) {
  const told = el("div", { "aria-live": "polite" });
  const button = el("button", { class: "button", type: "submit" }, words);
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "dialog-title" });
  const close = () => dialog.close();
  const send = async (event) => {
    event.preventDefault();
    button.disabled = true;
    told.replaceChildren();
    try {
      await create(make());
      close();
      say("Saved");
      await done();
    } catch (problem) {
      told.replaceChildren(notice(problem, { beside: true }));
    } finally {
      button.disabled = false;
    }
  };
  dialog.append(el("form", { method: "dialog", onsubmit: send },
    el("h2", { id: "dialog-title" }, title),
    fields,
    told,
    el("p", { class: "ways" }, button,
      el("button", { class: "button second", type: "button", onclick: close }, "Cancel"))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function field(label, input) {
  return el("label", { class: "field" }, el("span", {}, label), input);
}

function common(view) {
  const person = view.me.person ?? view.me.id;
  return {
    subject: { reference: `Patient/${view.id}` },
    encounter: view.current ? { reference: `Encounter/${view.current.id}` } : undefined,
    by: person ? { reference: `Practitioner/${person}`, display: view.me.name } : undefined,
  };
}

/** Records a vital sign. */
export function recordVital(view, done) {
  const select = el("select", { required: true, onchange: () => change() },
    SIGNS.map((sign, index) => el("option", { value: index }, sign.text)));
  const first = el("input", { type: "number", required: true, inputmode: "decimal" });
  const second = el("input", { type: "number", required: true, inputmode: "decimal" });
  const firstField = field("", first);
  const secondField = field("Diastolic (mmHg)", second);
  const sign = () => SIGNS[Number(select.value)];
  const change = () => {
    const { low, high, step, unit, pair } = sign();
    for (const input of [first, second]) {
      input.min = low;
      input.max = high;
      input.step = step ?? 1;
    }
    firstField.firstChild.textContent = pair ? "Systolic (mmHg)" : `Value (${unit})`;
    secondField.hidden = !pair;
    second.disabled = !pair;
  };
  change();
  const quantity = (value, { unit, ucum }) => ({ value: Number(value), unit, system: UCUM, code: ucum });
  const concept = (code, text) => ({ coding: [{ system: LOINC, code, display: text }], text });
  const make = () => {
    const chosen = sign();
    const { subject, encounter, by } = common(view);
    const observation = {
      resourceType: "Observation",
      status: "final",
      category: [{ coding: [{ system: CATEGORY, code: "vital-signs", display: "Vital Signs" }] }],
      code: concept(chosen.code, chosen.text),
      subject,
      encounter,
      performer: by ? [by] : undefined,
      effectiveDateTime: new Date().toISOString(),
    };
    if (chosen.pair) {
      observation.component = [
        { code: concept("8480-6", "Systolic blood pressure"), valueQuantity: quantity(first.value, chosen) },
        { code: concept("8462-4", "Diastolic blood pressure"), valueQuantity: quantity(second.value, chosen) },
      ];
    } else {
      observation.valueQuantity = quantity(first.value, chosen);
    }
    return observation;
  };
  ask("Record a vital sign", "Save", [field("What", select), firstField, secondField], make, done);
}

/** Prescribes a medicine; a controlled one is marked as such. */
export function prescribe(view, done) {
  const select = el("select", { required: true, onchange: () => change() },
    MEDICINES.map((medicine, index) =>
      el("option", { value: index }, medicine.controlled ? `${medicine.text} (controlled)` : medicine.text)));
  const dose = el("input", { type: "text", required: true, maxlength: 200 });
  const medicine = () => MEDICINES[Number(select.value)];
  const change = () => {
    dose.value = medicine().dose;
  };
  change();
  const make = () => {
    const chosen = medicine();
    const { subject, encounter, by } = common(view);
    return {
      resourceType: "MedicationRequest",
      extension: chosen.controlled ? [{ url: CONTROLLED, valueBoolean: true }] : undefined,
      status: "active",
      intent: "order",
      medicationCodeableConcept: {
        coding: [{ system: RXNORM, code: chosen.code, display: chosen.text }], text: chosen.text,
      },
      subject,
      encounter,
      requester: by,
      authoredOn: new Date().toISOString(),
      dosageInstruction: [{ text: dose.value.trim() }],
    };
  };
  ask("Prescribe a medicine", "Prescribe", [field("Medicine", select), field("Dose", dose)], make, done);
}
