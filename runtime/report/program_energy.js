/* Energy: rows by items, of execution and configuration apart */
const parts = data.energy.parts, items = data.energy.items, N = items.length;
const joules = { execution: unpack(data.energy.execution, Float64Array), configuration: unpack(data.energy.configuration, Float64Array) };
const energyOf = (row, item) => {
  const what = $("energy-what").value, at = row * N + item;
  return (what !== "configuration" ? joules.execution[at] : 0) + (what !== "execution" ? joules.configuration[at] : 0);
};
const rowNames = data.energy.rows;
const columnSum = (table, item) => rowNames.reduce((sum, _, row) => sum + table[row * N + item], 0);
const itemTotals = () => items.map((item, i) => ({ ...item, value: rowNames.reduce((sum, _, row) => sum + energyOf(row, i), 0) })).filter((item) => item.value > 0).sort((a, b) => b.value - a.value);
const palette = [0, 1, 2, 3, 4, 5, 7, 6];
const partVariable = (part) => `--c${palette[parts.indexOf(part) % 8]}`, partColour = (part) => css(partVariable(part));
const eventNames = data.energy.event_names, eventVariable = (name) => `--c${[6, 3, 2, 1, 7, 4, 0, 5][eventNames.indexOf(name) % 8]}`;
const sumOf = (list) => list.reduce((sum, item) => sum + item.value, 0);

