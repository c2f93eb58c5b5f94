"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const make = (tag, attributes = {}, text) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const prefixes = [[1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"], [1e-15, "f"]];
const si = (value, unit, digits = 3) => {
  if (!value || !isFinite(value)) return `${value || 0} ${unit}`;
  const rounded = Number(value.toPrecision(digits));
  const [factor, prefix] = prefixes.find(([size]) => Math.abs(rounded) >= size) || prefixes[prefixes.length - 1];
  return `${Number((rounded / factor).toPrecision(digits))} ${prefix}${unit}`;
};
const percent = (value) => (value ? `${(100 * value).toFixed(1)} %` : "");
const unpack = (text, Kind) => {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Kind(bytes.buffer);
};
const partColours = () => [0, 1, 2, 3, 4, 5, 6].map((i) => css(`--c${i}`));

/* One drawing interface, two surfaces: a canvas to look at and SVG to keep. */
class Screen {
  constructor(canvas, height) {
    const ratio = window.devicePixelRatio || 1;
    this.width = canvas.clientWidth || 900;
    this.height = height;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.height = `${height}px`;
    this.context = canvas.getContext("2d");
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, this.width, height);
  }
  rect(x, y, w, h, fill) { this.context.fillStyle = fill; this.context.fillRect(x, y, w, h); }
  frame(x, y, w, h, colour, width = 1) { this.context.strokeStyle = colour; this.context.lineWidth = width; this.context.strokeRect(x, y, w, h); }
  line(x1, y1, x2, y2, colour, width = 1) {
    const c = this.context;
    c.strokeStyle = colour; c.lineWidth = width; c.beginPath(); c.moveTo(x1, y1); c.lineTo(x2, y2); c.stroke();
  }
  text(x, y, text, colour, anchor = "start", size = 12) {
    const c = this.context;
    c.fillStyle = colour; c.font = `${size}px system-ui, sans-serif`; c.textBaseline = "middle";
    c.textAlign = anchor === "middle" ? "center" : anchor; c.fillText(text, x, y);
  }
  clip(x, y, w, h) { const c = this.context; c.save(); c.beginPath(); c.rect(x, y, w, h); c.clip(); }
  unclip() { this.context.restore(); }
}
class Vector {
  constructor(width, height) { this.width = width; this.height = height; this.parts = []; this.clips = 0; this.depth = 0; }
  escape(text) { return String(text).replace(/[<>&"]/g, (c) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;" })[c]); }
  rect(x, y, w, h, fill) { this.parts.push(`<rect x="${x.toFixed(2)}" y="${y.toFixed(2)}" width="${Math.max(w, 0).toFixed(2)}" height="${Math.max(h, 0).toFixed(2)}" fill="${fill}"/>`); }
  frame(x, y, w, h, colour, width = 1) { this.parts.push(`<rect x="${x.toFixed(2)}" y="${y.toFixed(2)}" width="${w.toFixed(2)}" height="${h.toFixed(2)}" fill="none" stroke="${colour}" stroke-width="${width}"/>`); }
  line(x1, y1, x2, y2, colour, width = 1) { this.parts.push(`<line x1="${x1.toFixed(2)}" y1="${y1.toFixed(2)}" x2="${x2.toFixed(2)}" y2="${y2.toFixed(2)}" stroke="${colour}" stroke-width="${width}"/>`); }
  text(x, y, text, colour, anchor = "start", size = 12) {
    this.parts.push(`<text x="${x.toFixed(2)}" y="${y.toFixed(2)}" fill="${colour}" font-size="${size}" dominant-baseline="central" text-anchor="${anchor}">${this.escape(text)}</text>`);
  }
  clip(x, y, w, h) { const id = `k${this.clips++}`; this.depth++; this.parts.push(`<clipPath id="${id}"><rect x="${x}" y="${y}" width="${w}" height="${h}"/></clipPath><g clip-path="url(#${id})">`); }
  unclip() { this.depth--; this.parts.push("</g>"); }
  source() {
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${this.width}" height="${this.height}" viewBox="0 0 ${this.width} ${this.height}" font-family="system-ui, sans-serif"><rect width="100%" height="100%" fill="${css("--page")}"/>${this.parts.join("")}</svg>`;
  }
}
const download = (name, url) => { const link = make("a", { href: url, download: name }); document.body.append(link); link.click(); link.remove(); };
/* A figure is (canvas, height(), draw(surface)); it gets its two save buttons here. */
const figures = [];
const figure = (id, height, draw) => {
  const canvas = $(id);
  const entry = {
    id, draw: () => { const screen = new Screen(canvas, height()); draw(screen); },
    svg: () => { const vector = new Vector(canvas.clientWidth || 900, height()); draw(vector); return vector.source(); },
  };
  figures.push(entry);
  const holder = $(`${id}-save`);
  const png = make("button", { type: "button" }, "PNG"), svg = make("button", { type: "button" }, "SVG");
  png.title = svg.title = "Save this figure";
  png.onclick = () => {
    const copy = document.createElement("canvas");
    copy.width = canvas.width; copy.height = canvas.height;
    const context = copy.getContext("2d");
    context.fillStyle = css("--page"); context.fillRect(0, 0, copy.width, copy.height); context.drawImage(canvas, 0, 0);
    download(`${data.name}-${id}.png`, copy.toDataURL("image/png"));
  };
  svg.onclick = () => { const url = URL.createObjectURL(new Blob([entry.svg()], { type: "image/svg+xml" })); download(`${data.name}-${id}.svg`, url); setTimeout(() => URL.revokeObjectURL(url), 1000); };
  holder.append(png, svg);
  entry.draw();
  return entry;
};
const tip = $("tip");
const showTip = (event, text) => {
  tip.textContent = text; tip.style.visibility = text ? "visible" : "hidden";
  tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8)}px`;
  tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8)}px`;
};
const hideTip = () => { tip.style.visibility = "hidden"; };
const fit = (text, pixels, size = 12) => { const most = Math.floor(pixels / (size * 0.56)); return text.length <= most ? text : most > 2 ? `…${text.slice(text.length - most + 1)}` : ""; };

