// The plane of gain and forgetting. What stands in a card is text here: it is drawn or set as text, never as markup.
"use strict";

const COLOURS = { passed: "--dot-good", failed: "--dot-bad", undecided: "--dot-open" };
const ORDER = ["failed", "undecided", "passed"];
const MANY = 3000;
// Points. On an axis with less, ticks would be closer than the digits that they are written with.
const LEAST = 2;
const MARGIN = { left: 52, right: 14, top: 14, bottom: 40 };

class Plane {
  constructor(place) {
    this.canvas = place.querySelector("canvas");
    this.hint = place.querySelector("#plane-hint");
    this.chosen = -1;
    this.canvas.addEventListener("pointermove", (event) => this.choose(this.nearest(event)));
    this.canvas.addEventListener("pointerleave", () => this.choose(-1));
    this.canvas.addEventListener("click", (event) => this.open(this.nearest(event)));
    this.canvas.addEventListener("keydown", (event) => this.walk(event));
    new ResizeObserver(() => this.draw()).observe(this.canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    this.hint.textContent = "Reading …";
    this.load(place.dataset.points);
  }

  async load(address) {
    try {
      const answer = await fetch(address);
      const points = await answer.json();
      if (!answer.ok) throw new Error(points.error.message);
      this.points = points;
    } catch (error) {
      this.hint.textContent = `The points cannot be read: ${error.message}`;
      return;
    }
    this.frame();
    this.list();
    this.choose(-1);
    this.draw();
    this.canvas.dataset.points = this.points.of.length;
  }

  label(i) {
    const p = this.points;
    return `${p.species[p.of[i]]}@${p.version[i]}`;
  }

  words(i) {
    const p = this.points;
    return `${this.label(i)}, ${p.verdict[i]}: gain ${signed(p.gain[i])} points, 95% interval from ${signed(p.gain_low[i])}; ` +
      `lost ${plain(p.forgetting[i])}, 95% sure to be less than ${plain(p.forgetting_upper[i])}`;
  }

  // What is drawn: all points, and zero on both axes.
  frame() {
    const { gain, forgetting } = this.points;
    this.x = range(forgetting);
    this.y = range(gain);
  }

  list() {
    const shown = this.points.front.slice(0, 200).map((i) => {
      const link = document.createElement("a");
      link.href = this.address(i);
      link.textContent = this.words(i);
      const item = document.createElement("li");
      item.append(link);
      return item;
    });
    document.querySelector("#front").replaceChildren(...shown);
  }

  address(i) {
    return `/entry/sha256:${encodeURIComponent(this.points.name[i])}`;
  }

  open(i) {
    if (i >= 0) location.href = this.address(i);
  }

  choose(i) {
    if (!this.points) return;
    const { of, front, without } = this.points;
    this.canvas.classList.toggle("on", i >= 0);
    if (i === this.chosen && i >= 0) return;
    const others = without ? `; ${without.toLocaleString("en")} more without figures` : "";
    this.hint.textContent = i >= 0 ? this.words(i)
      : `${of.length.toLocaleString("en")} entries, ${front.length.toLocaleString("en")} on the front${others}.`;
    if (i === this.chosen) return;
    this.chosen = i;
    this.overlay();
  }

  nearest(event) {
    if (!this.places) return -1;
    const box = this.canvas.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    const places = this.places;
    let best = -1, least = event.pointerType === "touch" ? 24 ** 2 : 12 ** 2;
    for (let i = 0; i < places.length; i += 2) {
      const far = (places[i] - x) ** 2 + (places[i + 1] - y) ** 2;
      if (far <= least) { least = far; best = i / 2; }
    }
    return best;
  }

  walk(event) {
    if (!this.points || !this.points.front.length) return;
    const { front } = this.points;
    const step = { ArrowRight: -1, ArrowUp: -1, ArrowLeft: 1, ArrowDown: 1 }[event.key];
    if (step) {
      event.preventDefault();
      const at = front.indexOf(this.chosen);
      this.choose(front[at < 0 ? 0 : Math.min(front.length - 1, Math.max(0, at + step))]);
    } else if (event.key === "Enter") {
      this.open(this.chosen);
    } else if (event.key === "Escape") {
      this.choose(-1);
    }
  }

  draw() {
    if (!this.points) return;
    const { width, height } = this.canvas.getBoundingClientRect();
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.round(width * scale);
    this.canvas.height = Math.round(height * scale);
    this.size = { width, height, scale };
    // All points are drawn once, aside; under the pointer only a circle is drawn anew.
    this.under = document.createElement("canvas");
    this.under.width = this.canvas.width;
    this.under.height = this.canvas.height;
    const pen = this.under.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    const style = getComputedStyle(this.canvas);
    this.colour = (name) => style.getPropertyValue(name).trim();
    this.axes(pen);
    // Over many points a line is seen, under few.
    const layers = [() => this.dots(pen), () => this.front(pen)];
    for (const layer of this.points.of.length > MANY ? layers : layers.reverse()) layer();
    this.overlay();
  }

  toX(value) { return MARGIN.left + (value - this.x.low) / (this.x.high - this.x.low) * (this.size.width - MARGIN.left - MARGIN.right); }
  toY(value) { return this.size.height - MARGIN.bottom - (value - this.y.low) / (this.y.high - this.y.low) * (this.size.height - MARGIN.top - MARGIN.bottom); }

  axes(pen) {
    const { width, height } = this.size;
    pen.font = "12px system-ui, sans-serif";
    const line = (x1, y1, x2, y2) => { pen.beginPath(); pen.moveTo(x1, y1); pen.lineTo(x2, y2); pen.stroke(); };
    pen.fillStyle = this.colour("--soft");
    pen.textAlign = "center";
    for (const value of ticks(this.x, width / 90)) {
      pen.strokeStyle = this.colour(value === 0 ? "--soft" : "--line");
      line(this.toX(value), MARGIN.top, this.toX(value), height - MARGIN.bottom);
      pen.fillText(plain(value, 0), this.toX(value), height - MARGIN.bottom + 15);
    }
    pen.textAlign = "right";
    for (const value of ticks(this.y, height / 50)) {
      pen.strokeStyle = this.colour(value === 0 ? "--soft" : "--line");
      line(MARGIN.left, this.toY(value), width - MARGIN.right, this.toY(value));
      pen.fillText(signed(value, 0), MARGIN.left - 6, this.toY(value) + 4);
    }
    pen.textAlign = "right";
    pen.fillText("general points lost →", width - MARGIN.right, height - 8);
    pen.save();
    pen.translate(13, MARGIN.top);
    pen.rotate(-Math.PI / 2);
    pen.fillText("points gained →", 0, 0);
    pen.restore();
  }

  // Few points have shapes beside their colours; many are small squares, which are drawn ten times as fast.
  dots(pen) {
    const { verdict, gain, forgetting } = this.points;
    const places = new Float32Array(2 * gain.length);
    for (let i = 0; i < gain.length; i++) {
      places[2 * i] = this.toX(forgetting[i]);
      places[2 * i + 1] = this.toY(gain[i]);
    }
    this.places = places;
    const many = gain.length > MANY;
    pen.globalAlpha = many ? 0.55 : 0.85;
    for (const kind of ORDER) {
      pen.fillStyle = pen.strokeStyle = this.colour(COLOURS[kind]);
      pen.lineWidth = 1.8;
      for (let i = 0; i < gain.length; i++) {
        if (verdict[i] !== kind) continue;
        const x = places[2 * i], y = places[2 * i + 1];
        if (many) pen.fillRect(x - 1.25, y - 1.25, 2.5, 2.5);
        else if (kind === "failed") pen.fillRect(x - 3, y - 3, 6, 6);
        else {
          pen.beginPath();
          pen.arc(x, y, 3.5, 0, 2 * Math.PI);
          if (kind === "passed") pen.fill(); else pen.stroke();
        }
      }
    }
    pen.globalAlpha = 1;
  }

  front(pen) {
    const { front, gain, forgetting } = this.points;
    pen.strokeStyle = this.colour("--front");
    pen.lineWidth = 2;
    pen.beginPath();
    // What is reached at a point is reached until the next: steps, not slopes.
    front.forEach((i, at) => {
      const x = this.toX(forgetting[i]), y = this.toY(gain[i]);
      if (at) { pen.lineTo(this.toX(forgetting[front[at - 1]]), y); pen.lineTo(x, y); }
      else { pen.moveTo(this.size.width - MARGIN.right, y); pen.lineTo(x, y); }
    });
    if (front.length) pen.lineTo(this.toX(forgetting[front[front.length - 1]]), this.size.height - MARGIN.bottom);
    pen.stroke();
  }

  overlay() {
    if (!this.under) return;
    const pen = this.canvas.getContext("2d");
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    pen.drawImage(this.under, 0, 0);
    pen.setTransform(this.size.scale, 0, 0, this.size.scale, 0, 0);
    if (this.chosen < 0) return;
    pen.strokeStyle = this.colour("--ink");
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(this.places[2 * this.chosen], this.places[2 * this.chosen + 1], 7, 0, 2 * Math.PI);
    pen.stroke();
  }
}

function range(values) {
  let low = 0, high = 0;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const wide = Math.max(high - low, LEAST);
  const room = (wide - (high - low)) / 2 + wide * 0.05;
  return { low: low - room, high: high + room };
}

function ticks({ low, high }, most) {
  const rough = (high - low) / Math.max(2, most);
  const ten = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * ten).find((value) => value >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) found.push(Number((at * step).toPrecision(12)));
  return found;
}

function plain(value, digits = 1) {
  const least = Number.isInteger(value) ? digits : Math.max(digits, 1);
  return value.toFixed(least).replace("-", "−");
}

function signed(value, digits = 1) {
  return (value > 0 ? "+" : "") + plain(value, digits);
}

// The node that a drawing is about, into the middle of it.
function centre(canvas) {
  const here = canvas.querySelector(".here");
  if (!here) return;
  const box = here.getBoundingClientRect(), around = canvas.getBoundingClientRect();
  canvas.scrollLeft += box.left + box.width / 2 - around.left - around.width / 2;
  canvas.scrollTop += box.top + box.height / 2 - around.top - around.height / 2;
}

const place = document.querySelector("#plane");
if (place) new Plane(place);
document.querySelectorAll(".canvas").forEach(centre);
