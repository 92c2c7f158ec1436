// Plots: lines and bands on canvases, the cursor and the values under it.

const keyOf = (section, panel, series) => `${section.name}|${panel.title}|${series?.column ?? ""}`;
const visible = (section, panel) => !off.has(keyOf(section, panel));

function showPlots() {
  panels = [];
  $("plots").replaceChildren(...page.sections.map((section) => {
    const node = make("section", { "aria-label": section.name });
    const title = make("div", { className: "title" }, make("h3", {}, section.name), make("span", { className: "hint" }, ...hint(section)));
    node.append(title);
    const split = apart.get(section.name);
    if (!section.bands && section.panels.length > 1) {
      const flip = () => { apart.set(section.name, !split); showPlots(); show(now); };
      title.append(make("button", { className: "switch", type: "button", onclick: flip }, split ? "in one plot" : "one plot each"));
      node.append(make("div", { className: "chips" }, ...section.panels.map((panel, i) => chip(section, panel, split ? null : i))));
    }
    const drawn = section.panels.filter((panel) => visible(section, panel));
    const groups = split || section.bands ? drawn.map((panel) => [panel]) : drawn.length ? [drawn] : [];
    const wide = section.bands || groups.length < 2;
    node.append(make("div", { className: !wide ? "panels" : groups[0]?.length > 1 ? "panels wide all" : "panels wide" }, ...groups.map((group) => area(section, group, split))));
    return node;
  }));
  for (const panel of panels) draw(panel);
}

function hint(section) {
  if (!section.dashed) return [section.hint];
  const both = apart.get(section.name) ? "" : "plain "; // in one plot, colours tell the elements apart
  return [make("i", { className: both }), section.name, make("i", { className: `${both}dashed` }), section.dashed];
}

function chip(section, panel, index) {
  const key = keyOf(section, panel), on = !off.has(key);
  const flip = () => { on ? off.add(key) : off.delete(key); showPlots(); show(now); };
  const node = make("button", { className: "chip", type: "button", "aria-pressed": on, onclick: flip }, panel.title);
  if (index !== null) {
    node.prepend(make("i"));
    node.style.setProperty("--color", `var(--series-${1 + index % COLORS})`);
  }
  return node;
}

function area(section, group, split) {
  const lines = group.flatMap((panel) => panel.series.map((series, i) => ({ ...series, unit: panel.unit, of: panel, ...style(section, panel, i, split) })));
  const canvas = make("canvas", { role: "img" });
  const box = make("div", { className: section.bands ? "area band" : "area" }, canvas, make("div", { className: "line over" }), make("div", { className: "line now" }));
  const values = make("output");
  const title = group.length === 1 ? group[0].title + (group[0].unit ? ` [${group[0].unit}]` : "") : "";
  const panel = { section, lines, canvas, values, box, digits: null };
  panels.push(panel);
  box.onpointermove = (event) => { hover(panel, event); if (event.buttons) step(frameAt(box, event) - now); };
  box.onpointerdown = (event) => step(frameAt(box, event) - now);
  box.onpointerleave = () => { over = null; $("tip").hidden = true; $("plots").classList.remove("hovered"); readout(); };
  return make("div", { className: "panel" }, make("div", { className: "head" }, make("span", {}, title), values), box);
}

function style(section, panel, i, split) {
  const dims = section.panels.indexOf(panel), many = panel.series.length > (section.dashed ? 2 : 1);
  const dashed = panel.series[i].column !== panel.series[0].column;
  const half = panel.series.filter((other) => other.column === panel.series[0].column).length;
  if (!split) return { color: 1 + dims % COLORS, dashed };
  if (many) return { color: 1 + i % half % COLORS, dashed };
  return { color: dashed ? 2 : 1, dashed };
}

function draw(panel) {
  const { canvas, lines } = panel, ratio = devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width) return;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const ink = canvas.getContext("2d"), css = getComputedStyle(document.body);
  const color = (name) => css.getPropertyValue(`--${name}`).trim();
  const frames = episode.length, x = (frame) => LEFT + (width - LEFT - RIGHT) * frame / frames;
  ink.scale(ratio, ratio);
  ink.font = `10.5px ${css.fontFamily}`;
  ink.textBaseline = "middle";
  if (panel.section.bands) return drawBand(ink, panel, x, height, color);
  let low = Infinity, high = -Infinity;
  for (const line of lines) for (const value of episode.series[line.column][line.dim]) { low = Math.min(low, value); high = Math.max(high, value); }
  canvas.setAttribute("aria-label", `${lines.map((line) => line.label).join(", ")}: from ${say(low)} to ${say(high)}`);
  panel.digits = high > low && high - low > 1e-4 ? Math.max(0, Math.ceil(2 - Math.log10(high - low))) : null;
  const pad = high > low ? 0.06 * (high - low) : Math.abs(high) * 0.05 || 1;
  low -= pad; high += pad;
  const bottom = height > 100 ? 16 : 3, y = (value) => 3 + (height - 3 - bottom) * (high - value) / (high - low);
  ink.lineWidth = 1;
  ink.strokeStyle = color("line");
  ink.fillStyle = color("soft");
  ink.textAlign = "right";
  const marks = ticks(low, high, Math.max(2, height / 28));
  ink.beginPath();
  let above = Infinity;
  for (const value of marks.values) {
    const at = Math.max(7, Math.min(height - bottom - 4, y(value)));
    ink.moveTo(LEFT, y(value)); ink.lineTo(width - RIGHT, y(value));
    if (above - at > 13) { ink.fillText(fixed(value, marks.digits), LEFT - 6, at); above = at; }
  }
  ink.textAlign = "center";
  const beats = ticks(0, frames / page.fps, Math.max(2, width / 110));
  for (const value of beats.values) {
    const at = x(value * page.fps + 0.5);
    if (at > width - RIGHT) continue;
    ink.moveTo(at, 3); ink.lineTo(at, height - bottom);
    const text = `${value.toFixed(beats.digits)} s`;
    if (bottom > 10) ink.fillText(text, Math.min(at, width - ink.measureText(text).width / 2), height - 6);
  }
  ink.stroke();
  for (const line of lines) {
    ink.beginPath();
    ink.lineWidth = line.dashed ? 1.4 : 1.6;
    ink.lineJoin = "round";
    ink.setLineDash(line.dashed ? [4, 3] : []);
    ink.strokeStyle = color(`series-${line.color}`);
    trace(ink, episode.series[line.column][line.dim], x, y, width, line.wraps);
    ink.stroke();
  }
}

