// Small helps for forms; every form works without them.
"use strict";

(() => {
  // A form is sent once.
  for (const form of document.querySelectorAll("form[method=post]")) {
    form.addEventListener("submit", () => {
      for (const button of form.querySelectorAll("button")) {
        setTimeout(() => { button.disabled = true; }, 0);
      }
    });
  }
  // Coming back with the browser's back button finds the form usable again.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const button of document.querySelectorAll("form[method=post] button")) button.disabled = false;
  });

  // The sample sign-in proposes a device that stands where the person works.
  for (const chooser of document.querySelectorAll("select[data-proposes]")) {
    const other = document.getElementById(chooser.dataset.proposes);
    const propose = () => {
      const unit = chooser.selectedOptions[0]?.dataset.unit;
      const near = unit && [...other.options].find((option) => option.dataset.unit === unit);
      if (near) other.value = near.value;
    };
    chooser.addEventListener("change", propose);
    propose();
  }

  // Filters apply as soon as they are chosen; the list of devices sees to its own.
  for (const form of document.querySelectorAll("form[data-filters]:not(#find)")) {
    form.addEventListener("change", () => form.requestSubmit());
  }

  // How much more a reason needs.
  for (const area of document.querySelectorAll("textarea[minlength]")) {
    const hint = document.getElementById(area.getAttribute("aria-describedby"));
    if (!hint) continue;
    const words = hint.textContent;
    area.addEventListener("input", () => {
      const missing = area.minLength - [...area.value.trim()].length;
      hint.textContent = missing > 0 ? `${words} ${missing} more to go.` : words;
    });
  }
})();
