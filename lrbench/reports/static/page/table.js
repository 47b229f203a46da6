// ---- the table of all groups: rows are made from data, as many as are shown ----------------------------------------------
const ROWS = 30; // shown at first; `more` adds as many again and again
const listing = { column: null, descending: false, words: [], shown: ROWS, found: [] };
const searched = new Map(); // group → its text in small letters

// Search names, states, verdicts and answers; in columns of numbers only words, since digits are everywhere.
function searchable(group) {
  if (!searched.has(group)) {
    const said = row(group).cells.map(([text], i) => (page().right[i] ? (text.match(/[a-z]{3,}/gi) ?? []).join(" ") : text));
    searched.set(group, said.join(" ").toLowerCase());
  }
  return searched.get(group);
}

function compareBy(column, descending) {
  return (a, b) => {
    const [x, y] = [row(a).cells[column][1], row(b).cells[column][1]];
    if (x == null || y == null) return Number(x == null) - Number(y == null); // rows without a value come last in both directions
    const order = typeof x === "number" && typeof y === "number" ? x - y : String(x).localeCompare(String(y), undefined, { numeric: true });
    return descending ? -order : order;
  };
}

function list() {
  const table = byId("results"), groups = page().groups.filter(row);
  if (!table || !groups.length) return;
  const { column, descending, words } = listing;
  listing.found = groups.filter((group) => words.every((word) => searchable(group).includes(word)));
  if (column != null) listing.found.sort(compareBy(column, descending));
  const wanted = listing.found.slice(0, listing.shown), body = table.tBodies[0];
  const there = new Map([...body.rows].map((one) => [one.dataset.group, one]));
  body.replaceChildren(...wanted.map((group) => tableRow(group, there.get(group))));
  [...table.tHead.rows[0].cells].forEach((cell) => {
    const own = cell.querySelector("button")?.dataset.sort;
    if (own != null && Number(own) === column) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  const count = listing.found.length, left = count - wanted.length;
  byId("draw-listed").disabled = !count;
  byId("listed").textContent = count === groups.length ? plural(count, "row") : `${count.toLocaleString("en")} of ${plural(groups.length, "row")}`;
  byId("more-rows").hidden = !left;
  byId("more-rows").textContent = `Show ${left > 100 ? "100 more" : "the other"} of ${plural(count, "row")}`;
}

function tableRow(group, line) {
  const { cells, label } = row(group), right = page().right;
  const texts = cells.map(([text]) => text), version = JSON.stringify(texts);
  if (line?.version !== version) {
    const [name, ...others] = texts;
    line = make("tr", { "data-group": group }, make("th", { scope: "row" }, name),
      make("td", { class: "draw" }, make("input", { type: "checkbox", "aria-label": `Draw ${label}` })),
      ...others.map((text, i) => make("td", { class: right[i + 1] ? "right" : null }, text)));
    line.version = version;
  }
  line.querySelector("input").checked = isDrawn(group);
  return line;
}

function ticked() {
  for (const line of all("#results tbody tr")) line.querySelector("input").checked = isDrawn(line.dataset.group);
}

function drawOnly(groups) {
  for (const id of sections()) slotsOf(id).clear();
  groups.slice(0, 28).forEach((group) => pick(group, true));
  ticked();
  showDetails();
  redraw();
}
