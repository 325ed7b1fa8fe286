// One scene in full: pictures, attention centres, slots, objects. Arrow keys turn, Escape closes.
const NAMES = {
  input: "input",
  truth: "truth",
  prediction: "prediction",
  error: "errors",
  reconstruction: "reconstruction",
};
// of each slot
const SLOT_NAMES = { layers: "layer", masks: "mask", attention: "attention" };
const SLOT_WORDS = { layers: "what each draws", masks: "its mask", attention: "where it looked" };
const ERRORS = { missed: "#e69f00", false: "#56b4e9", confused: "#cc79a7" };
const box = {
  dialog: $("lightbox"),
  list: [],
  place: 0,
  centres: true,
  title: el("h2", { id: "lightbox-title", tabindex: "-1" }),
  count: el("span", { class: "count", "aria-live": "polite" }),
  body: el("div", { class: "box" }),
};

const scenePicture = (entry, name) =>
  el("img", {
    class: `pixels${name in { truth: 1, prediction: 1, error: 1 } ? " exact" : ""}`,
    src: entry.pictures[name],
    alt: `${NAMES[name]} of scene ${entry.key} under ${entry.run}`,
    width: entry.width,
    height: entry.height,
  });

function tile(entry, name, slot) {
  const columns = entry.columns,
    lines = Math.ceil(entry.slots.length / columns);
  const part = (place, count) => (count > 1 ? (100 * place) / (count - 1) : 0);
  return el("div", {
    class: "tile",
    role: "img",
    "aria-label": `${SLOT_NAMES[name]} of slot ${slot}`,
    style: {
      "background-image": `url("${entry.pictures[name]}")`,
      "background-size": `${100 * columns}% ${100 * lines}%`,
      "background-position": `${part(slot % columns, columns)}% ${part(Math.floor(slot / columns), lines)}%`,
      "aspect-ratio": `${entry.width} / ${entry.height}`,
    },
  });
}

// Centres are -1 and 1 at the centres of the border pixels.
function centres(entry) {
  const overlay = svg("svg", { viewBox: `0 0 ${entry.width} ${entry.height}`, "aria-hidden": "true" });
  const size = Math.max(entry.width, entry.height);
  for (const one of entry.slots) {
    if (!one.centre || one.pixels === 0 || (entry.background && one.slot === 0)) continue;
    const at = {
      cx: ((one.centre[0] + 1) / 2) * (entry.width - 1) + 0.5,
      cy: ((one.centre[1] + 1) / 2) * (entry.height - 1) + 0.5,
      r: size * 0.05,
    };
    overlay.append(svg("circle", { class: "centre-under", ...at }), svg("circle", { class: "centre", ...at }));
    overlay.append(
      svg("text", { class: "centre-text", x: at.cx, y: at.cy, "font-size": size * 0.06, text: one.slot }),
    );
  }
  return overlay;
}

const slotPictures = (entry) => Object.keys(SLOT_NAMES).filter((name) => entry.pictures[name]);

function slotFigure(entry, one) {
  const object = entry.objects.find((other) => other.id === one.object);
  const words = [`slot ${one.slot}`];
  if (entry.background && one.slot === 0) words.push("background");
  if (one.object !== null) words.push(`object ${one.object}, IoU\u00a0${(100 * one.iou).toFixed(0)}\u00a0%`);
  else if (one.pixels === 0) words.push("wins no pixel");
  const tiles = slotPictures(entry).map((name) => tile(entry, name, one.slot));
  const swatch = object?.colour
    ? el("span", { class: "swatch", "aria-hidden": "true", style: { background: object.colour } })
    : null;
  return el(
    "figure",
    { class: one.pixels ? null : "idle" },
    el("div", { class: tiles.length > 1 ? `tiles of-${tiles.length}` : null }, ...tiles),
    el("figcaption", {}, swatch, words.join(" · ")),
  );
}