/* squarified treemap (Bruls, Huizing, van Wijk 2000) */
const squarify = (list, x, y, w, h) => {
  const placed = [];
  let rest = list.slice(), area = sumOf(list);
  while (rest.length) {
    const side = Math.min(w, h), scale = (w * h) / area;
    const worst = (row) => { const sum = sumOf(row) * scale, big = row[0].value * scale, small = row[row.length - 1].value * scale; return Math.max((side * side * big) / (sum * sum), (sum * sum) / (side * side * small)); };
    let row = [rest[0]];
    while (row.length < rest.length && worst([...row, rest[row.length]]) <= worst(row)) row.push(rest[row.length]);
    const sum = sumOf(row), thick = (sum * scale) / side;
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
let boxes = [];
const itemTip = (item, whole) => `${item.item} (${item.part}, ${item.static ? "static" : "dynamic"})\n${si(item.value, "J")}, ${percent(item.value / whole)}`;
const DOMINANT = 0.9;
const drawTree = (s) => {
  const list = itemTotals(), whole_ = sumOf(list), rest = list.slice(1), head_ = 20;
  boxes = [];
  if (!list.length) { s.text(8, 18, "nothing to show", css("--quiet")); return; }
  if (rest.length && list[0].value > DOMINANT * whole_) {
    /* one item dwarfs the others: these beside it, magnified */
    const split = s.width * 0.38, share = sumOf(rest) / whole_;
    s.text(2, 8, "all of it", css("--quiet"), "start", 12);
    s.text(split + 14, 8, `all but ${list[0].item}: ${si(sumOf(rest), "J")}, ${percent(share)}, magnified`, css("--quiet"), "start", 12);
    boxes = [...squarify(list, 0, head_, split, s.height - head_), ...squarify(rest, split + 12, head_, s.width - split - 12, s.height - head_)];
  } else boxes = squarify(list, 0, 0, s.width, s.height);
  boxes = boxes.map((box) => ({ ...box, tip: itemTip(box.item, whole_) }));
  for (const { item, x, y, w, h } of boxes) {
    s.rect(x + 0.75, y + 0.75, Math.max(w - 1.5, 0.4), Math.max(h - 1.5, 0.4), partColour(item.part));
    if (h > 20 && w > 40) s.text(x + 7, y + 14, cut(item.item, w - 10, 12.5), css("--on"), "start", 12.5);
    if (h > 38 && w > 60) s.text(x + 7, y + 31, fitting(w - 8, 12, `${si(item.value, "J")}, ${percent(item.value / whole_)}`, si(item.value, "J")), css("--on"), "start", 12);
  }
};

/* Flow: what the energy is spent on, item by item, to the parts of the chip */
const spentOn = (row, i, kind) => (rowNames[row] === data.energy.idle ? "idle" : kind === "configuration" ? "configure" : items[i].event);
const flows = () => {
  const found = new Map(), what = $("energy-what").value;
  for (const kind of ["configuration", "execution"]) {
    if (what !== "run" && what !== kind) continue;
    for (let row = 0; row < rowNames.length; row++) for (let i = 0; i < N; i++) {
      const value = joules[kind][row * N + i];
      if (value > 0) { const key = `${spentOn(row, i, kind)}\t${i}`; found.set(key, (found.get(key) || 0) + value); }
    }
  }
  return [...found].map(([key, value]) => { const [source, i] = key.split("\t"); return { source, item: items[Number(i)], value }; });
};
const SLOT = 15; /* pixels that a node has at least, for its label */
const slots = (nodes, scale) => nodes.reduce((sum, node) => sum + Math.max(node.value * scale, SLOT) + 3, 0);
const drawFlow = (s) => {
  const list = flows(), all = sumOf(list);
  boxes = [];
  if (!all) { s.text(8, 18, "nothing to show", css("--quiet")); return; }
  const columnsOf = [(flow) => flow.source, (flow) => flow.item.item, (flow) => flow.item.part].map((name) => {
    const nodes = new Map();
    for (const flow of list) { const key = name(flow); if (!nodes.has(key)) nodes.set(key, { name: key, value: 0, flow }); nodes.get(key).value += flow.value; }
    return [...nodes.values()].sort((a, b) => b.value - a.value);
  });
  const label = Math.min(170, s.width * 0.22), bar = 12, xs = [label, s.width / 2 - bar / 2, s.width - label - bar], top = 6, room = s.height - 12;
  let scale = room / all;
  while (columnsOf.some((nodes) => slots(nodes, scale) > room) && scale > (0.02 * room) / all) scale *= 0.97;
  columnsOf.forEach((nodes, place) => {
    let y = top + Math.max(0, (room - slots(nodes, scale)) / 2);
    for (const node of nodes) {
      const slot = Math.max(node.value * scale, SLOT), start = y + (slot - node.value * scale) / 2;
      Object.assign(node, { x: xs[place], y: start, h: Math.max(node.value * scale, 0.8), out: start, in: start, label: y + slot / 2 });
      y += slot + 3;
    }
  });
  const find = (place, name) => columnsOf[place].find((node) => node.name === name);
  const ribbon = (from, to, value, colour) => {
    const h = Math.max(value * scale, 0.5), x1 = from.x + bar, x2 = to.x, m = (x1 + x2) / 2, [a, b] = [from.out, to.in].map((v) => v);
    s.shape(`M${x1} ${a}C${m} ${a} ${m} ${b} ${x2} ${b}L${x2} ${b + h}C${m} ${b + h} ${m} ${a + h} ${x1} ${a + h}Z`, colour, 0.4);
    from.out += value * scale; to.in += value * scale;
  };
  const rank = (place, name) => columnsOf[place].findIndex((node) => node.name === name);
  list.sort((a, b) => rank(0, a.source) - rank(0, b.source) || rank(1, a.item.item) - rank(1, b.item.item));
  for (const flow of list) ribbon(find(0, flow.source), find(1, flow.item.item), flow.value, partColour(flow.item.part));
  for (const node of columnsOf[1]) ribbon(node, find(2, node.flow.item.part), node.value, partColour(node.flow.item.part));
  columnsOf.forEach((nodes, place) => nodes.forEach((node) => {
    s.rect(node.x, node.y, bar, node.h, place === 0 ? css(eventVariable(node.name)) : partColour(node.flow.item.part));
    const text = `${node.name}  ${si(node.value, "J")}`, x = place === 0 ? node.x - 6 : node.x + bar + 6;
    if (place === 1) s.shape(`M${x - 3} ${node.label - 7}h${text.length * 6.6}v14h${-text.length * 6.6}Z`, css("--page"), 0.55);
    s.text(x, node.label, cut(text, place === 1 ? s.width / 2 - label - bar : label - 8, 11.5), css("--text"), place === 0 ? "end" : "start", 11.5);
    boxes.push({ x: node.x - 4, y: Math.min(node.y, node.label - 7), w: bar + 8, h: Math.max(node.h, 14), tip: `${node.name}: ${si(node.value, "J")}, ${percent(node.value / all)}` });
  }));
};
const flowHeight = () => 180 + (SLOT + 3) * itemTotals().length;
const energyItems = figure("energy-tree", () => ($("energy-view").value === "flow" ? flowHeight() : 240), (s) => ($("energy-view").value === "flow" ? drawFlow(s) : drawTree(s)));
hover("energy-tree", (x, y) => { const box = boxes.find((b) => x >= b.x && x < b.x + b.w && y >= b.y && y < b.y + b.h); return box && box.tip; });
const byEvent = (row) => eventNames.map((name) => {
  const what = $("energy-what").value;
  let sum = 0;
  for (const kind of ["configuration", "execution"]) if (what === "run" || what === kind) for (let i = 0; i < N; i++) if (spentOn(row, i, kind) === name) sum += joules[kind][row * N + i];
  return sum;
});
const byPart = (row) => parts.map((part) => items.reduce((sum, item, i) => sum + (item.part === part ? energyOf(row, i) : 0), 0));
const energyBars = stackedBars("energy-bars", "energy-all", "J", () => {
  const parted = $("energy-split").value === "part";
  return {
    rows: rowNames.map((name, row) => ({ name, aside: name === data.energy.idle, values: parted ? byPart(row) : byEvent(row) })),
    colours: parted ? parts.map(partColour) : eventNames.map((name) => css(eventVariable(name))), names: parted ? parts : eventNames,
  };
});

/* The items as a table */
const itemColumns = [
  ["item", (r) => r.item, true], ["part", (r) => r.part, true], ["kind", (r) => (r.static ? "static" : "dynamic"), true],
  ["execution", (r) => (r.execution ? si(r.execution, "J") : "")], ["configuration", (r) => (r.configuration ? si(r.configuration, "J") : "")],
  ["of the run", (r) => percent((r.execution + r.configuration) / data.energy.total_j)], ["per inference", (r) => (r.inference_j ? si(r.inference_j, "J") : "")],
];
const fillItems = () => {
  const rows = items.map((item, i) => ({ ...item, execution: columnSum(joules.execution, i), configuration: columnSum(joules.configuration, i) })).filter((row) => row.execution + row.configuration > 0 || row.inference_j > 0);
  rows.sort((a, b) => b.execution + b.configuration - a.execution - a.configuration);
  const all = (key) => rows.reduce((sum, row) => sum + row[key], 0);
  const top = make("tr");
  for (const [title, , left] of itemColumns) top.append(make("th", { scope: "col", class: left ? "left" : "" }, title));
  $("items").tHead.replaceChildren(top);
  const total = { item: "total", part: "", execution: all("execution"), configuration: all("configuration"), inference_j: data.energy.inference_j, total: true };
  $("items").tBodies[0].replaceChildren(...[...rows, total].map((row) => {
    const line_ = make("tr", row.total ? { class: "total" } : {});
    itemColumns.forEach(([title, text, left]) => line_.append(make("td", { class: left ? "left" : "" }, row.total && title === "kind" ? "" : text(row))));
    return line_;
  }));
};
fillItems();
const energyKeys = () => {
  const withPart = parts.filter((part) => items.some((item, i) => item.part === part && columnSum(joules.execution, i) + columnSum(joules.configuration, i) > 0));
  keys("energy-key", withPart.map((part) => [part, `var(${partVariable(part)})`]));
  const parted = $("energy-split").value === "part", sums = eventNames.map((_, at) => rowNames.reduce((sum, _, row) => sum + byEvent(row)[at], 0));
  keys("energy-bars-key", parted ? withPart.map((part) => [part, `var(${partVariable(part)})`]) : eventNames.filter((_, at) => sums[at] > 0).map((name) => [name, `var(${eventVariable(name)})`]));
};
const fillEvents = () => {
  const top = make("tr");
  data.energy.event_header.forEach((title, i) => top.append(make("th", { scope: "col", class: i ? "" : "left" }, title)));
  $("events").tHead.replaceChildren(top);
  $("events").tBodies[0].replaceChildren(...data.energy.events.map((row) => {
    const line_ = make("tr");
    row.forEach((text, i) => line_.append(make("td", { class: i ? "" : "left" }, text)));
    return line_;
  }));
};
fillEvents(); energyKeys();
$("energy-what").onchange = () => { energyItems.draw(); energyBars.draw(); energyKeys(); };
$("energy-split").onchange = () => { energyBars.draw(); energyKeys(); };
$("energy-view").onchange = () => energyItems.draw();
