// Sorting by the buttons in table heads, and tables in pages.
function compared(one, other) {
  const empty = (value) => value === null || value === undefined || value === "";
  if (empty(one) || empty(other)) return empty(one) - empty(other); // what is missing comes last, either way
  return typeof one === "number" && typeof other === "number"
    ? one - other
    : String(one).localeCompare(String(other), "en");
}
function ordered(list, value, direction) {
  const missing = (item) => {
    const found = value(item);
    return found === null || found === undefined || found === "";
  };
  return [...list].sort((a, b) =>
    missing(a) || missing(b) ? compared(value(a), value(b)) : direction * compared(value(a), value(b)),
  );
}
function turned(header, numeric) {
  const now = header.getAttribute("aria-sort");
  const next =
    now === "none" ? (numeric ? "descending" : "ascending") : now === "ascending" ? "descending" : "ascending";
  for (const other of header.parentElement.children)
    if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", next);
  return next === "ascending" ? 1 : -1;
}

function sortable(table) {
  const body = table.tBodies[0];
  const value = (row, column) => {
    const text = row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  };
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    header.querySelector("button").addEventListener("click", () => {
      const all = [...body.rows];
      const direction = turned(
        header,
        all.some((row) => typeof value(row, column) === "number"),
      );
      body.append(...ordered(all, (row) => value(row, column), direction));
    });
  });
}

// Buttons to the page before and after; `draw(start, stop)` shows the items.
function paged(container, size, what, draw) {
  let page = 0,
    count = 0;
  const where = el("span", { "aria-live": "polite" });
  const step = (by) => () => {
    page += by;
    show();
  };
  const before = el("button", {
    type: "button",
    class: "quiet",
    text: "Previous",
    "aria-label": `previous page of ${what}`,
    onclick: step(-1),
  });
  const after = el("button", {
    type: "button",
    class: "quiet",
    text: "Next",
    "aria-label": `next page of ${what}`,
    onclick: step(1),
  });
  function show() {
    const start = page * size,
      stop = Math.min(count, start + size);
    draw(start, stop);
    where.textContent = count ? `${whole(start + 1)}–${whole(stop)} of ${whole(count)}` : "";
    before.disabled = page === 0;
    after.disabled = stop >= count;
    container.replaceChildren(...(count > size ? [before, after, where] : []));
  }
  return (total, first = 0) => {
    count = total;
    page = Math.floor(first / size);
    show();
  };
}

// columns: {title, value(item), cell(item), name}; returns show(items, columns).
function pagedTable(container, label, size) {
  const head = el("tr"),
    body = el("tbody"),
    pager = el("div", { class: "pager" });
  const table = el("table", { class: "data dense" }, el("thead", {}, head), body);
  container.append(el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, table), pager);
  let items = [],
    columns = [],
    sorting = null;
  const turn = paged(pager, size, label, (start, stop) => body.replaceChildren(...items.slice(start, stop).map(line)));
  const line = (item) =>
    el(
      "tr",
      {},
      ...columns.map((column) => {
        const content = column.cell ? column.cell(item) : whole(column.value(item));
        return el(
          column.name ? "th" : "td",
          column.name ? { scope: "row" } : { class: column.text ? "words" : null },
          content,
        );
      }),
    );
  function sorted() {
    const column = columns.find((one) => one.title === sorting?.title);
    if (column) items = ordered(items, column.value, sorting.direction);
  }
  function headers() {
    head.replaceChildren(
      ...columns.map((column) => {
        const now = sorting?.title === column.title ? (sorting.direction > 0 ? "ascending" : "descending") : "none";
        const header = el("th", {
          scope: "col",
          "aria-sort": now,
          class: column.name ? "name" : column.text ? "words" : null,
        });
        header.append(
          el("button", {
            type: "button",
            class: "sort",
            text: column.title,
            onclick: () => {
              sorting = { title: column.title, direction: turned(header, !column.text) };
              sorted();
              turn(items.length);
            },
          }),
        );
        return header;
      }),
    );
  }
  return (found, wanted, start = null) => {
    const same = wanted.map((one) => one.title).join("\n") === columns.map((one) => one.title).join("\n");
    items = found;
    columns = wanted;
    sorting = sorting ?? start;
    if (!same) headers();
    sorted();
    turn(items.length);
  };
}
