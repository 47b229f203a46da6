// ---- the table of all groups: rows are made from data, as many as are shown ----------------------------------------------
const ROWS = 30; // shown at first; `more` adds as many again and again
const listings = new Map(); // table → how it is sorted and filtered, how many rows are shown, and which rows fit
const searched = new Map(); // group → its text in small letters
const tableOf = (element) => element.closest("[data-table]").dataset.table;

function listingOf(id) {
  if (!listings.has(id)) listings.set(id, { column: null, descending: false, words: [], shown: ROWS, found: [] });
  return listings.get(id);
}

// Search names, states, verdicts and answers; in columns of numbers only words, since digits are everywhere.
function searchable(group, right) {
  if (!searched.has(group)) {
    const said = row(group).cells.map(([text], i) => (right[i] ? (text.match(/[a-z]{3,}/gi) ?? []).join(" ") : text));
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

function list(id) {
  const place = document.querySelector(`[data-table="${id}"]`), { groups: every, right } = page().tables.find((one) => one.id === id) ?? {};
  const table = place?.querySelector(".results"), groups = every?.filter(row), listing = listingOf(id);
  if (!table || !groups?.length) return;
  const { column, descending, words } = listing;
  listing.found = groups.filter((group) => words.every((word) => searchable(group, right).includes(word)));
  if (column != null) listing.found.sort(compareBy(column, descending));
  const wanted = listing.found.slice(0, listing.shown), body = table.tBodies[0];
  const there = new Map([...body.rows].map((one) => [one.dataset.group, one]));
  body.replaceChildren(...wanted.map((group) => tableRow(group, right, there.get(group))));
  [...table.tHead.rows[0].cells].forEach((cell) => {
    const own = cell.querySelector("button")?.dataset.sort;
    if (own != null && Number(own) === column) cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else cell.removeAttribute("aria-sort");
  });
  const count = listing.found.length, left = count - wanted.length;
  const more = place.querySelector(".more-rows");
  place.querySelector(".draw-listed").disabled = !count;
  place.querySelector(".listed").textContent = count === groups.length ? plural(count, "row") : `${count.toLocaleString("en")} of ${plural(groups.length, "row")}`;
  more.hidden = !left;
  more.textContent = `Show ${left > 100 ? "100 more" : "the other"} of ${plural(count, "row")}`;
}

function tableRow(group, right, line) {
  const { cells, label } = row(group);
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
  for (const line of all(".results tbody tr")) line.querySelector("input").checked = isDrawn(line.dataset.group);
}

// Draw only these groups in the charts of the table's section.
function drawOnly(id, groups) {
  slotsOf(id).clear();
  groups.slice(0, 28).forEach((group) => pick(group, true));
  ticked();
  showDetails();
  redraw();
}