function trace(ink, values, x, y, width, wraps) {
  const each = wraps ? 1 : Math.max(1, Math.floor(values.length / (2 * width)));
  if (values.length === 1) { ink.moveTo(x(0), y(values[0])); ink.lineTo(x(1), y(values[0])); }
  for (let t = 0; t < values.length; t += each) {
    let low = values[t], high = values[t]; // many frames in one pixel: from the least to the largest
    for (let i = t; i < Math.min(t + each, values.length); i++) { low = Math.min(low, values[i]); high = Math.max(high, values[i]); }
    const jump = t === 0 || (wraps && Math.abs(values[t] - values[t - 1]) > Math.PI);
    jump ? ink.moveTo(x(t + 0.5), y(low)) : ink.lineTo(x(t + 0.5), y(low));
    if (high > low) ink.lineTo(x(t + 0.5), y(high));
  }
}

function drawBand(ink, panel, x, height, color) {
  const [line] = panel.lines, values = episode.series[line.column][line.dim];
  panel.canvas.setAttribute("aria-label", `${line.label} over time`);
  ink.fillStyle = color("line");
  ink.fillRect(LEFT, height - 2, x(values.length) - LEFT, 1);
  ink.textAlign = "left";
  for (let t = 0, from = 0; t < values.length; t++) {
    if (t + 1 < values.length && values[t + 1] === values[t]) continue;
    const value = values[t], left = x(from), width = Math.max(2, x(t + 1) - left);
    from = t + 1;
    if (line.levels.length === 0 && !value) continue; // a flag that is down leaves its band empty
    const level = line.levels.indexOf(value), text = line.words[level] ?? "";
    ink.fillStyle = color(line.tone || `series-${1 + Math.max(0, level) % COLORS}`);
    ink.globalAlpha = line.levels.length ? 0.35 : 0.9;
    ink.fillRect(left, 3, width, height - 6);
    ink.globalAlpha = 1;
    ink.fillStyle = color("ink");
    if (text && width > ink.measureText(text).width + 8) ink.fillText(text, left + 5, height / 2);
  }
}

function ticks(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const values = [];
  for (let i = Math.ceil(low / size); i * size <= high; i++) values.push(i * size);
  if (values.length < 2 && count < 20) return ticks(low, high, 2 * count);
  return { values, digits: Math.min(20, Math.max(0, -Math.floor(Math.log10(size) + 1e-9))) };
}

function frameAt(box, event) {
  const { left, width } = box.getBoundingClientRect();
  const part = (event.clientX - left - LEFT) / (width - LEFT - RIGHT);
  return Math.max(0, Math.min(episode.length - 1, Math.floor(part * episode.length)));
}

const valueOf = (line, frame) => {
  const value = episode.series[line.column][line.dim][frame];
  return line.flag ? (value ? "yes" : "no") : line.words[line.levels.indexOf(value)] ?? value;
};

function readout() { // the values at the cursor, over each plot; of many lines only the solid ones
  const frame = over ?? now;
  for (const { lines, values, digits } of panels) {
    const few = lines.length > 2 ? lines.filter((line) => !line.dashed) : lines;
    values.replaceChildren(...(few.length > 4 ? [] : few).map((line) => {
      const value = valueOf(line, frame), text = typeof value === "string" ? value : digits === null ? say(value) : fixed(value, digits);
      const node = make("span", {}, text);
      if (few.length > 1) node.style.setProperty("--color", `var(--series-${line.color})`);
      return node;
    }));
  }
}

function hover(panel, event) {
  over = frameAt(panel.box, event);
  $("plots").classList.add("hovered");
  $("plots").style.setProperty("--over", (over + 0.5) / episode.length);
  readout();
  const tip = $("tip"), rows = panel.lines.map((line) => {
    const swatch = make("i");
    swatch.style.borderTop = `2.5px ${line.dashed ? "dashed" : "solid"} var(--${line.tone || `series-${line.color}`})`;
    const value = valueOf(line, over);
    return make("span", {}, swatch, line.label, make("b", {}, `${typeof value === "string" ? value : say(value, 6)} ${line.unit}`));
  });
  tip.replaceChildren(make("p", {}, `frame ${over} · ${seconds(over)} s`), make("div", { className: rows.length > 12 ? "" : "few" }, ...rows));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${event.clientX + 18 + width > innerWidth ? Math.max(4, event.clientX - 18 - width) : event.clientX + 18}px`;
  tip.style.top = `${Math.max(4, Math.min(innerHeight - height - 4, event.clientY + 14))}px`;
}

