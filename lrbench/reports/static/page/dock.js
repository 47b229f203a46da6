// ---- the groups that are kept: a small chart of each, at the edge of the screen ---------------------------------------------------
function showDock() {
  let dock = byId("dock");
  if (!dock) {
    dock = make("aside", { id: "dock", "aria-label": "Kept runs" });
    document.body.append(dock);
  }
  const there = new Map([...dock.children].map((card) => [card.dataset.group, card]));
  dock.replaceChildren(...pins.filter(row).map((group) => there.get(group) ?? keptCard(group)));
  dock.hidden = !pins.length;
  root.classList.toggle("docked", pins.length > 0);
  watch();
  for (const chart of all("[data-chart]", dock)) { seen.add(chart); draw(chart); }
}

function keptCard(group) {
  const card = panel(group, null, "div");
  card.prepend(make("button", { type: "button", class: "close", "data-unpin": group, "aria-label": `Do not keep ${labelOf(group)}` }, "✕"));
  card.append(make("p", { class: "links" }, make("button", { type: "button", "data-goto": group }, "Runs and config")));
  return card;
}
