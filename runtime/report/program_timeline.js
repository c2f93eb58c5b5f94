/* Timeline: zoom with the wheel, drag to move; events narrower than a few pixels are drawn as their shares of each pixel's time */
const line = data.timeline;
const T = {
  kind: unpack(line.kind, Uint8Array), step: unpack(line.step, line.step_bytes === 2 ? Uint16Array : Uint32Array), core: unpack(line.core, Int32Array),
  start: unpack(line.start, Float64Array), duration: unpack(line.duration, Float32Array), busy: unpack(line.busy, Float32Array), count: unpack(line.count, Uint32Array),
  tile: unpack(line.tile, Int32Array), vectors: unpack(line.vectors, Float64Array), first: unpack(line.first, Float64Array),
};
const [CONFIGURE, STREAM, HOST, MOVE] = [0, 1, 2, 3];
const kindColours = () => [css("--c6"), css("--c2"), css("--c0"), css("--c4")];
/* with two buffers a core is configured while light runs: its configurations have the lower part of its lane */
const tracks = new Map(), below = new Map(), apart = line.buffers > 1;
for (let i = 0; i < T.core.length; i++) {
  const map = apart && T.kind[i] === CONFIGURE ? below : tracks;
  if (!tracks.has(T.core[i])) tracks.set(T.core[i], []);
  if (!map.has(T.core[i])) map.set(T.core[i], []);
  map.get(T.core[i]).push(i);
}
for (const map of [tracks, below]) for (const list of map.values()) list.sort((a, b) => T.start[a] - T.start[b]);
const trackNames = [...tracks.keys()].sort((a, b) => (a < 0) - (b < 0) || (a < 0 ? b - a : a - b));
const trackName = (core) => (core === -1 ? "host" : core === -2 ? "link" : `core ${core}`);
const span = line.makespan_s || 1;
const view = { from: 0, to: span };
const laneHeight = Math.max(1, Math.min(apart ? 30 : 24, Math.floor(760 / Math.max(trackNames.length, 1))));
const laneLeft = 74, axisHeight = 26, upperShare = 0.7, strip = 42, lanesTop = 2 * strip + 24;
let marked = -1;
const hue = (step) => (step * 137.508) % 360;
const layerColour = (step) => `hsl(${hue(step).toFixed(1)} 52% ${(dark() ? 58 : 38) + 5 * (step % 3)}%)`;
const firstAfter = (list, time) => { let low = 0, high = list.length; while (low < high) { const mid = (low + high) >> 1; if (T.start[list[mid]] + T.duration[list[mid]] < time) low = mid + 1; else high = mid; } return low; };

