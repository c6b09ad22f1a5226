// The stream of decisions: new rows arrive at the top, the list stays bounded, a pause holds it still, arrow keys
// walk it, and a polite live region says at most every five seconds what has arrived.
"use strict";

(() => {
  const list = document.getElementById("stream");
  if (!list) return;
  const pulse = document.getElementById("pulse");
  const pause = document.getElementById("pause");
  const spoken = document.getElementById("spoken");
  const empty = document.getElementById("stream-empty");
  const most = 200;
  let held = [];
  let heldMore = 0;
  let paused = false;
  let news = { all: 0, stopped: 0 };

  const state = (kind, words) => { pulse.className = "pulse " + kind; pulse.textContent = words; };

  const show = (html) => {
    const box = document.createElement("template");
    box.innerHTML = html;
    const rows = box.content.querySelectorAll("li.seen");
    const keep = document.activeElement && list.contains(document.activeElement) ? document.activeElement : null;
    const before = keep ? keep.getBoundingClientRect().top : 0;
    for (const row of rows) {
      if (document.getElementById(row.id)) continue;
      row.classList.add("fresh");
      list.prepend(row);
    }
    while (list.children.length > most) list.lastElementChild.remove();
    if (empty) empty.hidden = list.children.length > 0;
    // Whoever reads a row with the keyboard must not see it run away.
    if (keep && keep.isConnected) window.scrollBy(0, keep.getBoundingClientRect().top - before);
  };

  const count = (html) => {
    const rows = html.split("<li").length - 1;
    news.all += rows;
    news.stopped += html.split('data-outcome="deny"').length - 1;
  };

  const label = () => {
    const waiting = held.length + heldMore;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? (waiting ? `Go on (${waiting} waiting)` : "Go on") : "Pause";
  };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    if (!paused) {
      for (const html of held) show(html);
      held = [];
      heldMore = 0;
      state("live", "Live");
    } else {
      state("", "Paused");
    }
    label();
  });

  list.addEventListener("keydown", (event) => {
    const at = document.activeElement.closest("li.seen");
    if (!at || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = {
      ArrowDown: at.nextElementSibling,
      ArrowUp: at.previousElementSibling,
      Home: list.firstElementChild,
      End: list.lastElementChild,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to) to.querySelector("a").focus();
  });

  setInterval(() => {
    if (!news.all || paused) return;
    const stopped = news.stopped ? `, ${news.stopped} refused` : "";
    spoken.textContent = `${news.all} new ${news.all === 1 ? "record" : "records"}${stopped}`;
    news = { all: 0, stopped: 0 };
  }, 5000);

  state("", "Connecting …");
  const source = new EventSource(list.dataset.stream);
  source.addEventListener("open", () => { if (!paused) state("live", "Live"); });
  source.addEventListener("error", () => {
    state("lost", source.readyState === EventSource.CLOSED ? "Stopped: reload the page" : "Connecting again …");
  });
  source.addEventListener("rows", (event) => {
    if (paused) {
      if (held.length < most) held.push(event.data); else { held.shift(); held.push(event.data); heldMore += 1; }
      label();
    } else {
      show(event.data);
      count(event.data);
    }
  });
  source.addEventListener("skipped", (event) => {
    spoken.textContent = `${event.data} more records arrived faster than they can be shown; all are in the log.`;
  });
  source.addEventListener("ended", () => {
    source.close();
    state("lost", "Your session has ended: reload the page");
  });
})();
