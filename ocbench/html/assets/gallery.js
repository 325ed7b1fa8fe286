// Cards of the scenes that have pictures.
const KINDS = ["all", "best", "worst", "random"];
const ORDERS = {
  "as chosen": null,
  "score, low to high": 1,
  "score, high to low": -1,
  objects: "count",
  "object size": "size",
};
const gallery = { kind: "all", order: "as chosen", list: [] };

function card(entry, place) {
  const metric = filters.metric;
  const facts = el(
    "span",
    { class: "facts" },
    el("b", { text: shown(metric, entry.score(metric)) }),
    `${D.metrics[metric].label} · ${entry.count} object${entry.count === 1 ? "" : "s"}`,
    el("span", { class: `tag kind-${entry.kind}`, text: entry.kind }),
  );
  const thumbs = el(
    "span",
    { class: "thumbs" },
    ...["input", "truth", "prediction"].map((name) => scenePicture(entry, name)),
  );
  return el(
    "li",
    {},
    el(
      "button",
      { type: "button", class: "card", onclick: () => openBox(gallery.list, place) },
      thumbs,
      facts,
      el("span", { class: "key" }, dot(entry.colour), `${entry.run} · ${entry.key}`),
    ),
  );
}
const turnCards =
  $("cards") &&
  paged($("cards-pager"), 12, "gallery", (start, stop) => {
    const cards = gallery.list.slice(start, stop).map((entry, place) => card(entry, start + place));
    $("cards").replaceChildren(
      ...(cards.length ? cards : [el("li", { class: "empty", text: "No scene with pictures matches." })]),
    );
  });

function drawGallery() {
  if (!turnCards) return;
  const list = entries.filter(
    (entry) =>
      (gallery.kind === "all" || entry.kind === gallery.kind) && matches(entry, entry.place, entry.run, entry.count),
  );
  const order = ORDERS[gallery.order];
  gallery.list =
    order === null
      ? list
      : ordered(
          list,
          (entry) => (typeof order === "string" ? entry[order] : entry.score(filters.metric)),
          typeof order === "string" ? 1 : order,
        );
  turnCards(gallery.list.length);
}
if (turnCards) {
  const buttons = KINDS.map((kind) =>
    el("button", {
      type: "button",
      class: "quiet",
      text: kind,
      "aria-pressed": String(kind === gallery.kind),
      onclick: (event) => {
        gallery.kind = kind;
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === event.currentTarget));
        drawGallery();
      },
    }),
  );
  const order = el(
    "select",
    {
      class: "quiet",
      "aria-label": "order of the gallery",
      onchange: (event) => {
        gallery.order = event.target.value;
        drawGallery();
      },
    },
    ...Object.keys(ORDERS).map((text) => el("option", { text })),
  );
  $("kinds").append(...buttons, order);
}