/* Summary */
for (const [name, value, note] of data.summary) {
  const card = make("div", { class: "card" });
  card.append(make("span", {}, name), make("b", {}, value), make("span", {}, note));
  $("cards").append(card);
}

/* Layers: a table that sorts */
const columns = [
  ["layer", "layer", String, true], ["op", "op", String, true], ["where", "runs on", String, true], ["matrix", "matrix", String],
  ["tiles", "tiles", (v) => (v ? v.toLocaleString("en") : "")], ["utilization", "cells used", percent],
  ["vectors", "vectors/sample", (v) => (v ? v.toLocaleString("en") : "")], ["macs", "MACs/sample", (v) => (v ? si(v, "").trim() : "")],
  ["share", "share", percent], ["start_s", "start", (v) => si(v, "s")], ["end_s", "end", (v) => si(v, "s")],
  ["busy_s", "core time", (v) => (v ? si(v, "s") : "")], ["energy_j", "energy", (v) => (v ? si(v, "J") : "")], ["why", "why", String, true],
];
let sortKey = null, sortUp = true;
const layerRows = () => {
  const word = $("layer-filter").value.toLowerCase(), host = $("layer-host").checked;
  const rows = data.layers.filter((row) => (host || row.where === "chip") && `${row.layer} ${row.op}`.toLowerCase().includes(word));
  if (sortKey) {
    const sign = sortUp ? 1 : -1, numeric = (v) => (sortKey === "matrix" ? 0 : v);
    rows.sort((a, b) => {
      const [x, y] = sortKey === "matrix" ? [a.weights, b.weights] : [numeric(a[sortKey]), numeric(b[sortKey])];
      return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true }));
    });
  }
  return rows;
};
const fillLayers = () => {
  const body = $("layers").tBodies[0], rows = layerRows(), fragment = document.createDocumentFragment();
  for (const row of rows) {
    const line = make("tr");
    for (const [key, , text, left] of columns) line.append(make("td", { class: (left ? "left" : "") + (key === "why" ? " wrap" : "") }, text(row[key])));
    if (row.where === "chip") { line.className = "pick"; line.title = "Show the tiles of this layer"; line.onclick = () => { const at = data.tiles.findIndex((bank) => bank.bank === row.layer); if (at >= 0) { pickBank(at); $("tiles-title").scrollIntoView({ behavior: "smooth" }); } }; }
    fragment.append(line);
  }
  body.replaceChildren(fragment);
  for (const head of $("layers").tHead.rows[0].cells) head.setAttribute("aria-sort", head.dataset.key !== sortKey ? "none" : sortUp ? "ascending" : "descending");
  $("layer-count").textContent = `${rows.length} of ${data.layers.length} ops`;
};
const head = make("tr");
for (const [key, title, , left] of columns) {
  const cell = make("th", { scope: "col", class: left ? "left" : "", "data-key": key }), button = make("button", { type: "button" }, title);
  button.onclick = () => { sortUp = sortKey === key ? !sortUp : Boolean(left); sortKey = key; fillLayers(); };
  cell.append(button); head.append(cell);
}
$("layers").tHead.append(head);
$("layer-filter").oninput = fillLayers; $("layer-host").onchange = fillLayers;
fillLayers();

