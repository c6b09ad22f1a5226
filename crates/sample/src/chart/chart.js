// The page: who is signed in, and which view the fragment of the address asks for.

import { signOut, whoami } from "./api.js";
import { el, returnToPlace, say, show } from "./dom.js";
import { found, home } from "./list.js";
import { chart } from "./patient.js";

const me = {};

function route() {
  const [place, value] = location.hash.replace(/^#\/?/, "").split("/");
  // Fragments are not sent; an id in one is checked before it becomes part of an address.
  const words = decode(value);
  if (place === "patient" && /^[A-Za-z0-9.-]{1,64}$/.test(words)) chart(words, me);
  else if (place === "find" && words.trim()) found(words);
  else if (place === "" || place === "ward") home(me, words);
  else show(el("h1", {}, "There is nothing here"), el("p", {}, el("a", { href: "#/" }, "Back to the patients")));
}

function decode(text) {
  try {
    return decodeURIComponent(text ?? "");
  } catch {
    return "";
  }
}

function header() {
  const name = me.name || "Signed in";
  const parts = [];
  if (me.roles?.length) parts.push(me.roles.map((role) => role.replaceAll("_", " ")).join(", "));
  const device = typeof me.device === "string" ? me.device : me.device?.name;
  if (device) parts.push(device);
  const ends = new Date(me.session_expires ?? me.expires ?? me.session?.expires ?? "");
  if (!Number.isNaN(ends.getTime())) {
    const clock = ends.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
    parts.push(`until ${clock}`);
  }
  const form = el("form", { method: "post", action: "/.asepsis/sign-out", onsubmit: leave },
    el("button", { class: "button second", type: "submit" }, "Sign out"));
  document.getElementById("who").replaceChildren(
    el("div", { class: "who-text" },
      el("span", { class: "who-name" }, name),
      parts.length ? el("span", { class: "who-more" }, parts.join(" · ")) : null),
    consoleAddress() ? el("a", { class: "plain", href: consoleAddress() }, "Console") : "",
    form);
}

function leave(event) {
  event.preventDefault();
  say("Signing out");
  signOut();
}

/** The console lives beside the chart: `chart.x` and `console.x`. */
function consoleAddress() {
  const told = typeof me.console === "string" && /^https?:\/\//.test(me.console) ? me.console : undefined;
  if (told || !location.hostname.startsWith("chart.")) return told;
  return `${location.protocol}//console.${location.host.slice("chart.".length)}/`;
}

function listen() {
  const box = document.getElementById("find-name");
  document.getElementById("find").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = box.value.trim();
    if (words) location.hash = `#/find/${encodeURIComponent(words)}`;
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea, dialog");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      box.focus();
    }
  });
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    document.getElementById("main").focus();
  });
  addEventListener("hashchange", route);
}

returnToPlace();
listen();
Object.assign(me, await whoami());
header();
route();
