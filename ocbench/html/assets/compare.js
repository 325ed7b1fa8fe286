// Two runs scene by scene: mean difference with its interval, scatter, and the scenes by difference.
const RESAMPLES = 2000;
const pairsShown = $("comparison") && { table: null, metric: null };

// A seeded generator (mulberry32), so that an interval is the same whenever the page is opened.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
function bootstrap(values, level = 95) {
  if (values.length < 2) return null;
  const random = generator(0),
    found = new Float64Array(RESAMPLES);
  for (let draw = 0; draw < RESAMPLES; draw += 1) {
    let sum = 0;
    for (let i = 0; i < values.length; i += 1) sum += values[Math.floor(random() * values.length)];
    found[draw] = sum / values.length;
  }
  found.sort();
  const at = (share) => {
    const place = share * (RESAMPLES - 1),
      low = Math.floor(place);
    return found[low] + (place - low) * ((found[low + 1] ?? found[low]) - found[low]);
  };
  return [at((100 - level) / 200), at((100 + level) / 200)];
}

const comparable = () =>
  D.sets.map((set, place) => ({ set, place })).filter(({ set }) => !filters.place || set.place === filters.place);
const partners = (set) =>
  comparable().filter((other) => other.set !== set && other.set.place === set.place && other.set.keys === set.keys);

function fillPairs() {
  if (!pairsShown) return;
  const firsts = comparable().filter(({ set }) => partners(set).length);
  choices($("first"), firsts);
  if (firsts.length) choices($("second"), partners(D.sets[$("first").value]));
  else $("second").replaceChildren();
}
function choices(select, found) {
  const before = select.value,
    several = new Set(found.map(({ set }) => set.place)).size > 1;
  select.replaceChildren(
    ...found.map(({ set, place }) =>
      el("option", { value: place, text: several ? `${set.run} on ${set.place}` : set.run }),
    ),
  );
  if (found.some(({ place }) => String(place) === before)) select.value = before;
}

function drawComparison() {
  if (!pairsShown) return;
  const holder = $("comparison");
  if (!$("first").value || !$("second").value) {
    holder.replaceChildren(el("p", { class: "empty", text: "This needs two runs with scores of the same scenes." }));
    return;
  }
  const metric = filters.metric,
    sets = [D.sets[$("first").value], D.sets[$("second").value]];
  const scenes = rows.filter((row) => row.set === sets[0]);
  const pairs = scenes
    .filter((row) => matchesScene(row))
    .map((row) => paired(row, metric, sets[1]))
    .filter((pair) => known(pair.first) && known(pair.second));
  if (!pairs.length) {
    holder.replaceChildren(el("p", { class: "empty", text: "No scene has this score under both runs." }));
    return;
  }
  const table = el("div"),
    show = pagedTable(table, "differences", 12);
  holder.replaceChildren(
    el(
      "div",
      { class: "versus" },
      scatter(
        metric,
        pairs,
        sets.map((set) => set.run),
      ),
      el("div", {}, ...summary(metric, pairs, sets)),
    ),
    el("h3", { text: "Scenes by difference" }),
    table,
  );
  show(pairs, pairColumns(metric, sets), { title: "difference", direction: -1 });
}
const matchesScene = (row) =>
  within(row.objects, filters.fewest, filters.most) &&
  within(row.size, filters.smallest, filters.largest) &&
  (!filters.text || row.key.toLowerCase().includes(filters.text));

function paired(row, metric, other) {
  const first = row.score(metric),
    second = other.scores[metric] ? other.scores[metric][row.index] : null;
  const found = [row.set, other].map((set) => pictured.get(`${set.run}\n${set.place}\n${row.key}`)).filter(Boolean);
  const open = found.length ? () => openBox(found, 0) : null;
  return { key: row.key, row, first, second, difference: known(first) && known(second) ? second - first : null, open };
}
function summary(metric, pairs, sets) {
  const differences = pairs.map((pair) => pair.difference),
    interval = bootstrap(differences),
    higher = D.metrics[metric].higher;
  const count = (wanted) => differences.filter((value) => Math.sign(value) === (higher ? wanted : -wanted)).length;
  const won = count(1),
    lost = count(-1),
    tied = differences.length - won - lost;
  const part = (n, name) => el("span", { class: name, style: { width: `${(100 * n) / differences.length}%` } });
  return [
    el("p", { class: "big", text: shown(metric, mean(differences), true) }),
    el(
      "p",
      { class: "about" },
      `${heading(metric)}: ${sets[1].run} less ${sets[0].run}, mean over ${whole(pairs.length)} scenes`,
      el("br"),
      interval
        ? `95 % interval ${shown(metric, interval[0], true)} to ${shown(metric, interval[1], true)}`
        : "one scene has no interval",
    ),
    el(
      "div",
      { class: "tally", "aria-hidden": "true" },
      part(lost, `run-${sets[0].colour}`),
      part(tied, "tied"),
      part(won, `run-${sets[1].colour}`),
    ),
    el(
      "p",
      { class: "about" },
      dot(sets[0].colour),
      `${sets[0].run} better on ${whole(lost)}, `,
      dot(sets[1].colour),
      `${sets[1].run} better on ${whole(won)}, equal on ${whole(tied)}.`,
    ),
    el("p", {
      class: "note",
      text: "Filters of objects, object size and scene apply here too. A ringed point opens the scene.",
    }),
  ];
}
function pairColumns(metric, sets) {
  const key = (pair) =>
    pair.open
      ? el("button", { type: "button", class: "key", text: pair.key, onclick: pair.open })
      : el("span", { class: "key", text: pair.key });
  return [
    { title: "scene", name: true, text: true, value: (pair) => pair.key, cell: key },
    { title: sets[0].run, value: (pair) => pair.first, cell: (pair) => shown(metric, pair.first) },
    { title: sets[1].run, value: (pair) => pair.second, cell: (pair) => shown(metric, pair.second) },
    { title: "difference", value: (pair) => pair.difference, cell: (pair) => shown(metric, pair.difference, true) },
    { title: "objects", value: (pair) => pair.row.objects },
  ];
}
