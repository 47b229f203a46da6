// ---- controls, and the beginning -----------------------------------------------------------------------------------------
document.addEventListener("change", ({ target }) => {
  if (target.dataset.view) {
    const { view: name } = target.dataset, value = target.type === "radio" ? target.value : target.checked;
    if (name === "measure") view.wanted.set(target.closest(".switches").id.replace("switches-", ""), value);
    else view[name] = value;
    if (name !== "measure") for (const other of all(`input[data-view="${name}"]`)) other.checked = other.type === "radio" ? other.value === value : value;
    redraw();
  } else if (target.closest(".results") && target.type === "checkbox") {
    pick(target.closest("tr").dataset.group, target.checked);
    redraw();
    showDetails();
  }
});
document.addEventListener("input", ({ target }) => {
  if (!target.matches("input.filter")) return;
  const one = listingOf(tableOf(target));
  one.words = target.value.toLowerCase().split(/\s+/).filter(Boolean);
  one.shown = ROWS;
  list(tableOf(target));
});
document.addEventListener("click", ({ target }) => {
  const button = target.closest("button"), cell = target.closest(".heat td[data-group], .results tr[data-group], .lead-table tr");
  if (cell && !button && !target.closest("input, a") && !String(getSelection())) togglePin(cell.dataset.group || cell.dataset.best);
  if (!button) return;
  if (button.dataset.sort) {
    const column = Number(button.dataset.sort);
    const id = tableOf(button), one = listingOf(id);
    one.descending = one.column === column && !one.descending;
    one.column = column;
    list(id);
  } else if (button.matches(".draw-listed")) drawOnly(tableOf(button), listingOf(tableOf(button)).found);
  else if (button.matches(".draw-picked")) drawOnly(tableOf(button), section(tableOf(button))?.picked ?? []);
  else if (button.matches(".more-rows")) { listingOf(tableOf(button)).shown += 100; list(tableOf(button)); }
  else if (button.id === "more-panels") { panelsShown += panelsShown + 2 * PANELS >= page().groups.length ? 2 * PANELS : PANELS; fillPanels(); }
  else if ("copy" in button.dataset) copy(button);
  else if (button.dataset.pin) togglePin(button.dataset.pin);
  else if (button.dataset.unpin) togglePin(button.dataset.unpin);
  else if (button.dataset.goto) showRuns(button.dataset.goto);
  else if (button.dataset.all) {
    const whole = byId(button.dataset.all).classList.toggle("whole");
    button.setAttribute("aria-expanded", String(whole));
    [button.textContent, button.dataset.other] = [button.dataset.other, button.textContent];
  }
});

async function copy(button) {
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch { // not allowed here: select it for copying by hand
    getSelection().selectAllChildren(code);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

let lastWidth = innerWidth, timer = 0;
addEventListener("resize", () => {
  if (innerWidth === lastWidth || printing()) return;
  lastWidth = innerWidth;
  clearTimeout(timer);
  timer = setTimeout(redraw, 120);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
function print(on) {
  if (printing() === on) return;
  root.classList.toggle("printing", on);
  if (on) {
    fillPanels();
    for (const chart of all("[data-chart]")) { watcher.unobserve(chart); seen.add(chart); }
  }
  redraw();
}
addEventListener("beforeprint", () => print(true));
addEventListener("afterprint", () => print(false));
matchMedia("print").addEventListener("change", (event) => print(event.matches));

// A browser may restore the state of the last visit.
for (const input of all("input[data-view]")) input.checked = input.defaultChecked;
for (const one of all("input.filter")) one.value = "";
paintSwatches();
watch();
load("row").then(() => { for (const { id } of page().tables) list(id); return load("curves"); }).then(() => { fillPanels(); watch(); redraw(); root.classList.add("ready"); });
