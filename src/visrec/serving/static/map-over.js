// What lies over the dots: pictures where there is room, what is lit up, names of regions, the item with the focus.
const HEART = new Path2D("M0 8-7 1a4.3 4.3 0 0 1 7-5.2A4.3 4.3 0 0 1 7 1z");
const ROOM = { wide: 76, narrow: 52 }; // pixels from picture to picture, at least
const KEPT = 700; // decoded pictures

/** What is known of items, asked for together and once. */
export class Known {
  #found = new Map();
  #asked = new Map();

  get(index) {
    return this.#found.get(index);
  }

  /** All of these, or as many as the service knows. */
  async of(indices) {
    const missing = indices.filter((i) => !this.#asked.has(i));
    for (let at = 0; at < missing.length; at += 200) {
      const some = missing.slice(at, at + 200);
      const answer = fetch(`/map/items?of=${some.join(",")}`).then((one) => (one.ok ? one.json() : []));
      const done = answer.then((all) => all.forEach((one) => this.#found.set(one.index, one)));
      some.forEach((i) => this.#asked.set(i, done));
      done.catch(() => some.forEach((i) => this.#asked.delete(i))); // the next time it is asked for again
    }
    await Promise.allSettled(indices.map((i) => this.#asked.get(i)));
    return indices.map((i) => this.#found.get(i)).filter(Boolean);
  }
}

export class Over {
  /** @param {() => void} changed called when a picture has come. */
  constructor(canvas, known, changed) {
    Object.assign(this, { canvas, known, changed, pictures: new Map(), drawn: [], withPictures: true });
    this.pen = canvas.getContext("2d");
    this.lit = { history: [], recommended: [], hits: new Set() };
    this.regions = [];
    this.focus = -1;
    this.recolour();
  }

  recolour() {
    const style = getComputedStyle(document.documentElement);
    const names = ["wall", "ink", "mount", "edge", "love", "m0", "hit", "quiet", "serif"];
    this.colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }

  get isLit() {
    return this.lit.history.length + this.lit.recommended.length > 0;
  }

  /** Items that should have a picture in a view, and how large. */
  #choice(view, points) {
    const room = innerWidth < 736 ? ROOM.narrow : ROOM.wide;
    const level = Math.max(0, Math.floor(Math.log2(view.scale / room)));
    const side = Math.min(104, (view.scale / 2 ** level) * 0.58);
    const { recommended, history } = this.lit;
    const first = this.isLit ? [...recommended, ...history] : [];
    const chosen = this.withPictures ? points.pictured(level, first) : [];
    const [left, top] = view.toMap(-side, -side);
    const [right, bottom] = view.toMap(view.width + side, view.height + side);
    const { x, y } = points;
    return { side, chosen: chosen.filter((i) => x[i] > left && x[i] < right && y[i] > top && y[i] < bottom) };
  }

  /** Ask for the pictures of a view that are not there yet; call it when the view rests. */
  async fetch(view, points) {
    const wanted = this.#choice(view, points).chosen.filter((i) => !this.pictures.has(i)).slice(0, 200);
    for (const one of await this.known.of(wanted)) {
      if (!one.picture || this.pictures.has(one.index)) continue;
      const image = new Image();
      image.decoding = "async";
      image.onload = () => {
        image.ready = true;
        this.changed();
      };
      image.src = one.picture;
      this.pictures.set(one.index, image);
    }
    for (const old of this.pictures.keys()) {
      if (this.pictures.size <= KEPT) break;
      this.pictures.delete(old);
    }
  }

  /** The item whose picture is at a place of the screen; -1. */
  at(left, top) {
    for (let n = this.drawn.length - 1; n >= 0; n--) {
      const { index, x, y, width, height } = this.drawn[n];
      if (Math.abs(left - x) <= width / 2 && Math.abs(top - y) <= height / 2) return index;
    }
    return -1;
  }

  draw(view, points, frameOf) {
    const { pen, canvas, colours } = this;
    const ratio = canvas.width / view.width;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.clearRect(0, 0, view.width, view.height);
    const { side, chosen } = this.#choice(view, points);
    this.drawn = [];
    const marks = this.isLit ? this.#marks() : new Map();
    for (const i of [...chosen].reverse()) {
      const image = this.pictures.get(i);
      if (!image?.ready) continue;
      this.#picture(i, image, view, points, side, marks.get(i)?.colour ?? frameOf(i), marks.has(i) ? 3 : 2);
    }
    for (const [i, mark] of [...marks].reverse()) this.#mark(i, mark, view, points);
    if (!this.isLit && view.scale < view.whole * 2.2) for (const one of this.regions) this.#name(one, view);
    if (this.focus >= 0 && points.there[this.focus]) {
      const [x, y] = view.toScreen(points.x[this.focus], points.y[this.focus]);
      const box = this.drawn.find((one) => one.index === this.focus);
      pen.lineWidth = 3;
      for (const [colour, grow] of [[colours.wall, 6], [colours.ink, 3]]) {
        pen.strokeStyle = colour;
        pen.beginPath();
        if (box) pen.rect(x - box.width / 2 - grow, y - box.height / 2 - grow, box.width + 2 * grow, box.height + 2 * grow);
        else pen.arc(x, y, 7 + grow, 0, 7);
        pen.stroke();
      }
    }
  }

  #marks() {
    const { love, m0, hit } = this.colours;
    const marks = new Map();
    this.lit.recommended.forEach((i, n) => {
      const won = this.lit.hits.has(i);
      marks.set(i, { text: won ? "✓" : String(n + 1), colour: won ? hit : m0 });
    });
    this.lit.history.forEach((i) => marks.has(i) || marks.set(i, { text: "", colour: love }));
    return marks;
  }

  #picture(index, image, view, points, side, frame, thick) {
    const { pen, colours } = this;
    const [x, y] = view.toScreen(points.x[index], points.y[index]);
    const shrink = side / Math.max(image.naturalWidth, image.naturalHeight);
    const [width, height] = [image.naturalWidth * shrink, image.naturalHeight * shrink];
    pen.fillStyle = colours.wall;
    pen.fillRect(x - width / 2 - thick - 1, y - height / 2 - thick - 1, width + 2 * thick + 2, height + 2 * thick + 2);
    pen.fillStyle = frame;
    pen.fillRect(x - width / 2 - thick, y - height / 2 - thick, width + 2 * thick, height + 2 * thick);
    pen.drawImage(image, x - width / 2, y - height / 2, width, height);
    this.drawn.push({ index, x, y, width, height });
  }

  #mark(index, mark, view, points) {
    if (!points.there[index]) return;
    const { pen, colours } = this;
    let [x, y] = view.toScreen(points.x[index], points.y[index]);
    const box = this.drawn.find((one) => one.index === index);
    if (box) [x, y] = [x + box.width / 2, y - box.height / 2];
    if (x < -20 || y < -20 || x > view.width + 20 || y > view.height + 20) return;
    pen.save();
    pen.translate(x, y);
    pen.strokeStyle = colours.wall;
    pen.lineWidth = 2;
    pen.fillStyle = mark.colour;
    if (mark.text) {
      pen.beginPath();
      pen.arc(0, 0, 10, 0, 7);
      pen.stroke();
      pen.fill();
      pen.fillStyle = colours.wall;
      pen.font = "700 11px system-ui, sans-serif";
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText(mark.text, 0, 0.5);
    } else {
      pen.stroke(HEART);
      pen.fill(HEART);
    }
    pen.restore();
  }

  #name({ x, y, name }, view) {
    const { pen, colours } = this;
    const [left, top] = view.toScreen(x, y);
    pen.font = `600 17px ${colours.serif}`;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineJoin = "round";
    pen.lineWidth = 5;
    pen.strokeStyle = colours.wall;
    pen.fillStyle = colours.ink;
    pen.strokeText(name, left, top);
    pen.fillText(name, left, top);
  }
}
