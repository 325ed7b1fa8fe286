// The theme, the filters' controls, and the first drawing.
const THEMES = ["system", "light", "dark"];
const memory = {
  read: () => {
    try {
      return localStorage.getItem("theme");
    } catch {
      return null;
    }
  },
  write: (value) => {
    try {
      localStorage.setItem("theme", value);
    } catch {
      /* not kept */
    }
  },
};

function setTheme(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  $("theme").dataset.now = theme;
  $("theme-now").textContent = theme;
  $("theme").setAttribute("aria-label", `theme: ${theme}`);
}
$("theme").addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf($("theme").dataset.now) + 1) % THEMES.length];
  setTheme(next);
  memory.write(next);
});
setTheme(THEMES.includes(memory.read()) ? memory.read() : "system");

for (const table of document.querySelectorAll("table.sortable")) sortable(table);
for (const box of document.querySelectorAll(".published-switch")) {
  box.addEventListener("change", () => {
    const table = box.closest("p").nextElementSibling;
    for (const row of table.querySelectorAll("tr.published")) row.hidden = !box.checked;
  });
}

function drawAll() {
  drawGallery();
  drawScenes();
  fillPairs();
  drawComparison();
}
const form = $("filters");
if (form) {
  const option = (text, value) => el("option", { value, text });
  const places = [...new Set([...D.sets, ...D.gallery].map((set) => set.place))];
  form.elements.place.append(option("all", ""), ...places.map((place) => option(place, place)));
  form.elements.run.append(option("all", ""), ...D.runs.map((run) => option(run.name, run.name)));
  const metrics = Object.keys(D.metrics).filter(
    (name) => D.sets.some((set) => name in set.scores) || D.gallery.some((entry) => name in entry.scores),
  );
  form.elements.metric.append(...metrics.map((name) => option(heading(name), name)));
  filters.metric = metrics[0] ?? filters.metric;
  for (const one of [...form.elements.run.closest("label").parentElement.querySelectorAll("select")])
    if (one.options.length < 3 && one.options[0]?.value === "") one.closest("label").hidden = true;
  const read = () => {
    for (const name of ["place", "run", "metric"]) filters[name] = form.elements[name].value;
    for (const name of ["low", "high", "fewest", "most", "smallest", "largest"])
      filters[name] = form.elements[name].value === "" ? null : Number(form.elements[name].value);
    filters.text = form.elements.text.value.trim().toLowerCase();
    drawAll();
  };
  form.addEventListener("input", read);
  form.addEventListener("reset", () => setTimeout(read));
  form.addEventListener("submit", (event) => event.preventDefault());
}
if ($("comparison")) {
  $("first").addEventListener("change", () => {
    fillPairs();
    drawComparison();
  });
  $("second").addEventListener("change", drawComparison);
}
drawAll();
