// Histograms and the scatter of two runs, as SVG.
const BINS = 24;

function rangeOf(metric, values) {
  const low = values.reduce((a, b) => Math.min(a, b), Infinity),
    high = values.reduce((a, b) => Math.max(a, b), -Infinity);
  if (D.metrics[metric].scale === 100) return [Math.min(0, Math.floor(low * 10) / 10), Math.max(1, high)];
  return low < high ? [low, high] : [low - 0.5, low + 0.5];
}
function niceTicks(low, high, count = 4) {
  const rough = (high - low) / count,
    power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * power).find((one) => one >= rough);
  const found = [];
  for (let tick = Math.ceil(low / step - 1e-9); tick * step <= high + 1e-9 * step; tick += 1)
    found.push(Number((tick * step).toPrecision(12)));
  return found;
}
const tickText = (metric, value) =>
  (value * D.metrics[metric].scale).toLocaleString("en-US", { maximumSignificantDigits: 3 });

function histogram(set, metric, values, [low, high], tallest) {
  const width = 360,
    height = 150,
    bottom = 22,
    left = 34;
  const x = (value) => left + ((width - left - 6) * (value - low)) / (high - low);
  const counts = binned(values, low, high);
  const y = (count) => height - bottom - ((height - bottom - 8) * count) / tallest;
  const centre = mean(values),
    label = D.metrics[metric].label;
  const text = `${label} of ${values.length} scenes under ${set.run} on ${set.place}: mean ${shown(metric, centre)}`;
  const chart = svg("svg", {
    viewBox: `0 0 ${width} ${height}`,
    class: `chart run-${set.colour}`,
    role: "img",
    "aria-label": text,
  });
  for (const tick of niceTicks(0, tallest, 2)) {
    if (!Number.isInteger(tick)) continue;
    chart.append(svg("line", { class: "grid", x1: left, x2: width - 6, y1: y(tick), y2: y(tick) }));
    chart.append(svg("text", { x: left - 6, y: y(tick) + 3.5, "text-anchor": "end", text: whole(tick) }));
  }
  const edge = (bin) => low + ((high - low) * bin) / BINS;
  counts.forEach((count, bin) => {
    const start = x(low + ((high - low) * bin) / BINS),
      stop = x(low + ((high - low) * (bin + 1)) / BINS);
    const block = svg("rect", {
      class: "block",
      x: start + 0.6,
      width: Math.max(stop - start - 1.2, 0.5),
      y: y(count),
      height: y(0) - y(count),
    });
    block.append(
      svg("title", {
        text: `${count} scenes from ${tickText(metric, edge(bin))} to ${tickText(metric, edge(bin + 1))}`,
      }),
    );
    chart.append(block);
  });
  for (const tick of niceTicks(low, high, 5))
    chart.append(svg("text", { x: x(tick), y: height - 6, "text-anchor": "middle", text: tickText(metric, tick) }));
  chart.append(svg("line", { class: "mean", x1: x(centre), x2: x(centre), y1: 4, y2: height - bottom }));
  const caption = el(
    "figcaption",
    {},
    dot(set.colour),
    `${set.run} `,
    el("small", { text: `${set.place} · mean ${shown(metric, centre)}` }),
  );
  return el("figure", { class: "plot" }, caption, chart);
}
function binned(values, low, high) {
  const counts = new Array(BINS).fill(0);
  for (const value of values)
    counts[Math.min(BINS - 1, Math.max(0, Math.floor(((value - low) / (high - low)) * BINS)))] += 1;
  return counts;
}

// points: {key, first, second, open}; `open` where a scene has pictures.
function scatter(metric, points, names) {
  const side = 380,
    left = 46,
    bottom = 40,
    edge = side - 8;
  const [low, high] = rangeOf(
    metric,
    points.flatMap((point) => [point.first, point.second]),
  );
  const x = (value) => left + ((edge - left) * (value - low)) / (high - low);
  const y = (value) => side - bottom - ((side - bottom - 8) * (value - low)) / (high - low);
  const where = `${names[0]} across, ${names[1]} up; above the line the second is higher`;
  const text = `${D.metrics[metric].label} of ${points.length} scenes: ${where}`;
  const chart = svg("svg", { viewBox: `0 0 ${side} ${side}`, class: "chart", role: "img", "aria-label": text });
  for (const tick of niceTicks(low, high, 5)) {
    chart.append(
      svg("line", { class: "grid", x1: left, x2: edge, y1: y(tick), y2: y(tick) }),
      svg("line", { class: "grid", x1: x(tick), x2: x(tick), y1: 8, y2: side - bottom }),
    );
    chart.append(svg("text", { x: left - 6, y: y(tick) + 3.5, "text-anchor": "end", text: tickText(metric, tick) }));
    chart.append(
      svg("text", { x: x(tick), y: side - bottom + 15, "text-anchor": "middle", text: tickText(metric, tick) }),
    );
  }
  chart.append(svg("line", { class: "diagonal", x1: x(low), y1: y(low), x2: x(high), y2: y(high) }));
  chart.append(svg("text", { x: (left + edge) / 2, y: side - 6, "text-anchor": "middle", text: names[0] }));
  chart.append(
    svg("text", {
      transform: `translate(9 ${(side - bottom) / 2}) rotate(-90)`,
      "text-anchor": "middle",
      text: names[1],
    }),
  );
  for (const point of points) {
    const mark = svg("circle", {
      class: point.open ? "point known" : "point",
      cx: x(point.first),
      cy: y(point.second),
      r: point.open ? 4.4 : 3.4,
      onclick: point.open,
    });
    mark.append(svg("title", { text: `${point.key}: ${shown(metric, point.first)}, ${shown(metric, point.second)}` }));
    chart.append(mark);
  }
  return chart;
}
