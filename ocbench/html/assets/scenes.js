// Filters, and what they choose: distributions and the table of scenes.
const filters = {
  place: "",
  run: "",
  metric: Object.keys(D.metrics)[0],
  low: null,
  high: null,
  fewest: null,
  most: null,
  smallest: null,
  largest: null,
  text: "",
};
const within = (value, low, high) =>
  (low === null && high === null) ||
  (known(value) && (low === null || value >= low) && (high === null || value <= high));

function matches(item, place, run, objects) {
  const score = item.score(filters.metric);
  return (
    (!filters.place || place === filters.place) &&
    (!filters.run || run === filters.run) &&
    within(known(score) ? score * D.metrics[filters.metric].scale : null, filters.low, filters.high) &&
    within(objects, filters.fewest, filters.most) &&
    within(item.size, filters.smallest, filters.largest) &&
    (!filters.text || item.key.toLowerCase().includes(filters.text))
  );
}
const scenesShown = $("scene-table") && pagedTable($("scene-table"), "scenes", 25);

function sceneColumns(found) {
  const metrics = Object.keys(D.metrics).filter((name) => found.some((row) => name in row.set.scores));
  const key = (row) => {
    const entry = pictureOf(row);
    return entry
      ? el("button", { type: "button", class: "key", text: row.key, onclick: () => openBox([entry], 0) })
      : el("span", { class: "key", text: row.key });
  };
  const run = {
    title: "run",
    text: true,
    value: (row) => row.set.run,
    cell: (row) =>
      el(
        "span",
        { class: "cell-run", title: row.set.run },
        dot(row.set.colour),
        el("span", { class: "name", text: row.set.run }),
      ),
  };
  const split = { title: "split", text: true, value: (row) => row.set.place, cell: (row) => row.set.place };
  return [
    { title: "scene", name: true, text: true, value: (row) => row.key, cell: key },
    ...(D.runs.length > 1 ? [run] : []),
    ...(new Set(D.sets.map((set) => set.place)).size > 1 ? [split] : []),
    ...metrics.map((name) => ({
      title: heading(name),
      value: (row) => row.score(name),
      cell: (row) => shown(name, row.score(name)),
    })),
    { title: "objects", value: (row) => row.objects },
    { title: "segments", value: (row) => row.segments },
    { title: "size px", value: (row) => row.size },
  ];
}

function drawScenes() {
  if (!scenesShown) return;
  const found = rows.filter((row) => matches(row, row.set.place, row.set.run, row.objects));
  $("matching").textContent = `${whole(found.length)} of ${whole(rows.length)} scene scores`;
  scenesShown(found, sceneColumns(rows), { title: "scene", direction: 1 });
  const metric = filters.metric,
    bySet = new Map();
  for (const row of found) {
    if (!known(row.score(metric))) continue;
    if (!bySet.has(row.set)) bySet.set(row.set, []);
    bySet.get(row.set).push(row.score(metric));
  }
  drawHistograms(metric, bySet);
}
function drawHistograms(metric, bySet) {
  for (const node of document.querySelectorAll(".metric-name")) node.textContent = D.metrics[metric].label;
  const range = bySet.size ? rangeOf(metric, [...bySet.values()].flat()) : null;
  const tallest = range ? Math.max(...[...bySet.values()].map((values) => Math.max(...binned(values, ...range)))) : 0;
  const charts = [...bySet].map(([set, values]) => histogram(set, metric, values, range, tallest));
  $("histograms").replaceChildren(
    ...(charts.length ? charts : [el("p", { class: "empty", text: "No scene matches." })]),
  );
}
