// Follows a running verification of the log: asks for the fragment of the page until it is done.
"use strict";

(() => {
  const box = document.getElementById("verification");
  if (!box) return;
  const next = async () => {
    if (!box.querySelector("[data-running]")) return;
    try {
      const answer = await fetch(box.dataset.address, { credentials: "same-origin", redirect: "error" });
      if (!answer.ok) return;
      box.innerHTML = await answer.text();
    } catch {
      // The next round tries again.
    }
    setTimeout(next, 700);
  };
  setTimeout(next, 400);
})();