/* Energy by layer: stacked bars */
const parts = data.energy.parts;
parts.forEach((part, i) => {
  const key = make("span", { class: "key" });
  const swatch = make("i"); swatch.style.background = `var(--c${i})`;
  key.append(swatch, part); $("energy-key").append(key);
});
const total = (row) => row.joules.reduce((a, b) => a + b, 0);
const BARS = 30;
const energyRows = () => {
  const rows = data.energy.rows.filter((row) => total(row) > 0).sort((a, b) => total(b) - total(a));
  if ($("energy-all").checked || rows.length <= BARS) return rows;
  const rest = rows.slice(BARS), sum = parts.map((_, i) => rest.reduce((a, row) => a + row.joules[i], 0));
  return [...rows.slice(0, BARS), { layer: `${rest.length} more`, joules: sum }];
};
const barHeight = 20, barLeft = 210;
const drawEnergy = (s) => {
  const rows = energyRows(), most = Math.max(...rows.map(total), 1e-300), wide = s.width - barLeft - 100, colours = partColours();
  rows.forEach((row, at) => {
    const y = 6 + at * barHeight;
    s.text(barLeft - 8, y + barHeight / 2, fit(row.layer, barLeft - 12), css("--text"), "end");
    let x = barLeft;
    row.joules.forEach((value, i) => { const w = (value / most) * wide; if (w > 0) s.rect(x, y + 2, Math.max(w, 0.3), barHeight - 5, colours[i]); x += w; });
    s.text(x + 7, y + barHeight / 2, si(total(row), "J"), css("--quiet"));
  });
};
const energyBars = figure("energy-bars", () => 14 + energyRows().length * barHeight, drawEnergy);
$("energy-all").onchange = () => energyBars.draw();
$("energy-bars").onmousemove = (event) => {
  const row = energyRows()[Math.floor((event.offsetY - 6) / barHeight)];
  showTip(event, row ? `${row.layer}: ${si(total(row), "J")}\n${parts.map((part, i) => (row.joules[i] ? `${part} ${si(row.joules[i], "J")}` : "")).filter(Boolean).join("\n")}` : "");
};
$("energy-bars").onmouseleave = hideTip;

