// Data, elements and numbers. Texts are only ever set as text: nothing here builds markup from strings.
const D = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function filled(node, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, one] of Object.entries(value)) node.style.setProperty(key, one);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
const el = (tag, properties = {}, ...children) => filled(document.createElement(tag), properties, children);
const svg = (tag, properties = {}, ...children) => filled(document.createElementNS(SVG, tag), properties, children);
const dot = (colour) => el("span", { class: `dot run-${colour}`, "aria-hidden": "true" });

const known = (value) => typeof value === "number" && Number.isFinite(value);
const whole = (value) => (known(value) ? value.toLocaleString("en-US", { maximumFractionDigits: 1 }) : "–");

// A score on screen: per cent with two digits, other units with four significant ones.
function shown(metric, value, signed = false) {
  if (!known(value)) return "–";
  const scaled = value * D.metrics[metric].scale;
  const sign = signed && scaled > 0 ? "+" : "";
  if (D.metrics[metric].scale === 100) return sign + scaled.toFixed(2).replace("-0.00", "0.00");
  return sign + scaled.toLocaleString("en-US", { maximumSignificantDigits: 4 });
}
function heading(metric) {
  const { label, higher, scale } = D.metrics[metric];
  return `${label} ${higher ? "↑" : "↓"}${scale === 100 ? " %" : ""}`;
}

// Every scene of every run, and the scenes that have pictures by set and key.
const rows = D.sets.flatMap((set, place) =>
  D.keys[set.keys].map((key, index) => ({
    key,
    place,
    set,
    index,
    objects: set.objects[index],
    segments: set.segments[index],
    size: set.size[index],
    score: (metric) => (set.scores[metric] ? set.scores[metric][index] : null),
  })),
);
const meanSize = (objects) =>
  objects.length ? objects.reduce((sum, one) => sum + one.pixels, 0) / objects.length : null;
const entries = D.gallery.map((entry) => ({
  ...entry,
  count: entry.objects.length,
  size: meanSize(entry.objects),
  score: (metric) => entry.scores[metric] ?? null,
}));
const pictured = new Map(entries.map((entry) => [`${entry.run}\n${entry.place}\n${entry.key}`, entry]));
const pictureOf = (row) => pictured.get(`${row.set.run}\n${row.set.place}\n${row.key}`);

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
