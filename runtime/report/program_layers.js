/* Layers: a table that sorts. A column is (key, heading, text of a value, flags): left, extra (shown with the host ops), bar (a share as a bar behind it). */
const blank = (text) => (value) => (value ? text(value) : "");
const columns = [
  ["layer", "layer", String, { left: true, name: "name" }], ["op", "op", String, { left: true }], ["where", "runs on", String, { left: true, extra: true }],
  ["matrix", "matrix", String, {}], ["tiles", "tiles", whole, {}], ["utilization", "cells used", percent, {}],
  ["dataflow", "dataflow", String, { left: true }], ["blocks", "blocks", whole, {}], ["copies", "copies", blank((v) => v.toFixed(v % 1 ? 1 : 0)), {}], ["cores", "cores", whole, {}],
  ["vectors", "vectors", whole, {}], ["macs", "MACs", blank((v) => si(v, "").trim()), {}], ["share", "of all MACs", percent, { extra: true }],
  ["start_s", "start", (v) => si(v, "s"), {}], ["span_s", "lasts", blank((v) => si(v, "s")), {}], ["busy_s", "core time", blank((v) => si(v, "s")), {}],
  ["energy_j", "energy", blank((v) => si(v, "J")), {}], ["energy_share", "of all", percent, { bar: true }], ["why", "why", String, { left: true, extra: true, name: "why" }],
];
const telling = (key) => data.layers.some((row) => row[key] && row[key] !== 1);
const used = columns.filter(([key]) => !["dataflow", "blocks", "copies", "cores"].includes(key) || telling(key));
const headings = {
  vectors: "Input vectors of one sample", macs: "Multiply-accumulates of one sample", start_s: "When its first stream or op starts", span_s: "From its first stream or op to its last", copies: "Cores that each tile is put on, the mean over the tiles", blocks: "Blocks that the run's vectors are cut into", busy_s: "Configuring and streaming, all cores together" };
const mostShare = Math.max(...data.layers.map((row) => row.energy_share), 1e-300);
let sortKey = null, sortUp = true;
const layerRows = () => {
  const word = $("layer-filter").value.toLowerCase(), host = $("layer-host").checked;
  const rows = data.layers.filter((row) => (host || row.where === "chip") && `${row.layer} ${row.op}`.toLowerCase().includes(word));
  if (sortKey) {
    const sign = sortUp ? 1 : -1, of = (row) => (sortKey === "matrix" ? row.weights : row[sortKey]);
    rows.sort((a, b) => (typeof of(a) === "number" ? sign * (of(a) - of(b)) : sign * String(of(a)).localeCompare(String(of(b)), "en", { numeric: true })));
  }
  return rows;
};
const showTiles = (bank) => { const at = data.tiles.findIndex((item) => item.bank === bank); if (at >= 0) { pickBank(at); $("tiles-title").scrollIntoView({ behavior: "smooth" }); } };
const fillLayers = () => {
  const rows = layerRows(), fragment = document.createDocumentFragment();
  for (const row of rows) {
    const line = make("tr");
    for (const [key, , text, flags] of used) {
      const cell = make("td", { class: [flags.left && "left", flags.extra && "extra", flags.name, flags.bar && "bar-cell"].filter(Boolean).join(" ") }, text(row[key]));
      if (flags.name) cell.title = row[key];
      if (flags.bar && row[key]) { const share = (100 * row[key]) / mostShare; cell.style.backgroundImage = `linear-gradient(to left, color-mix(in srgb, var(--c2) 26%, transparent) ${share}%, transparent ${share}%)`; }
      line.append(cell);
    }
    if (row.bank && data.tiles.some((item) => item.bank === row.bank)) { line.className = "pick"; line.onclick = () => showTiles(row.bank); }
    fragment.append(line);
  }
  $("layers").tBodies[0].replaceChildren(fragment);
  $("layers").classList.toggle("every", $("layer-host").checked);
  for (const head of $("layers").tHead.rows[0].cells) head.setAttribute("aria-sort", head.dataset.key !== sortKey ? "none" : sortUp ? "ascending" : "descending");
  $("layer-count").textContent = `${rows.length.toLocaleString("en")} of ${plural(data.layers.length, "op")}`;
};
const head = make("tr");
for (const [key, title, , flags] of used) {
  const cell = make("th", { scope: "col", class: [flags.left && "left", flags.extra && "extra"].filter(Boolean).join(" "), "data-key": key, "data-title": title }), button = make("button", { type: "button" }, title);
  if (headings[key]) cell.title = headings[key];
  button.onclick = () => { sortUp = sortKey === key ? !sortUp : Boolean(flags.left); sortKey = key; fillLayers(); };
  cell.append(button); head.append(cell);
}
$("layers").tHead.append(head);
/* below: what the run's energy is spent on besides the layers, host ops included, and the whole */
const foot = (name, energy_j, energy_share) => {
  const line = make("tr"), values = { layer: name, energy_j, energy_share };
  for (const [key, , text, flags] of used) line.append(make("td", { class: [flags.left && "left", flags.extra && "extra"].filter(Boolean).join(" ") }, key in values ? text(values[key]) : ""));
  $("layers").tFoot.append(line);
};
const spent = (rows) => rows.reduce((sum, row) => sum + row.energy_j, 0), whole_j = spent(data.layers) + data.idle.energy_j || 1;
const host_j = spent(data.layers.filter((row) => row.where !== "chip"));
if (host_j > 0) foot("host ops together", host_j, host_j / whole_j);
foot("idle: held ready between events", data.idle.energy_j, data.idle.energy_share);
foot("the run", spent(data.layers) + data.idle.energy_j, 1);
$("layer-filter").oninput = fillLayers; $("layer-host").onchange = fillLayers;
fillLayers();