/* Energy by item: a treemap, squarified (Bruls, Huizing, van Wijk 2000) */
const items = data.energy.items.map((item) => ({ ...item, value: item.execution_j + item.configuration_j })).filter((item) => item.value > 0).sort((a, b) => b.value - a.value);
const squarify = (list, x, y, w, h) => {
  const placed = [];
  let rest = list.slice(), area = list.reduce((a, item) => a + item.value, 0);
  while (rest.length) {
    const side = Math.min(w, h), scale = (w * h) / area;
    const worst = (row) => { const sum = row.reduce((a, i) => a + i.value, 0) * scale, big = row[0].value * scale, small = row[row.length - 1].value * scale; return Math.max((side * side * big) / (sum * sum), (sum * sum) / (side * side * small)); };
    let row = [rest[0]];
    while (row.length < rest.length && worst([...row, rest[row.length]]) <= worst(row)) row.push(rest[row.length]);
    const sum = row.reduce((a, i) => a + i.value, 0), thick = (sum * scale) / side;
    let along = 0;
    for (const item of row) {
      const length = (item.value / sum) * side;
      placed.push(w >= h ? { item, x, y: y + along, w: thick, h: length } : { item, x: x + along, y, w: length, h: thick });
      along += length;
    }
    if (w >= h) { x += thick; w -= thick; } else { y += thick; h -= thick; }
    area -= sum; rest = rest.slice(row.length);
  }
  return placed;
};
let treeBoxes = [];
const drawTree = (s) => {
  treeBoxes = items.length ? squarify(items, 0, 0, s.width, s.height) : [];
  const colours = partColours();
  for (const { item, x, y, w, h } of treeBoxes) {
    s.rect(x + 1, y + 1, Math.max(w - 2, 0.5), Math.max(h - 2, 0.5), colours[parts.indexOf(item.part)]);
    if (h > 20 && w > 40) s.text(x + 8, y + 14, fit(item.item, w - 10), css("--page"), "start", 13);
    if (h > 38 && w > 60) s.text(x + 8, y + 31, fit(`${si(item.value, "J")}, ${percent(item.value / data.energy.total_j)}`, w - 10), css("--page"), "start", 12);
  }
};
figure("energy-tree", () => 240, drawTree);
$("energy-tree").onmousemove = (event) => {
  const found = treeBoxes.find(({ x, y, w, h }) => event.offsetX >= x && event.offsetX < x + w && event.offsetY >= y && event.offsetY < y + h);
  showTip(event, found ? `${found.item.item} (${found.item.part}, ${found.item.static ? "static" : "dynamic"})\n${si(found.item.value, "J")} of the run: execution ${si(found.item.execution_j, "J")}, configuration ${si(found.item.configuration_j, "J")}` : "");
};
$("energy-tree").onmouseleave = hideTip;

