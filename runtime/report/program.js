"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const root = document.documentElement;
const make = (tag, attributes = {}, text) => {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
};
/* colours of the style sheet, asked for once a drawing */
const colours_ = new Map();
const css = (name) => { if (!colours_.has(name)) colours_.set(name, getComputedStyle(root).getPropertyValue(name).trim()); return colours_.get(name); };
const dark = () => matchMedia("(prefers-color-scheme: dark)").matches && !root.classList.contains("printing");

/* Numbers as texts */
const prefixes = [[1e18, "E"], [1e15, "P"], [1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"], [1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"], [1e-12, "p"], [1e-15, "f"], [1e-18, "a"]];
const si = (value, unit, digits = 3) => {
  if (!value || !isFinite(value)) return `${value || 0} ${unit}`;
  const rounded = Number(value.toPrecision(digits));
  const [factor, prefix] = prefixes.find(([size]) => Math.abs(rounded) >= size) || prefixes[prefixes.length - 1];
  const scaled = rounded / factor, places = Math.max(0, digits - 1 - Math.floor(Math.log10(Math.abs(scaled)) + 1e-9));
  return `${digits > 3 ? Number(scaled.toPrecision(digits)) : scaled.toFixed(places)} ${prefix}${unit}`;
};
const percent = (value) => (value ? (value < 0.0005 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`) : "");
const whole = (value) => (value ? value.toLocaleString("en") : "");
const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
const unpack = (text, Kind) => {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Kind(bytes.buffer);
};
const rgb = (hex) => { const v = parseInt(hex.slice(1), 16); return [v >> 16, (v >> 8) & 255, v & 255]; };
const mix = (a, b, t) => { const [p, q] = [rgb(a), rgb(b)]; return `rgb(${p.map((v, i) => Math.round(v + (q[i] - v) * t)).join(",")})`; };
const niceStep = (range, count = 6) => { const raw = range / count, base = 10 ** Math.floor(Math.log10(raw)); return [1, 2, 5, 10].map((m) => m * base).find((step) => step >= raw * (1 - 1e-9)); };

/* One drawing interface, two surfaces: a canvas to look at, and SVG to keep and to print. */
class Screen {
  constructor(canvas, height) {
    const ratio = window.devicePixelRatio || 1;
    colours_.clear();
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
  shape(path, fill, opacity = 1) { const c = this.context; c.globalAlpha = opacity; c.fillStyle = fill; c.fill(new Path2D(path)); c.globalAlpha = 1; }
  text(x, y, text, colour, anchor = "start", size = 12) {
    const c = this.context;
    c.fillStyle = colour; c.font = `${size}px system-ui, sans-serif`; c.textBaseline = "middle";
    c.textAlign = anchor === "middle" ? "center" : anchor; c.fillText(text, x, y);
  }
  clip(x, y, w, h) { const c = this.context; c.save(); c.beginPath(); c.rect(x, y, w, h); c.clip(); }
  unclip() { this.context.restore(); }
}
class Vector {
  constructor(id, width, height) { colours_.clear(); this.id = id; this.width = width; this.height = height; this.parts = []; this.clips = 0; }
  escape(text) { return String(text).replace(/[<>&"]/g, (c) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;" })[c]).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd"); }
  rect(x, y, w, h, fill) { this.parts.push(`<rect x="${x.toFixed(2)}" y="${y.toFixed(2)}" width="${Math.max(w, 0).toFixed(2)}" height="${Math.max(h, 0).toFixed(2)}" fill="${fill}"/>`); }
  frame(x, y, w, h, colour, width = 1) { this.parts.push(`<rect x="${x.toFixed(2)}" y="${y.toFixed(2)}" width="${w.toFixed(2)}" height="${h.toFixed(2)}" fill="none" stroke="${colour}" stroke-width="${width}"/>`); }
  line(x1, y1, x2, y2, colour, width = 1) { this.parts.push(`<line x1="${x1.toFixed(2)}" y1="${y1.toFixed(2)}" x2="${x2.toFixed(2)}" y2="${y2.toFixed(2)}" stroke="${colour}" stroke-width="${width}"/>`); }
  shape(path, fill, opacity = 1) { this.parts.push(`<path d="${path}" fill="${fill}" fill-opacity="${opacity}"/>`); }
  text(x, y, text, colour, anchor = "start", size = 12) {
    this.parts.push(`<text x="${x.toFixed(2)}" y="${y.toFixed(2)}" fill="${colour}" font-size="${size}" dominant-baseline="central" text-anchor="${anchor}">${this.escape(text)}</text>`);
  }
  clip(x, y, w, h) { const id = `${this.id}-clip${this.clips++}`; this.parts.push(`<clipPath id="${id}"><rect x="${x}" y="${y}" width="${w}" height="${h}"/></clipPath><g clip-path="url(#${id})">`); }
  unclip() { this.parts.push("</g>"); }
  source() {
    return `<svg xmlns="http://www.w3.org/2000/svg" width="${this.width}" height="${this.height}" viewBox="0 0 ${this.width} ${this.height}" font-family="system-ui, sans-serif"><rect width="100%" height="100%" fill="${css("--page")}"/>${this.parts.join("")}</svg>`;
  }
}
const fit = (text, pixels, size = 12) => { const most = Math.floor(pixels / (size * 0.58)); return text.length <= most ? text : most > 3 ? `…${text.slice(text.length - most + 1)}` : ""; };

const cut = (text, pixels, size = 12) => { const most = Math.floor(pixels / (size * 0.58)); return text.length <= most ? text : most > 3 ? `${text.slice(0, most - 1)}…` : ""; };
const fitting = (pixels, size, ...texts) => texts.find((text) => text.length * size * 0.58 <= pixels) || "";

/* Figures: (id of the canvas, height(width), draw(surface)). Each gets its two save buttons here. */
const PAPER = 1000;
const download = (name, url) => { const link = make("a", { href: url, download: name }); document.body.append(link); link.click(); link.remove(); };
const figures = [];
const figure = (id, height, draw) => {
  const canvas = $(id), name = `${data.name}-${id}`;
  const svg = (width) => { const vector = new Vector(id, width, height(width)); draw(vector); return vector.source(); };
  const entry = {
    id,
    draw: () => { const screen = new Screen(canvas, height(canvas.clientWidth || 900)); draw(screen); },
    svg: () => svg(canvas.clientWidth || 900),
    print: () => { $(`${id}-paper`).innerHTML = svg(PAPER); },
    png: () => {
      colours_.clear();
      const copy = document.createElement("canvas");
      copy.width = canvas.width; copy.height = canvas.height;
      const context = copy.getContext("2d");
      context.fillStyle = css("--page"); context.fillRect(0, 0, copy.width, copy.height); context.drawImage(canvas, 0, 0);
      return copy.toDataURL("image/png");
    },
  };
  figures.push(entry);
  const png = make("button", { type: "button", title: "Save this figure" }, "PNG"), vector = make("button", { type: "button", title: "Save this figure" }, "SVG");
  png.onclick = () => download(`${name}.png`, entry.png());
  vector.onclick = () => { const url = URL.createObjectURL(new Blob([entry.svg()], { type: "image/svg+xml" })); download(`${name}.svg`, url); setTimeout(() => URL.revokeObjectURL(url), 1000); };
  $(`${id}-save`).append(png, vector);
  entry.draw();
  return entry;
};
const keys = (id, entries) => $(id).replaceChildren(...entries.map(([name, colour]) => {
  const key = make("span", { class: "key" }), swatch = make("i");
  swatch.style.background = colour; key.append(swatch, name);
  return key;
}));
const tip = $("tip");
const showTip = (event, text) => {
  tip.textContent = text; tip.style.visibility = text ? "visible" : "hidden";
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8))}px`;
};
const hideTip = () => { tip.style.visibility = "hidden"; };
const hover = (id, text) => { $(id).onmousemove = (event) => showTip(event, text(event.offsetX, event.offsetY) || ""); $(id).onmouseleave = hideTip; };

/* Horizontal stacked bars of some rows: used for time and for energy. `source()` gives {rows: [{name, values, aside}], colours, names}.
   Rows aside, such as the sum of small ones, do not set the scale: a longer bar is cut and says so. */
const BARS = 30, barHeight = 20;
const stackedBars = (id, all, unit, source) => {
  const total = (row) => row.values.reduce((a, b) => a + b, 0);
  const shown = () => {
    const { rows, colours, names } = source(), sorted = rows.filter((row) => total(row) > 0).sort((a, b) => total(b) - total(a));
    if ($(all).checked || sorted.length <= BARS + 1) return { rows: sorted, colours, names };
    const rest = sorted.slice(BARS), sum = names.map((_, i) => rest.reduce((a, row) => a + row.values[i], 0));
    return { rows: [...sorted.slice(0, BARS), { name: `${rest.length} more`, values: sum, aside: true }], colours, names };
  };
  const left = (width) => Math.min(250, Math.max(90, width * 0.26));
  let now = shown();
  const entry = figure(id, () => { now = shown(); return Math.max(36, 14 + now.rows.length * barHeight); }, (s) => {
    const { rows, colours } = now, start = left(s.width), scaled = rows.filter((row) => !row.aside), most = Math.max(...(scaled.length ? scaled : rows).map(total), 1e-300), wide = s.width - start - 84;
    if (!rows.length) s.text(8, 18, "nothing to show", css("--quiet"));
    rows.forEach((row, at) => {
      const y = 6 + at * barHeight;
      s.text(start - 8, y + barHeight / 2, fit(row.name, start - 12), css("--text"), "end");
      let x = start;
      const long = total(row) > most * 1.0001, unit_ = long ? total(row) : most;
      row.values.forEach((value, i) => { const w = (value / unit_) * wide; if (w > 0) s.rect(x, y + 3, Math.max(w, 0.4), barHeight - 6, colours[i]); x += w; });
      if (long) for (const at_ of [0, 5]) s.line(x - 18 + at_, y + barHeight - 1, x - 12 + at_, y + 1, css("--page"), 2.5);
      s.text(x + 7, y + barHeight / 2, si(total(row), unit), css("--quiet"));
    });
  });
  hover(id, (x, y) => {
    const row = now.rows[Math.floor((y - 6) / barHeight)];
    if (!row) return "";
    const lines = row.values.map((value, i) => (value ? `${now.names[i]}: ${si(value, unit)}` : "")).filter(Boolean);
    return `${row.name}: ${si(total(row), unit)}\n${lines.join("\n")}`;
  });
  $(all).onchange = () => entry.draw();
  return entry;
};
