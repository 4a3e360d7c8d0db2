// Which part of the map is seen: its middle, in widths of the map, and how many pixels a width takes.
export class View {
  /** @param {() => void} changed called after every change. */
  constructor(changed) {
    Object.assign(this, { x: 0.5, y: 0.5, scale: 1, width: 1, height: 1, nearest: 60 });
    this.changed = changed;
    this.flight = 0;
  }

  /** The scale at which all of it is seen. */
  get whole() {
    return 0.94 * Math.min(this.width, this.height);
  }

  resize(width, height) {
    const zoom = this.scale / this.whole;
    Object.assign(this, { width, height });
    this.scale = zoom * this.whole;
    this.#settle();
  }

  toScreen(x, y) {
    return [(x - this.x) * this.scale + this.width / 2, (y - this.y) * this.scale + this.height / 2];
  }

  toMap(left, top) {
    return [(left - this.width / 2) / this.scale + this.x, (top - this.height / 2) / this.scale + this.y];
  }

  move(dx, dy) {
    this.flight++;
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.#settle();
  }

  /** Nearer by a factor, so that what is at a place of the screen stays there. */
  zoom(factor, left = this.width / 2, top = this.height / 2) {
    this.flight++;
    const [x, y] = this.toMap(left, top);
    this.scale = this.#within(this.scale * factor);
    this.x = x - (left - this.width / 2) / this.scale;
    this.y = y - (top - this.height / 2) / this.scale;
    this.#settle();
  }

  /** Go somewhere; at once for those who asked for less motion. */
  fly(x, y, scale = this.scale) {
    const flight = ++this.flight;
    const from = [this.x, this.y, Math.log(this.scale)];
    const to = [x, y, Math.log(this.#within(scale))];
    const lasts = matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 420;
    const begun = performance.now();
    const step = (now) => {
      if (flight !== this.flight) return; // something else has been asked for
      const done = lasts ? Math.min(1, Math.max(0, (now - begun) / lasts)) : 1;
      const eased = 1 - (1 - done) ** 3;
      const at = from.map((one, n) => one + (to[n] - one) * eased);
      Object.assign(this, { x: at[0], y: at[1], scale: Math.exp(at[2]) });
      this.#settle();
      if (done < 1) requestAnimationFrame(step);
    };
    step(begun);
  }

  all() {
    this.fly(0.5, 0.5, this.whole);
  }

  #within(scale) {
    return Math.min(this.whole * this.nearest, Math.max(this.whole, scale));
  }

  #settle() {
    this.scale = this.#within(this.scale);
    this.x = Math.min(1, Math.max(0, this.x));
    this.y = Math.min(1, Math.max(0, this.y));
    this.changed();
  }
}