/* Timeline: zoom with the wheel, drag to move; only what covers a pixel is drawn */
const line = data.timeline;
const T = { kind: unpack(line.kind, Uint8Array), step: unpack(line.step, line.step_bytes === 2 ? Uint16Array : Uint32Array), core: unpack(line.core, Int16Array), start: unpack(line.start, Float64Array), duration: unpack(line.duration, Float32Array), count: unpack(line.count, Uint32Array) };
/* with two buffers a core is configured while light runs: its configurations have the lower part of its lane */
const tracks = new Map(), below = new Map(), apart = line.buffers > 1;
for (let i = 0; i < T.core.length; i++) { const map = apart && T.kind[i] === 0 ? below : tracks; if (!map.has(T.core[i])) map.set(T.core[i], []); map.get(T.core[i]).push(i); }
for (const map of [tracks, below]) for (const list of map.values()) list.sort((a, b) => T.start[a] - T.start[b]);
const trackNames = [...tracks.keys()].sort((a, b) => (a < 0) - (b < 0) || a - b);
const span = line.makespan_s || 1;
const view = { from: 0, to: span };
const laneHeight = trackNames.length > 24 ? 14 : apart ? 28 : 24, laneLeft = 70, axisHeight = 26, upperShare = 0.7;
const hue = (step) => (step * 137.508) % 360;
const dark = () => matchMedia("(prefers-color-scheme: dark)").matches;
const colourOf = (i) => (T.kind[i] === 0 ? css("--c6") : `hsl(${hue(T.step[i])} 55% ${dark() ? 62 : 46}%)`);
const firstAfter = (list, time) => { let low = 0, high = list.length; while (low < high) { const mid = (low + high) >> 1; if (T.start[list[mid]] + T.duration[list[mid]] < time) low = mid + 1; else high = mid; } return low; };
const niceStep = (range) => { const raw = range / 6, base = 10 ** Math.floor(Math.log10(raw)); return [1, 2, 5, 10].map((m) => m * base).find((step) => step >= raw); };
const drawTimeline = (s) => {
  const wide = s.width - laneLeft - 8, scale = wide / (view.to - view.from), grey = css("--c6"), quiet = css("--quiet");
  const memo = new Map(), paint = (i) => { if (T.kind[i] === 0) return grey; if (!memo.has(T.step[i])) memo.set(T.step[i], colourOf(i)); return memo.get(T.step[i]); };
  const tick = niceStep(view.to - view.from);
  for (let t = Math.ceil(view.from / tick) * tick; t <= view.to; t += tick) {
    const x = laneLeft + (t - view.from) * scale;
    s.line(x, 0, x, s.height - axisHeight, css("--rule")); s.text(x, s.height - 12, si(Math.abs(t) < tick / 1e6 ? 0 : t, "s", 6), quiet, "middle", 11);
  }
  s.clip(laneLeft, 0, wide, s.height - axisHeight);
  const paintLane = (list, y, h) => {
    let edge = -1;
    for (let at = firstAfter(list, view.from); at < list.length && T.start[list[at]] <= view.to; at++) {
      const i = list[at], x = laneLeft + (T.start[i] - view.from) * scale, end = x + Math.max(T.duration[i] * scale, 0.6);
      if (end <= edge) continue;
      s.rect(Math.max(x, edge), y, end - Math.max(x, edge), h, paint(i));
      if (end - x > 60 && h >= 16) { s.text(Math.max(x, laneLeft) + 4, y + h / 2, fit(line.steps[T.step[i]], Math.min(end, s.width) - Math.max(x, laneLeft) - 8, 11), css("--page"), "start", 11); }
      edge = Math.max(end, Math.ceil(end) - 0.4);
    }
  };
  trackNames.forEach((core, lane) => {
    const y = lane * laneHeight + 2, h = laneHeight - 4, upper = below.has(core) ? Math.round(h * upperShare) : h;
    paintLane(tracks.get(core), y, upper);
    if (upper < h) paintLane(below.get(core), y + upper, h - upper);
  });
  s.unclip();
  trackNames.forEach((core, lane) => { if (laneHeight > 14 || lane % 2 === 0) s.text(laneLeft - 8, lane * laneHeight + laneHeight / 2, core < 0 ? "host" : `core ${core}`, css("--text"), "end", 11); });
};
const timeline = figure("timeline", () => trackNames.length * laneHeight + axisHeight, drawTimeline);
let waiting = false;
const redraw = () => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; timeline.draw(); }); } };
const zoom = (factor, at = 0.5) => {
  const width = Math.min(span, Math.max((view.to - view.from) * factor, span * 1e-7)), centre = view.from + (view.to - view.from) * at;
  view.from = Math.min(Math.max(0, centre - width * at), span - width); view.to = view.from + width; redraw();
};
const move = (share) => { const width = view.to - view.from; view.from = Math.min(Math.max(0, view.from + width * share), span - width); view.to = view.from + width; redraw(); };
const plot = $("timeline");
const shareAt = (event) => Math.min(1, Math.max(0, (event.offsetX - laneLeft) / (plot.clientWidth - laneLeft - 8)));
plot.addEventListener("wheel", (event) => { event.preventDefault(); if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) move((event.deltaX || event.deltaY) / 900); else zoom(Math.exp(Math.sign(event.deltaY) * 0.22), shareAt(event)); }, { passive: false });
let dragged = null;
plot.onpointerdown = (event) => { dragged = event.offsetX; plot.setPointerCapture(event.pointerId); };
plot.onpointerup = () => { dragged = null; };
plot.onpointermove = (event) => {
  if (dragged !== null) { move((dragged - event.offsetX) / (plot.clientWidth - laneLeft - 8)); dragged = event.offsetX; return; }
  const core = trackNames[Math.floor(event.offsetY / laneHeight)], lower = (event.offsetY % laneHeight) - 2 > (laneHeight - 4) * upperShare;
  const list = (lower && below.get(core)) || tracks.get(core), time = view.from + shareAt(event) * (view.to - view.from);
  const i = list && event.offsetX > laneLeft ? list[firstAfter(list, time)] : undefined;
  showTip(event, i !== undefined && T.start[i] <= time ? `${line.steps[T.step[i]]}: ${["configure", "stream", "host"][T.kind[i]]}${T.count[i] > 1 ? ` (${T.count[i]} events)` : ""}\n${si(T.start[i], "s", 6)} + ${si(T.duration[i], "s")}` : "");
};
plot.onpointerleave = hideTip;
plot.onkeydown = (event) => { const act = { "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1.6), ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), 0: () => zoom(1e9) }[event.key]; if (act) { event.preventDefault(); act(); } };
$("zoom-in").onclick = () => zoom(0.5); $("zoom-out").onclick = () => zoom(2); $("zoom-all").onclick = () => zoom(1e9);
$("timeline-note").textContent = line.merged ? `${line.events.toLocaleString("en")} events; neighbours of one core and layer are drawn as one.` : `${line.events.toLocaleString("en")} events.`;

/* Tiles of a layer and their mesh settings */
let bankAt = 0, tileAt = 0, tileIndex = -1;
const mix = (a, b, t) => { const rgb = (c) => { const v = parseInt(c.slice(1), 16); return [v >> 16, (v >> 8) & 255, v & 255]; }; const [p, q] = [rgb(a), rgb(b)]; return `rgb(${p.map((v, i) => Math.round(v + (q[i] - v) * t)).join(",")})`; };
data.tiles.forEach((bank, at) => $("bank").append(make("option", { value: at }, `${bank.bank} (${bank.tiles.toLocaleString("en")} ${bank.tiles === 1 ? "tile" : "tiles"})`)));
const unpacked = new Map();
const bankOf = (at) => {
  if (!unpacked.has(at)) { const bank = data.tiles[at]; unpacked.set(at, { ...bank, group: unpack(bank.group, Uint32Array), row: unpack(bank.row, Uint32Array), col: unpack(bank.col, Uint32Array), scale: unpack(bank.scale, Float32Array), used: unpack(bank.used, Float32Array) }); }
  return unpacked.get(at);
};
const gridShape = (bank) => ({ across: bank.grid[1], down: bank.grid[0] * bank.groups });
const gridCell = (bank, width) => { const { across, down } = gridShape(bank); return Math.max(1, Math.min(26, Math.floor((width - 2) / across), Math.max(2, Math.floor(560 / down)))); };
const drawGrid = (s) => {
  if (!data.tiles.length) return;
  const bank = bankOf(bankAt), cell = gridCell(bank, s.width), { across, down } = gridShape(bank), field = $("tile-colour").value;
  const values = field === "scale" ? bank.scale : bank.used, most = Math.max(...values, 1e-300), low = css("--low"), high = css("--high");
  s.rect(0, 0, across * cell + 1, Math.min(down * cell, s.height) + 1, css("--panel"));
  const settings = new Set(bank.chosen);
  for (let i = 0; i < values.length; i++) {
    const x = bank.col[i] * cell, y = (bank.group[i] * bank.grid[0] + bank.row[i]) * cell;
    s.rect(x + 0.5, y + 0.5, cell - (cell > 3 ? 1 : 0), cell - (cell > 3 ? 1 : 0), mix(low, high, values[i] / most));
    if (cell > 7 && settings.has(i)) s.rect(x + cell / 2 - 1, y + cell / 2 - 1, 2.5, 2.5, css("--c0"));
    if (i === tileIndex) s.frame(x + 0.5, y + 0.5, cell - 1, cell - 1, css("--c0"), 2);
  }
};
const grid = figure("tile-grid", () => { const bank = data.tiles.length ? bankOf(bankAt) : null; return bank ? Math.min(600, gridShape(bank).down * gridCell(bank, $("tile-grid").clientWidth || 500) + 2) : 40; }, drawGrid);
const drawMesh = (s) => {
  const bank = data.tiles.length ? bankOf(bankAt) : null, setting = bank && bank.settings[tileAt];
  if (!setting) { s.text(10, 20, "no tile", css("--quiet")); return; }
  const mesh = bank.mesh, window_ = unpack(mesh.window, Uint16Array), upper = unpack(mesh.upper, Uint16Array), lower = unpack(mesh.lower, Uint16Array);
  const steps = 2 * mesh.windows + 3, dx = s.width / steps, dy = Math.min(24, (s.height - 34) / mesh.ports), top = 18, low = css("--low"), high = css("--high");
  for (let port = 0; port < mesh.ports; port++) s.line(0, top + (port + 0.5) * dy, s.width, top + (port + 0.5) * dy, css("--rule"), 1);
  const half = (theta, offset) => theta.forEach((value, i) => {
    const angle = (value / 256) * 2 * Math.PI, bar = Math.sin(angle / 2) ** 2;
    s.rect((window_[i] + offset) * dx + dx * 0.1, top + (upper[i] + 0.2) * dy, Math.max(dx * 0.8, 0.8), Math.max((lower[i] - upper[i] + 0.6) * dy, 0.8), mix(low, high, bar));
  });
  half(unpack(setting.right, Uint8Array), 0.5);
  unpack(setting.attenuation, Uint8Array).forEach((value, port) => s.rect((mesh.windows + 0.7) * dx, top + (port + 0.25) * dy, Math.max(1.2 * dx, 1.5), Math.max(dy * 0.5, 0.6), mix(low, css("--c0"), value / 255)));
  half(unpack(setting.left, Uint8Array), mesh.windows + 2.5);
  s.text(2, 8, "Vᴴ", css("--quiet"), "start", 12); s.text((mesh.windows + 1.3) * dx, 8, "attenuators", css("--quiet"), "middle", 12); s.text(s.width - 2, 8, "U", css("--quiet"), "end", 12);
};
const mesh = figure("mesh", () => { const bank = data.tiles.length ? data.tiles[bankAt] : null; return bank ? Math.round(34 + Math.min(24 * bank.mesh.ports, Math.max(150, 7 * bank.mesh.ports))) : 40; }, drawMesh);
const say = () => {
  if (!data.tiles.length) return;
  const bank = bankOf(bankAt), { across, down } = gridShape(bank);
  $("tile-note").textContent = `${bank.groups > 1 ? `${bank.groups} groups of ` : ""}${bank.rows} × ${bank.cols} in a grid of ${down} × ${across} places, ${bank.tiles.toLocaleString("en")} tiles of ${bank.ports} ports (places left empty are all-zero). Settings of ${bank.settings.length} tile(s) are in this page (dotted): click one.`;
  $("mesh-note").textContent = tileIndex < 0 ? "" : `Tile ${tileIndex}: group ${bank.group[tileIndex]}, row ${bank.row[tileIndex]}, column ${bank.col[tileIndex]}; scale ${Number(bank.scale[tileIndex].toPrecision(4))}. Light enters left. Dark cells: bar state (θ = π); light cells: cross (θ = 0).`;
};
const pickTile = (place) => { const bank = bankOf(bankAt); tileAt = place; tileIndex = bank.chosen.length ? bank.chosen[place] : -1; grid.draw(); mesh.draw(); say(); };
const pickBank = (at) => { bankAt = at; $("bank").value = at; pickTile(0); };
$("bank").onchange = () => pickBank(Number($("bank").value));
$("tile-colour").onchange = () => grid.draw();
const tileUnder = (event) => { const bank = bankOf(bankAt), cell = gridCell(bank, $("tile-grid").clientWidth), col = Math.floor(event.offsetX / cell), row = Math.floor(event.offsetY / cell); return bank.col.findIndex((c, i) => c === col && bank.group[i] * bank.grid[0] + bank.row[i] === row); };
$("tile-grid").onclick = (event) => { const bank = bankOf(bankAt), i = tileUnder(event); if (i < 0 || !bank.chosen.length) return; let best = 0; bank.chosen.forEach((tile, place) => { if (Math.abs(tile - i) < Math.abs(bank.chosen[best] - i)) best = place; }); pickTile(best); };
$("tile-grid").onmousemove = (event) => { if (!data.tiles.length) return; const bank = bankOf(bankAt), i = tileUnder(event); showTip(event, i < 0 ? "" : `tile ${i}: group ${bank.group[i]}, row ${bank.row[i]}, column ${bank.col[i]}\nscale ${Number(bank.scale[i].toPrecision(4))}, ${percent(bank.used[i])} of its cells used`); };
$("tile-grid").onmouseleave = hideTip;
if (data.tiles.length) pickBank(data.tiles.reduce((best, bank, at) => (bank.tiles > data.tiles[best].tiles ? at : best), 0));

const again = () => figures.forEach((entry) => entry.draw());
let timer;
addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(again, 120); });
addEventListener("beforeprint", again);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
document.documentElement.dataset.ready = "yes";
