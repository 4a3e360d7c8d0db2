// Where the items lie, and quick answers about it: which is nearest, which of them get a picture at a zoom.
const NOWHERE = 0xffff;
const CELLS = 128; // a side of the grid that finds neighbours

/** A number 0 … 2^32-1 that looks random and is the same each time. */
function hash(index) {
  let h = Math.imul(index ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

export class Points {
  /** @param {ArrayBuffer} packed uint16 x, y of each item; see Atlas.packed. */
  constructor(packed) {
    const raw = new Uint16Array(packed);
    this.n = raw.length / 2;
    this.x = new Float32Array(this.n);
    this.y = new Float32Array(this.n);
    this.there = new Uint8Array(this.n);
    const count = new Uint32Array(CELLS * CELLS + 1);
    for (let i = 0; i < this.n; i++) {
      if (raw[2 * i] === NOWHERE && raw[2 * i + 1] === NOWHERE) continue;
      this.there[i] = 1;
      this.x[i] = raw[2 * i] / (NOWHERE - 1);
      this.y[i] = raw[2 * i + 1] / (NOWHERE - 1);
      count[this.#cell(i) + 1]++;
    }
    for (let c = 0; c < CELLS * CELLS; c++) count[c + 1] += count[c];
    this.start = count;
    this.sorted = new Uint32Array(count[CELLS * CELLS]);
    const next = count.slice();
    for (let i = 0; i < this.n; i++) if (this.there[i]) this.sorted[next[this.#cell(i)]++] = i;
    this.order = Array.from(this.sorted).sort((a, b) => hash(a) - hash(b));
    this.levels = new Map();
  }

  #cell(i) {
    const column = Math.min(CELLS - 1, Math.floor(this.x[i] * CELLS));
    return Math.min(CELLS - 1, Math.floor(this.y[i] * CELLS)) * CELLS + column;
  }

  /**
   * The nearest item to a place, at most `reach` away (in widths of the map); -1 if there is none.
   * @param {(index: number) => boolean} accepts which ones count.
   */
  nearest(x, y, reach = 2, accepts = () => true) {
    let best = -1;
    let least = reach * reach;
    const row = Math.floor(y * CELLS);
    const column = Math.floor(x * CELLS);
    for (let ring = 0; ring <= 2 * CELLS; ring++) {
      if (((ring - 1) / CELLS) ** 2 > least && ring > 1) break; // all that is left lies further away
      for (let r = row - ring; r <= row + ring; r++) {
        if (r < 0 || r >= CELLS) continue;
        const step = Math.abs(r - row) === ring ? 1 : 2 * ring;
        for (let c = column - ring; c <= column + ring; c += step || 1) {
          if (c < 0 || c >= CELLS) continue;
          for (let k = this.start[r * CELLS + c]; k < this.start[r * CELLS + c + 1]; k++) {
            const i = this.sorted[k];
            const away = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
            if (away < least && accepts(i)) {
              best = i;
              least = away;
            }
          }
        }
      }
    }
    return best;
  }

  /**
   * Items that get a picture where 2^level of them fit into a width of the map: no two nearer than 1/2^level.
   * Who has one keeps it at every nearer zoom.
   * @param {number[]} first they come before all others.
   */
  pictured(level, first = []) {
    const key = `${level} ${first.join(" ")}`;
    if (!this.levels.has(key)) {
      if (this.levels.size > 40) this.levels.clear();
      this.levels.set(key, this.#thinned(2 ** level, first.length ? first.filter((i) => this.there[i]) : this.order));
    }
    return this.levels.get(key);
  }

  #thinned(side, candidates) {
    const taken = new Map();
    const kept = [];
    for (const i of candidates) {
      const r = Math.floor(this.y[i] * side);
      const c = Math.floor(this.x[i] * side);
      let free = true;
      for (let dr = -1; dr <= 1 && free; dr++) {
        for (let dc = -1; dc <= 1 && free; dc++) {
          for (const j of taken.get((r + dr) * 65536 + c + dc) ?? []) {
            if (Math.max(Math.abs(this.x[i] - this.x[j]), Math.abs(this.y[i] - this.y[j])) * side < 1) free = false;
          }
        }
      }
      if (!free) continue;
      const key = r * 65536 + c;
      if (taken.has(key)) taken.get(key).push(i);
      else taken.set(key, [i]);
      kept.push(i);
    }
    return kept;
  }
}
