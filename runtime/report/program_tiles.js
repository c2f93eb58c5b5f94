/* Tiles of a layer and their mesh settings */
let bankAt = 0, tileAt = 0;
data.tiles.forEach((bank, at) => $("bank").append(make("option", { value: at }, `${bank.bank} (${plural(bank.tiles, "tile")})`)));
const unpacked = new Map();
const bankOf = (at) => {
  if (!unpacked.has(at)) { const bank = data.tiles[at]; unpacked.set(at, { ...bank, place: unpack(bank.place, Uint32Array), scale: unpack(bank.scale, Float32Array), used: unpack(bank.used, Uint8Array).reduce((list, v) => { list.push(v / 255); return list; }, []) }); }
  return unpacked.get(at);
};
const now = () => (data.tiles.length ? bankOf(bankAt) : null);
const gridCell = (bank, width) => Math.max(1, Math.min(26, (width - 2) / bank.across, Math.max(2, 560 / bank.down)));
const drawGrid = (s) => {
  const bank = now();
  if (!bank) { s.text(10, 20, "no tile on the chip", css("--quiet")); return; }
  const cell = gridCell(bank, s.width), field = $("tile-colour").value, values = field === "scale" ? bank.scale : bank.used;
  const most = field === "used" ? 1 : values.reduce((a, b) => Math.max(a, b), 1e-300), low = css("--low"), high = css("--high"), bottom = s.height - 30;
  s.rect(0, 0, bank.across * cell + 1, Math.min(bank.down * cell, bottom) + 1, css("--panel"));
  const dotted = new Set(bank.at), here = bank.at[tileAt], gap = cell > 4 ? 1 : 0;
  for (let i = 0; i < values.length; i++) {
    const x = (bank.place[i] % bank.across) * cell, y = Math.floor(bank.place[i] / bank.across) * cell;
    if (y > bottom) continue;
    s.rect(x + 0.5, y + 0.5, cell - gap, cell - gap, mix(low, high, values[i] / most));
    if (cell > 7 && dotted.has(i)) s.rect(x + cell / 2 - 1, y + cell / 2 - 1, 2.5, 2.5, css("--c0"));
    if (i === here) s.frame(x + 0.5, y + 0.5, Math.max(cell - 1, 2), Math.max(cell - 1, 2), css("--c0"), 2);
  }
  for (let i = 0; i < 60; i++) s.rect(i * 2, s.height - 18, 2.2, 9, mix(low, high, i / 59));
  s.text(128, s.height - 13, field === "scale" ? `scale of a tile, 0 to ${Number(most.toPrecision(3))}` : "cells used, 0 to 100 %", css("--quiet"), "start", 11.5);
};
const grid = figure("tile-grid", (width) => { const bank = now(); return bank ? Math.ceil(Math.min(600, bank.down * gridCell(bank, width) + 2)) + 30 : 40; }, drawGrid);
const drawMesh = (s) => {
  const bank = now(), setting = bank && bank.settings[tileAt];
  if (!setting) { s.text(10, 20, "no tile", css("--quiet")); return; }
  const mesh = bank.mesh, window_ = unpack(mesh.window, Uint16Array), upper = unpack(mesh.upper, Uint16Array), lower = unpack(mesh.lower, Uint16Array);
  const steps = 2 * mesh.windows + 3, dx = s.width / steps, top = 20, dy = Math.min(24, (s.height - top - 30) / mesh.ports), low = css("--low"), high = css("--high");
  for (let port = 0; port < mesh.ports; port++) s.line(0, top + (port + 0.5) * dy, s.width, top + (port + 0.5) * dy, css("--rule"), 1);
  const half = (theta, offset) => theta.forEach((value, i) => {
    const bar = Math.sin(((value / 256) * 2 * Math.PI) / 2) ** 2;
    s.rect((window_[i] + offset) * dx + dx * 0.1, top + (upper[i] + 0.2) * dy, Math.max(dx * 0.8, 0.8), Math.max((lower[i] - upper[i] + 0.6) * dy, 0.8), mix(low, high, bar));
  });
  half(unpack(setting.right, Uint8Array), 0.5);
  unpack(setting.attenuation, Uint8Array).forEach((value, port) => s.rect((mesh.windows + 0.7) * dx, top + (port + 0.25) * dy, Math.max(1.2 * dx, 1.5), Math.max(dy * 0.5, 0.6), mix(low, css("--c0"), value / 255)));
  half(unpack(setting.left, Uint8Array), mesh.windows + 2.5);
  s.text(2, 8, "Vᴴ, light enters", css("--quiet"), "start", 11.5); s.text((mesh.windows + 1.3) * dx, 8, s.width > 330 ? "attenuators" : "", css("--quiet"), "middle", 11.5); s.text(s.width - 2, 8, "U", css("--quiet"), "end", 11.5);
  for (let i = 0; i < 60; i++) s.rect(i * 2, s.height - 18, 2.2, 9, mix(low, high, i / 59));
  s.text(128, s.height - 13, "light goes across (θ = 0) to straight through (θ = π)", css("--quiet"), "start", 11.5);
};
const mesh = figure("mesh", () => { const bank = now(); return bank ? Math.round(50 + Math.min(24 * bank.mesh.ports, Math.max(150, 7 * bank.mesh.ports))) : 40; }, drawMesh);
const say = () => {
  const bank = now();
  if (!bank) return;
  const groups = bank.groups > 1 ? `${plural(bank.groups, "group")} of ` : "", coarse = bank.by > 1 ? ` A place in the figure stands for ${bank.by} × ${bank.by} tiles.` : "";
  $("tile-note").textContent = `${bank.layers.join(", ")}: ${groups}${bank.rows.toLocaleString("en")} × ${bank.cols.toLocaleString("en")} in a grid of ${bank.grid[0] * bank.groups} × ${bank.grid[1]} places, ${plural(bank.tiles, "tile")} of ${bank.ports} ports; places left empty are all-zero.${coarse} This page holds the settings of ${plural(bank.settings.length, "tile")} (dotted): click one.`;
  const [group, row, col] = bank.where[tileAt] || [];
  $("mesh-note").textContent = bank.settings.length ? `Tile ${bank.chosen[tileAt].toLocaleString("en")}: ${bank.groups > 1 ? `group ${group}, ` : ""}row ${row}, column ${col}.` : "";
};
const pickTile = (place) => { tileAt = place; grid.draw(); mesh.draw(); say(); };
const pickBank = (at) => { bankAt = at; $("bank").value = at; pickTile(0); };
$("bank").onchange = () => pickBank(Number($("bank").value));
$("tile-colour").onchange = () => grid.draw();
const placeUnder = (x, y) => { const bank = now(), cell = gridCell(bank, $("tile-grid").clientWidth), col = Math.floor(x / cell); return col < bank.across ? bank.place.indexOf(Math.floor(y / cell) * bank.across + col) : -1; };
$("tile-grid").onclick = (event) => {
  const bank = now(), i = bank ? placeUnder(event.offsetX, event.offsetY) : -1;
  if (i < 0 || !bank.at.length) return;
  let best = 0;
  bank.at.forEach((place, at) => { if (Math.abs(place - i) < Math.abs(bank.at[best] - i)) best = at; });
  pickTile(best);
};
hover("tile-grid", (x, y) => {
  const bank = now(), i = bank ? placeUnder(x, y) : -1;
  return i < 0 ? "" : `row ${Math.floor(bank.place[i] / bank.across) * bank.by}, column ${(bank.place[i] % bank.across) * bank.by}${bank.by > 1 ? " and neighbours" : ""}\nscale ${Number(bank.scale[i].toPrecision(4))}, ${percent(bank.used[i])} of its cells used`;
});
if (data.tiles.length) pickBank(data.tiles.reduce((best, bank, at) => (bank.tiles > data.tiles[best].tiles ? at : best), 0));

/* Sizes, colour schemes, paper */
const again = () => figures.forEach((entry) => entry.draw());
let timer;
addEventListener("resize", () => { clearTimeout(timer); timer = setTimeout(again, 120); });
addEventListener("beforeprint", () => { root.classList.add("printing"); figures.forEach((entry) => entry.print()); });
addEventListener("afterprint", () => { root.classList.remove("printing"); document.querySelectorAll(".paper").forEach((node) => node.replaceChildren()); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
root.dataset.ready = "yes";
