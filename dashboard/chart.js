// Series over time as lines, with the same figures as a table for who can't see them.

import uPlot from "./uplot.js";

import { el, table } from "./dom.js";
import { count, moment } from "./format.js";

const HEIGHT = 220;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const compact = new Intl.NumberFormat("en", { notation: "compact" });

/** `series` are [name, values]; `times` are in milliseconds. */
export function chart(caption, times, series, { signal }) {
  const canvas = el("div", { class: "chart", "aria-hidden": true });
  const total = ([name, values]) =>
    `${name}: ${count(values.reduce((sum, value) => sum + value, 0))}`;
  const rows = times.map((at, n) => [moment(at), ...series.map(([, values]) => count(values[n]))]);
  const shown = rows.filter((_, n) => series.some(([, values]) => values[n] > 0)).reverse();
  const draw = () => {
    const width = canvas.clientWidth;
    if (width === 0) return;
    const axis = { stroke: color("--text"), grid: { stroke: color("--line"), width: 1 } };
    const lines = series.map(([label], n) => ({
      label,
      stroke: color(`--series-${n + 1}`),
      width: 2,
      // Lines can be distinguished without their colours.
      dash: [[], [8, 4], [2, 4]][n],
      points: { show: times.length < 3 },
    }));
    const axes = [
      axis,
      { ...axis, size: 56, values: (_, ticks) => ticks.map((tick) => compact.format(tick)) },
    ];
    const scales = { y: { range: (_, low, high) => [0, Math.max(1.05 * (high ?? 0), 1)] } };
    const data = [times.map((at) => at / 1000), ...series.map(([, values]) => values)];
    const legend = { live: false };
    const cursor = { show: false };
    canvas.replaceChildren();
    new uPlot(
      { width, height: HEIGHT, series: [{}, ...lines], axes, scales, legend, cursor },
      data,
      canvas,
    );
  };
  const seen = new ResizeObserver(draw);
  seen.observe(canvas);
  dark.addEventListener("change", draw, { signal });
  signal.addEventListener("abort", () => seen.disconnect());
  return el(
    "figure",
    {},
    canvas,
    el("figcaption", {}, `${caption}. ${series.map(total).join("; ")}.`),
    el(
      "details",
      {},
      el("summary", {}, "As a table"),
      table(caption, ["When", ...series.map(([name]) => name)], shown),
    ),
  );
}
