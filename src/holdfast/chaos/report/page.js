// Values at the time under the pointer, in all plots at once. The page is complete without it.
"use strict";
(() => {
  const TOP = 14; // Pixels above the first row, as in rows.py.
  const data = JSON.parse(document.getElementById("data").textContent);
  const areas = [...document.querySelectorAll(".plots .area")];
  const outputs = [...document.querySelectorAll(".plots output[data-value]")];
  const slider = document.getElementById("at");
  const told = document.getElementById("told");
  if (!areas.length || !slider) return;
  document.body.classList.add("live");
  for (const output of outputs) output.textContent = "–";
  slider.hidden = false;
  slider.min = data.begin;
  slider.max = data.end;
  slider.step = (data.end - data.begin) / 1000;

  const spans = data.spans;
  const sampleAt = (time) => {
    // The first sample that ends at the time or later: it is the interval that the time is in.
    let low = 0, high = data.at.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (data.at[middle] < time) low = middle + 1; else high = middle;
    }
    return low;
  };
  const whole = (value) => value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 });
  const length = (ms) => (ms < 1000 ? `${whole(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);
  const written = {
    p50: length, p95: length, max: length,
    published: (value) => `${whole(value)}/s`,
    committed: (value) => `${whole(value)}/s`,
    silent: (value) => `${value.toFixed(1)} s`,
    "shard-lag": (value, i) => `${data.shards[value]} is furthest behind: ${whole(data.values.worst[i])}`,
  };
  const inSpans = (name, time, row) => {
    const { rows, states, bars } = spans[name];
    const now = bars.filter((bar) => bar[2] <= time && time < bar[3]);
    if (row >= 0 && row < rows.length) {
      const here = now.filter((bar) => bar[0] === row).map((bar) => states[bar[1]]);
      return `${rows[row]}: ${here.join(" and ") || "–"}`;
    }
    const counts = states.map((state, i) => [state, now.filter((bar) => bar[1] === i).length]);
    return counts.filter(([, count]) => count).map(([state, count]) => `${state} ${count}`).join(", ") || "–";
  };
  const show = (time, name, row) => {
    const share = (time - data.begin) / (data.end - data.begin);
    document.body.classList.add("pointing");
    document.documentElement.style.setProperty("--at", `${share * 100}%`);
    slider.value = time;
    told.textContent = `${time.toFixed(1)} s`;
    const i = sampleAt(time);
    for (const output of outputs) {
      const key = output.dataset.value;
      if (key in spans) {
        output.textContent = inSpans(key, time, key === name ? row : -1);
        continue;
      }
      const value = data.at.length ? data.values[key][i] : null;
      output.textContent = value === null ? "–" : (written[key] || whole)(value, i);
    }
  };
  for (const area of areas) {
    const figure = area.closest("figure");
    area.addEventListener("pointermove", (event) => {
      const box = area.getBoundingClientRect();
      const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      const count = figure && figure.id in spans ? spans[figure.id].rows.length : 0;
      const row = count ? Math.floor(((event.clientY - box.top - TOP) / (box.height - TOP)) * count) : -1;
      show(data.begin + share * (data.end - data.begin), figure && figure.id, row);
    });
  }
  slider.addEventListener("input", () => show(Number(slider.value), "", -1));
})();