function objectsTable(entry) {
  const hidden = ["id", "colour", "pixels", "best_iou"];
  const facts = [...new Set(entry.objects.flatMap((one) => Object.keys(one)))].filter(
    (name) => !hidden.includes(name),
  );
  const fact = (one, name) =>
    one[name] === undefined
      ? "–"
      : one[name] === true
        ? "yes"
        : one[name] === false
          ? "no"
          : ["contact", "occluded"].includes(name)
            ? `${Math.round(100 * one[name])} %`
            : String(one[name]);
  const line = (one) =>
    el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        el("span", { class: "swatch", "aria-hidden": "true", style: { background: one.colour ?? "transparent" } }),
        `object ${one.id}`,
      ),
      el("td", { text: whole(one.pixels) }),
      el("td", { text: (100 * one.best_iou).toFixed(1) }),
      ...facts.map((name) => el("td", { text: fact(one, name) })),
    );
  const titles = ["object", "pixels", "best IoU %", ...facts];
  return el(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Objects of this scene" },
    el(
      "table",
      { class: "data small" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          ...titles.map((title, place) =>
            el("th", { scope: "col", class: place ? null : "name" }, el("span", { class: "sort-less", text: title })),
          ),
        ),
      ),
      el("tbody", {}, ...entry.objects.map(line)),
    ),
  );
}

function drawBox() {
  const entry = box.list[box.place];
  box.title.textContent = entry.key;
  box.count.textContent = `${entry.run} · ${entry.place} · ${entry.kind} · ${box.place + 1} of ${box.list.length}`;
  const figures = Object.keys(NAMES)
    .filter((name) => entry.pictures[name])
    .map((name) => {
      const overlay = name === "input" && box.centres ? centres(entry) : null;
      return el(
        "figure",
        {},
        el("div", { class: "stack" }, scenePicture(entry, name), overlay),
        el("figcaption", { text: overlay?.childElementCount ? "input, with attention centres" : NAMES[name] }),
      );
    });
  const scores = Object.keys(entry.scores).map((name) =>
    el(
      "span",
      {},
      `${D.metrics[name] ? heading(name) : name} `,
      el("b", { text: D.metrics[name] ? shown(name, entry.scores[name]) : String(entry.scores[name]) }),
    ),
  );
  const legend = el(
    "ul",
    { class: "key-line", "aria-label": "Colours of errors" },
    ...Object.entries(ERRORS).map(([name, colour]) =>
      el(
        "li",
        {},
        el("span", { class: "swatch", style: { background: colour } }),
        {
          missed: "missed: object called background",
          false: "false: background called object",
          confused: "confused: another object",
        }[name],
      ),
    ),
  );
  const hasCentres = entry.slots.some((one) => one.centre);
  const toggle = hasCentres
    ? el(
        "label",
        { class: "check" },
        el("input", {
          type: "checkbox",
          checked: box.centres,
          onchange: (event) => {
            box.centres = event.target.checked;
            drawBox();
            box.body.querySelector("input")?.focus();
          },
        }),
        " show attention centres",
      )
    : null;
  const there = slotPictures(entry);
  const slots = there.length
    ? [
        el("h3", { text: `Slots: ${there.map((name) => SLOT_WORDS[name]).join(", ")}` }),
        el(
          "div",
          { class: `slots${there.length > 2 ? " wide" : ""}` },
          ...entry.slots.map((one) => slotFigure(entry, one)),
        ),
      ]
    : [];
  box.body.replaceChildren(
    el("p", { class: "scores-line" }, ...scores),
    el("div", { class: "large" }, ...figures),
    legend,
    ...(toggle ? [el("p", {}, toggle)] : []),
    ...slots,
    ...(entry.objects.length ? [el("h3", { text: "Objects" }), objectsTable(entry)] : []),
  );
}

function turnBox(by) {
  box.place = (box.place + by + box.list.length) % box.list.length;
  drawBox();
}
function openBox(list, place) {
  Object.assign(box, { list, place });
  drawBox();
  box.dialog.showModal();
  box.dialog.scrollTop = 0;
  box.title.focus();
}
{
  const button = (text, label, action) =>
    el("button", { type: "button", class: "quiet", text, "aria-label": label, onclick: action });
  box.dialog.append(
    el(
      "div",
      { class: "box-top" },
      box.title,
      box.count,
      button("←", "previous scene", () => turnBox(-1)),
      button("→", "next scene", () => turnBox(1)),
      button("Close", "close", () => box.dialog.close()),
    ),
    box.body,
  );
  box.dialog.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    turnBox(event.key === "ArrowLeft" ? -1 : 1);
  });
  box.dialog.addEventListener("click", (event) => {
    if (event.target === box.dialog) box.dialog.close();
  });
}