/* curves over the lanes: cores at work, and power */
const curves = [["cores busy", line.cores_busy, "", line.cores, "--c2"], ["power", line.power, "W", 0, "--c1"]].map(([name, curve, unit, top, colour]) => {
  const edges = unpack(curve.edges, Float64Array), values = unpack(curve.values, Float32Array);
  return { name, unit, colour, edges, values, top: top || Math.max(...values, 0) || 1 };
});
const drawCurve = (s, curve, y, h, scale, wide) => {
  const { edges, values } = curve, at = (t) => laneLeft + (t - view.from) * scale, floor = y + h;
  let path = "", begun = false, last = laneLeft;
  for (let i = 0; i < values.length; i++) {
    if (edges[i + 1] < view.from || edges[i] > view.to) continue;
    const x1 = Math.max(at(edges[i]), laneLeft), x2 = Math.min(at(edges[i + 1]), laneLeft + wide), top = floor - h * Math.min(values[i] / curve.top, 1);
    path += `${begun ? "L" : `M${x1.toFixed(1)} ${floor.toFixed(1)}L`}${x1.toFixed(1)} ${top.toFixed(1)}L${x2.toFixed(1)} ${top.toFixed(1)}`;
    begun = true; last = x2;
  }
  if (begun) s.shape(`${path}L${last.toFixed(1)} ${floor.toFixed(1)}Z`, css(curve.colour), 0.55);
  s.line(laneLeft, floor + 0.5, laneLeft + wide, floor + 0.5, css("--rule"));
  s.text(laneLeft - 8, y + h / 2 - 7, curve.name, css("--text"), "end", 11);
  s.text(laneLeft - 8, y + h / 2 + 7, curve.unit ? `to ${si(curve.top, curve.unit)}` : `of ${curve.top}`, css("--quiet"), "end", 10.5);
};
/* which layer it is about: each chip layer from its start to the next one's */
const spans = data.layers.map((row, step) => ({ step, start: row.start_s, end: row.start_s + row.span_s, chip: row.where === "chip" })).filter((row) => row.chip && row.end > row.start).sort((a, b) => a.start - b.start);
spans.forEach((row, i) => { if (i + 1 < spans.length) row.end = Math.min(row.end, spans[i + 1].start); });
const drawLayers = (s, y, h, scale, wide) => {
  s.text(laneLeft - 8, y + h / 2, "layer", css("--text"), "end", 11);
  s.clip(laneLeft, y, wide, h);
  for (const row of spans) {
    const x = laneLeft + (row.start - view.from) * scale, end = laneLeft + (row.end - view.from) * scale;
    if (end < laneLeft || x > laneLeft + wide) continue;
    s.rect(x, y + 2, Math.max(end - x - (end - x > 3 ? 0.8 : 0), 0.5), h - 5, marked >= 0 && marked !== row.step ? css("--rule") : layerColour(row.step));
    const left = Math.max(x, laneLeft), room = Math.min(end, laneLeft + wide) - left - 7;
    if (room > 28) s.text(left + 4, y + h / 2 - 0.5, fit(line.steps[row.step], room, 10.5), marked >= 0 && marked !== row.step ? css("--quiet") : css("--on"), "start", 10.5);
  }
  s.unclip();
};
/* A lane in pixels: events wide enough to be drawn themselves, and of all others each colour's share of every pixel's time. */
const WIDE = 3;
const laneShares = (list, view, scale, wide, paint) => {
  const long = [], shares = new Array(Math.max(0, Math.ceil(wide)));
  for (let at = line.merged ? 0 : firstAfter(list, view.from); at < list.length && T.start[list[at]] <= view.to; at++) {
    const i = list[at], x = (T.start[i] - view.from) * scale, end = x + T.duration[i] * scale;
    if (end < 0) continue;
    if (end - x >= WIDE && T.busy[i] > 0.999 * T.duration[i]) { long.push([i, x, end]); continue; }
    const density = end > x ? (T.busy[i] * scale) / (end - x) : 0, colour = paint(i);
    for (let pixel = Math.max(0, Math.floor(x)); pixel < Math.min(end, shares.length); pixel++) {
      const share = (Math.min(end, pixel + 1) - Math.max(x, pixel)) * density;
      if (share > 0) { const found = shares[pixel] || (shares[pixel] = new Map()); found.set(colour, (found.get(colour) || 0) + share); }
    }
  }
  return { long, shares };
};
const drawTimeline = (s) => {
  const wide = s.width - laneLeft - 8, scale = wide / (view.to - view.from), kinds = kindColours(), rule = css("--rule"), byKind = $("timeline-colour").value === "kind";
  const memo = new Map(), paint = (i) => {
    if (marked >= 0 && T.step[i] !== marked) return rule;
    if (byKind || T.kind[i] === CONFIGURE) return kinds[T.kind[i]];
    if (!memo.has(T.step[i])) memo.set(T.step[i], layerColour(T.step[i]));
    return memo.get(T.step[i]);
  };
  const tick = niceStep(view.to - view.from, Math.max(2, Math.min(8, wide / 110))), quiet = css("--quiet");
  const digits = Math.max(4, Math.ceil(Math.log10(Math.max(view.to, tick) / tick)) + 1);
  for (let t = Math.ceil(view.from / tick) * tick; t <= view.to; t += tick) {
    const x = laneLeft + (t - view.from) * scale;
    s.line(x, 0, x, s.height - axisHeight, rule); s.text(Math.min(x, s.width - 24), s.height - 12, Math.abs(t) < tick / 1e6 ? "0" : si(t, "s", Math.min(digits, 9)), quiet, "middle", 11);
  }
  drawLayers(s, 2 * strip, 18, scale, wide);
  curves.forEach((curve, i) => drawCurve(s, curve, i * strip + 4, strip - 8, scale, wide));
  s.clip(laneLeft, 0, wide, s.height - axisHeight);
  const paintLane = (list, y, h) => {
    const { long, shares } = laneShares(list, view, scale, wide, paint);
    for (const [i, x, end] of long) {
      s.rect(laneLeft + x, y, end - x - (end - x > 40 ? 0.6 : 0), h, paint(i));
      if (end - x > 60 && h >= 14 && T.kind[i] !== CONFIGURE) { const left = Math.max(x, 0); s.text(laneLeft + left + 4, y + h / 2, fit(line.steps[T.step[i]], Math.min(end, wide) - left - 8, 11), marked >= 0 && T.step[i] !== marked ? quiet : css("--on"), "start", 11); }
    }
    /* stacked from the floor, the largest share first; equal neighbours in one go */
    const stacks = shares.map((found) => found && [...found].sort((a, b) => b[1] - a[1]).map(([colour, share]) => [colour, Math.round(share * h * 4) / 4]).filter(([, tall]) => tall > 0));
    for (let from = 0; from < stacks.length; ) {
      const stack = stacks[from], same = JSON.stringify(stack);
      let to = from + 1;
      while (to < stacks.length && JSON.stringify(stacks[to]) === same) to++;
      let floor = y + h;
      for (const [colour, tall] of stack || []) { s.rect(laneLeft + from, floor - tall, to - from, tall, colour); floor -= tall; }
      from = to;
    }
  };
  const gap = laneHeight > 8 ? 2 : laneHeight > 3 ? 0.5 : 0;
  trackNames.forEach((core, lane) => {
    const y = lanesTop + lane * laneHeight + gap, h = laneHeight - 2 * gap, upper = below.has(core) ? Math.round(h * upperShare) : h;
    paintLane(tracks.get(core), y, upper);
    if (upper < h) paintLane(below.get(core), y + upper, h - upper);
  });
  s.unclip();
  const every = Math.ceil(13 / laneHeight);
  trackNames.forEach((core, lane) => { if (lane % every === 0 || core < 0 && laneHeight >= 9) s.text(laneLeft - 8, lanesTop + (lane + 0.5) * laneHeight, trackName(core), css("--text"), "end", 11); });
};
const timeline = figure("timeline", () => lanesTop + trackNames.length * laneHeight + axisHeight, drawTimeline);
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
const eventUnder = (event) => {
  const y = event.offsetY - lanesTop, core = trackNames[Math.floor(y / laneHeight)], lower = (y % laneHeight) - 2 > (laneHeight - 4) * upperShare;
  if (y < 0 || event.offsetX <= laneLeft) return -1;
  const list = (lower && below.get(core)) || tracks.get(core), time = view.from + shareAt(event) * (view.to - view.from);
  /* of the events within this pixel, the one that most of its time goes to */
  const half = 0.5 * (view.to - view.from) / (plot.clientWidth - laneLeft - 8);
  let best = -1, most = 0;
  for (let at = line.merged ? 0 : firstAfter(list || [], time - half); list && at < list.length && T.start[list[at]] <= time + half; at++) {
    const i = list[at], end = T.start[i] + T.duration[i], shared = Math.min(end, time + half) - Math.max(T.start[i], time - half);
    const share = shared * (T.duration[i] > 0 ? T.busy[i] / T.duration[i] : 0);
    if (share > most) { most = share; best = i; }
  }
  return best;
};
const curveUnder = (event) => {
  const curve = curves[Math.floor(event.offsetY / strip)], time = view.from + shareAt(event) * (view.to - view.from);
  if (!curve || event.offsetX <= laneLeft) return "";
  const at = curve.edges.findLastIndex((edge) => edge <= time);
  return at >= 0 && at < curve.values.length ? `${curve.name} at ${si(time, "s", 5)}: ${curve.unit ? si(curve.values[at], curve.unit) : Number(curve.values[at].toFixed(2))}` : "";
};
const describe = (i) => {
  const kind = line.kinds[T.kind[i]], many = T.count[i] > 1 ? `, ${T.count[i]} events` : "";
  const more = !T.tile.length ? "" : T.kind[i] === MOVE ? `\n${si(T.vectors[i], "B")} to the ${T.tile[i] ? "host" : "chip"}`
    : T.kind[i] === STREAM ? `\ntile ${T.tile[i]}, vectors ${T.first[i].toLocaleString("en")} to ${(T.first[i] + T.vectors[i] - 1).toLocaleString("en")}` : T.kind[i] === CONFIGURE ? `\ntile ${T.tile[i]}` : "";
  return `${line.steps[T.step[i]]}: ${kind}${many} on ${trackName(T.core[i])}${more}\n${si(T.start[i], "s", 6)} + ${si(T.duration[i], "s")}`;
};
let dragged = null, moved = 0;
plot.onpointerdown = (event) => { dragged = event.offsetX; moved = 0; plot.setPointerCapture(event.pointerId); };
plot.onpointerup = (event) => { dragged = null; if (moved < 4) { const i = eventUnder(event); marked = i < 0 || marked === T.step[i] ? -1 : T.step[i]; redraw(); } };
plot.onpointermove = (event) => {
  if (dragged !== null) { moved += Math.abs(dragged - event.offsetX); move((dragged - event.offsetX) / (plot.clientWidth - laneLeft - 8)); dragged = event.offsetX; return; }
  const i = eventUnder(event);
  showTip(event, i >= 0 ? describe(i) : curveUnder(event));
};
plot.onpointerleave = hideTip;
plot.onkeydown = (event) => { const act = { "+": () => zoom(0.6), "=": () => zoom(0.6), "-": () => zoom(1.6), ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), 0: () => zoom(1e9), Escape: () => { marked = -1; redraw(); } }[event.key]; if (act) { event.preventDefault(); act(); } };
$("zoom-in").onclick = () => zoom(0.5); $("zoom-out").onclick = () => zoom(2); $("zoom-all").onclick = () => zoom(1e9);
const timelineKey = () => {
  const byKind = $("timeline-colour").value === "kind", there = line.kinds.map((_, kind) => T.kind.includes(kind));
  keys("timeline-key", line.kinds.map((name, kind) => [name, `var(--${["c6", "c2", "c0", "c4"][kind]})`]).filter((_, kind) => there[kind] && (byKind || kind === CONFIGURE)));
  if (!byKind) $("timeline-key").append(make("span", { class: "key" }, "everything else in the colour of its layer"));
};
$("timeline-colour").onchange = () => { timelineKey(); timeline.draw(); };
timelineKey();
$("timeline-note").textContent = `${plural(line.events, "event")}${line.merged ? "; neighbours of one lane and layer are drawn as one" : ""}.`;

/* Time by layer */
const timeKinds = line.kinds.map((name, kind) => kind).filter((kind) => data.layers.some((row) => row.seconds[kind] > 0));
keys("time-key", timeKinds.map((kind) => [line.kinds[kind], `var(--${["c6", "c2", "c0", "c4"][kind]})`]));
stackedBars("time-bars", "time-all", "s", () => ({
  rows: data.layers.map((row) => ({ name: row.layer, values: timeKinds.map((kind) => row.seconds[kind]) })),
  colours: timeKinds.map((kind) => kindColours()[kind]), names: timeKinds.map((kind) => line.kinds[kind]),
}));
