addEventListener("error", (e) => { root.dataset.error = e.message; });
const report = {};
const column = (key) => [...document.querySelectorAll("#layers tbody tr")].map((row) => row.cells[key].textContent);
const heads = [...document.querySelectorAll("#layers th")];
const at = (key) => heads.findIndex((head) => head.dataset.key === key);
const choose = (id, value) => { $(id).value = value; $(id).dispatchEvent(new Event("change")); };
const pixels = (id) => $(id).toDataURL();
const unpainted = (id) => { const empty = document.createElement("canvas"); empty.width = $(id).width; empty.height = $(id).height; return empty.toDataURL(); };

/* the table of layers */
report.before = column(0);
heads[at("energy_j")].querySelector("button").click();
report.byEnergy = column(0); report.sorted = heads[at("energy_j")].getAttribute("aria-sort");
heads[at("energy_j")].querySelector("button").click();
report.byEnergyUp = column(0);
$("layer-host").click(); report.all = column(0).length;
$("layer-filter").value = "no such layer"; $("layer-filter").dispatchEvent(new Event("input")); report.filtered = column(0).length;
$("layer-filter").value = ""; $("layer-filter").dispatchEvent(new Event("input"));

report.foot = [...$("layers").tFoot.rows].map((row) => [row.cells[0].textContent, row.cells[at("energy_share")].textContent]);
report.shares = [...$("layers").tBodies[0].rows].map((row) => row.cells[at("energy_share")].textContent);

/* the timeline: wheel, keys, buttons, colours, a click on a layer */
const full = [view.from, view.to], box = () => plot.getBoundingClientRect();
plot.dispatchEvent(new WheelEvent("wheel", { deltaY: -100, clientX: box().left + 300, cancelable: true }));
report.zoomed = (view.to - view.from) / (full[1] - full[0]);
plot.onkeydown(new KeyboardEvent("keydown", { key: "ArrowRight" })); report.moved = view.from;
$("zoom-all").click(); report.back = [view.from, view.to].join() === full.join();
timeline.draw(); const byLayer = pixels("timeline");
choose("timeline-colour", "kind"); report.recoloured = pixels("timeline") !== byLayer;
report.keys = [...$("timeline-key").children].map((key) => key.textContent);
const lane = trackNames.indexOf(-1) >= 0 ? trackNames.indexOf(-1) : 0, first = (tracks.get(trackNames[lane]) || [])[0];
const x = first === undefined ? 0 : laneLeft + ((T.start[first] + T.duration[first] / 2 - view.from) / (view.to - view.from)) * (plot.clientWidth - laneLeft - 8);
const press = { offsetX: Math.max(x, laneLeft + 1), offsetY: lanesTop + (lane + 0.3) * laneHeight, pointerId: 1 };
report.described = eventUnder(press) >= 0 ? describe(eventUnder(press)) : "";

/* the areas that each kind of event has in its lane, as drawn, and the shares of time they stand for */
const painted = {}, nothing = () => {}, lanes_ = trackNames.filter((core) => core >= 0);
drawTimeline({ width: 974, height: lanesTop + trackNames.length * laneHeight + axisHeight, clip: nothing, unclip: nothing, line: nothing, text: nothing, shape: nothing, frame: nothing,
  rect: (x, y, w, h, fill) => { if (y >= lanesTop && y < lanesTop + lanes_.length * laneHeight) painted[fill] = (painted[fill] || 0) + w * h; } });
const tall = laneHeight - 2 * (laneHeight > 8 ? 2 : laneHeight > 3 ? 0.5 : 0), whole__ = lanes_.length * tall * (974 - laneLeft - 8);
report.painted = kindColours().map((colour) => (painted[colour] || 0) / whole__);

/* the energy: what, how, split */
const run = pixels("energy-tree"), bars = pixels("energy-bars");
choose("energy-view", "flow"); report.flow = pixels("energy-tree") !== run;
choose("energy-what", "configuration"); report.what = pixels("energy-bars") !== bars;
choose("energy-what", "run"); choose("energy-split", "event"); report.split = pixels("energy-bars") !== bars;
report.items = [...$("items").tBodies[0].rows].map((row) => row.cells[0].textContent);
report.events = [...$("events").tBodies[0].rows].map((row) => row.cells[0].textContent);

/* every figure, on screen, as files and on paper */
report.drawn = figures.map((entry) => pixels(entry.id) !== unpainted(entry.id));
const counted = (text) => { const doc = new DOMParser().parseFromString(text, "image/svg+xml"); return doc.querySelector("parsererror") ? -1 : doc.querySelectorAll("rect, text, path").length; };
report.svg = figures.map((entry) => counted(entry.svg()));
const saved = [], keep = HTMLAnchorElement.prototype.click;
HTMLAnchorElement.prototype.click = function () { saved.push([this.download, this.href.slice(0, 15)]); };
document.querySelectorAll("[id$=-save] button").forEach((button) => button.click());
HTMLAnchorElement.prototype.click = keep;
report.saved = saved;
dispatchEvent(new Event("beforeprint")); report.paper = [...document.querySelectorAll(".paper > svg")].length; report.printing = root.className;
dispatchEvent(new Event("afterprint")); report.after = document.querySelectorAll(".paper > svg").length + root.className.length;

if (data.tiles.length > 1) pickBank(1);
report.note = $("tile-note").textContent;
report.wide = document.body.scrollWidth - document.documentElement.clientWidth;
const out = document.createElement("pre"); out.id = "report"; out.textContent = JSON.stringify(report); document.body.append(out);
