// The list of devices: figures stay fresh, new devices are announced and never move a row under the reader's finger, a
// search shows its rows while it is typed, and arrow keys walk the rows. Without this script everything works by links.
"use strict";

(() => {
  const figures = document.getElementById("figures");
  const news = document.getElementById("news");
  const form = document.getElementById("find");
  const found = document.getElementById("found");
  if (!figures || !news || !form || !found) return;

  const put = (at, text) => { if (at && at.textContent !== text) at.textContent = text; };

  const announce = (count) => {
    if (!count || news.dataset.count === String(count)) return;
    news.dataset.count = String(count);
    const link = document.createElement("a");
    link.href = location.href;
    link.textContent = "Show";
    news.replaceChildren(`${count} new ${count === 1 ? "device" : "devices"} since this page was opened. `, link);
  };

  const source = new EventSource(figures.dataset.stream);
  source.addEventListener("figures", (event) => {
    const now = JSON.parse(event.data);
    for (const at of figures.querySelectorAll("[data-figure]")) put(at, now[at.dataset.figure]);
    for (const sensor of now.sensors) {
      const box = [...figures.querySelectorAll("[data-sensor]")].find((one) => one.dataset.sensor === sensor.name);
      if (!box) continue;
      put(box.querySelector(".value"), sensor.packets);
      const tag = box.querySelector(".tag");
      put(tag, sensor.words);
      tag.className = "tag " + (sensor.good ? "on" : "off");
    }
    announce(now.appeared);
  });
  source.addEventListener("ended", () => {
    source.close();
    news.textContent = "Your session has ended: reload the page.";
  });

  // Rows of another search take the place of these, and the address follows, so that it can be kept and sent.
  let running = null;
  const load = async (address, keep) => {
    running?.abort();
    running = new AbortController();
    found.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(address, { credentials: "same-origin", redirect: "error", signal: running.signal });
      if (!answer.ok) throw new Error("refused");
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const rows = page.getElementById("found");
      if (!rows) throw new Error("another page");
      found.replaceChildren(...rows.childNodes);
      found.removeAttribute("aria-busy");
      history.replaceState(null, "", address);
      if (!keep) document.getElementById("devices")?.scrollIntoView({ block: "nearest" });
    } catch (error) {
      // A newer search took over; anything else is the whole page's to say.
      if (error.name !== "AbortError") location.assign(address);
    }
  };
  const wish = () => {
    const fields = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value) fields.append(name, value);
    const text = fields.toString();
    return "/devices" + (text ? "?" + text : "");
  };
  let waiting = 0;
  let asked = wish();
  const look = () => {
    clearTimeout(waiting);
    const address = wish();
    if (address === asked) return;
    asked = address;
    load(address, true);
  };
  form.addEventListener("input", (event) => {
    clearTimeout(waiting);
    waiting = setTimeout(look, event.target.type === "text" ? 250 : 0);
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); look(); });

  // Headings and pages of the list likewise; with a modifier key they are links like any other.
  found.addEventListener("click", (event) => {
    const link = event.target.closest("a.order, .pager a");
    if (!link || event.button || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const address = link.getAttribute("href");
    const sort = new URL(link.href).searchParams.get("sort") || "";
    const heading = link.classList.contains("order") ? link.textContent : "";
    form.elements.sort.value = sort;
    asked = wish();
    load(address, Boolean(heading)).then(() => {
      if (heading) [...found.querySelectorAll("a.order")].find((one) => one.textContent === heading)?.focus();
    });
  });

  found.addEventListener("keydown", (event) => {
    const row = document.activeElement?.closest("tbody tr");
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = {
      ArrowDown: row.nextElementSibling,
      ArrowUp: row.previousElementSibling,
      Home: row.parentElement.firstElementChild,
      End: row.parentElement.lastElementChild,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    to?.querySelector("a")?.focus();
  });
})();
