// All dots, each frame: by WebGL, or where there is none on a 2-D canvas. Both draw the signs of the legend.
const SLOTS = 14; // 12 classes, all others, no class
const NO_CLASS = 0xff;
const CIRCLE = 0;

/** The sign of each slot: a colour [r, g, b] of 0 … 1, a shape 0 … 5, a size. Colours are those of the style sheet. */
export function signs(kind, others) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => {
    const hex = style.getPropertyValue(name).trim();
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255);
  };
  return Array.from({ length: SLOTS }, (_, slot) => {
    if (kind === "none") return { colour: colour("--c0"), shape: CIRCLE, size: 1 };
    if (slot === SLOTS - 1 || slot === others) return { colour: colour("--rest"), shape: CIRCLE, size: 0.75 };
    if (kind === "ramp") return { colour: colour(`--r${slot % 6}`), shape: CIRCLE, size: 1 };
    return { colour: colour(`--c${slot % 8}`), shape: slot % 6, size: 1 };
  });
}

const VERTEX = `#version 300 es
in vec2 place; in float slot;
uniform vec2 middle, half_size; uniform float scale, size; uniform vec4 sign[${SLOTS}]; uniform float sizes[${SLOTS}];
out vec3 colour; flat out int shape; out float pixels;
void main() {
  vec2 at = (place - middle) * scale / half_size;
  gl_Position = vec4(at.x, -at.y, 0., 1.);
  int one = int(slot);
  colour = sign[one].rgb; shape = int(sign[one].a);
  gl_PointSize = size * sizes[one] + 2.; pixels = gl_PointSize;
}`;
const FRAGMENT = `#version 300 es
precision mediump float;
in vec3 colour; flat in int shape; in float pixels; uniform float opacity; out vec4 shown;
void main() {
  vec2 p = (gl_PointCoord * 2. - 1.) * pixels / (pixels - 2.); vec2 a = abs(p); float far;
  if (shape == 0) far = length(p) - .86;
  else if (shape == 1) far = max(a.x, a.y) - .76;
  else if (shape == 2) far = max(a.x * .87 - p.y * .5 - .5, p.y - .75);
  else if (shape == 3) far = (a.x + a.y - 1.) * .71;
  else {
    if (shape == 5) a = abs(vec2(p.x + p.y, p.x - p.y)) * .71;
    far = max(min(a.x, a.y) - .3, max(a.x, a.y) - .95);
  }
  float edge = clamp(.5 - far * pixels * .5, 0., 1.) * opacity;
  if (edge <= 0.) discard;
  shown = vec4(colour * edge, edge);
}`;

/** Draws dots on a canvas: `data(points, classes)`, `look(signs)`, `draw(view, size, opacity)`. */
export function dotsOn(canvas) {
  const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, premultipliedAlpha: true });
  return gl ? new Shaded(canvas, gl) : new Painted(canvas, canvas.getContext("2d"));
}

/** Slots of all items that have a place, in one order with their places. */
function packed(points, classes) {
  const n = points.sorted.length;
  const places = new Float32Array(2 * n);
  const slots = new Uint8Array(n);
  points.order.forEach((i, at) => {
    places[2 * at] = points.x[i];
    places[2 * at + 1] = points.y[i];
    const found = classes ? classes[i] : 0;
    slots[at] = found === NO_CLASS ? SLOTS - 1 : found;
  });
  return { n, places, slots };
}

class Shaded {
  name = "WebGL";

  constructor(canvas, gl) {
    Object.assign(this, { canvas, gl, n: 0 });
    this.#begin();
    canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
    canvas.addEventListener("webglcontextrestored", () => {
      this.#begin();
      if (this.given) this.data(...this.given);
      if (this.signs) this.look(this.signs);
      canvas.dispatchEvent(new Event("visrec:redraw"));
    });
  }

  #begin() {
    const { gl } = this;
    const program = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(program, shader);
    }
    gl.bindAttribLocation(program, 0, "place");
    gl.bindAttribLocation(program, 1, "slot");
    gl.linkProgram(program);
    gl.useProgram(program);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    this.at = (name) => gl.getUniformLocation(program, name);
    this.buffers = [gl.createBuffer(), gl.createBuffer()];
    this.uniforms = Object.fromEntries(["middle", "half_size", "scale", "size", "opacity"].map((n) => [n, this.at(n)]));
  }

  data(points, classes) {
    this.given = [points, classes];
    const { gl } = this;
    const { n, places, slots } = packed(points, classes);
    this.n = n;
    const fill = (number, values, width, type) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffers[number]);
      gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
      gl.enableVertexAttribArray(number);
      gl.vertexAttribPointer(number, width, type, false, 0, 0);
    };
    fill(0, places, 2, gl.FLOAT);
    fill(1, slots, 1, gl.UNSIGNED_BYTE);
  }

  look(found) {
    this.signs = found;
    this.gl.uniform4fv(this.at("sign"), found.flatMap((one) => [...one.colour, one.shape]));
    this.gl.uniform1fv(this.at("sizes"), found.map((one) => one.size));
  }

  draw(view, size, opacity) {
    const { gl, canvas, uniforms } = this;
    const ratio = canvas.width / view.width;
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.uniform2f(uniforms.middle, view.x, view.y);
    gl.uniform2f(uniforms.half_size, view.width / 2, view.height / 2);
    gl.uniform1f(uniforms.scale, view.scale);
    gl.uniform1f(uniforms.size, size * ratio);
    gl.uniform1f(uniforms.opacity, opacity);
    gl.drawArrays(gl.POINTS, 0, this.n);
  }
}

class Painted {
  name = "2-D canvas";

  constructor(canvas, context) {
    Object.assign(this, { canvas, context, stamps: [] });
  }

  data(points, classes) {
    Object.assign(this, packed(points, classes));
  }

  look(found) {
    this.signs = found;
    this.stamped = 0;
  }

  /** A small picture of each sign, made anew where its size has changed. */
  #stamp(size) {
    if (this.stamped === size) return;
    this.stamped = size;
    this.stamps = this.signs.map((sign) => {
      const stamp = document.createElement("canvas");
      const side = Math.ceil(size * sign.size) + 2;
      stamp.width = stamp.height = side;
      const pen = stamp.getContext("2d");
      pen.fillStyle = `rgb(${sign.colour.map((one) => Math.round(one * 255)).join(" ")})`;
      pen.translate(side / 2, side / 2);
      pen.scale((size * sign.size) / 2, (size * sign.size) / 2);
      pen.beginPath();
      if (sign.shape === 5) pen.rotate(Math.PI / 4);
      if (sign.shape === 0) pen.arc(0, 0, 0.86, 0, 7);
      else if (sign.shape === 1) pen.rect(-0.76, -0.76, 1.52, 1.52);
      else if (sign.shape === 2) [[0, -1], [1, 0.75], [-1, 0.75]].forEach((one) => pen.lineTo(...one));
      else if (sign.shape === 3) [[0, -1], [1, 0], [0, 1], [-1, 0]].forEach((one) => pen.lineTo(...one));
      else {
        pen.rect(-0.95, -0.3, 1.9, 0.6);
        pen.rect(-0.3, -0.95, 0.6, 1.9);
      }
      pen.fill();
      return stamp;
    });
  }

  draw(view, size, opacity) {
    const { canvas, context, places, slots, n } = this;
    const ratio = canvas.width / view.width;
    this.#stamp(Math.round(size * ratio * 2) / 2);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.globalAlpha = opacity;
    const scale = view.scale * ratio;
    const left = canvas.width / 2 - view.x * scale;
    const top = canvas.height / 2 - view.y * scale;
    for (let at = 0; at < n; at++) {
      const stamp = this.stamps[slots[at]];
      const x = places[2 * at] * scale + left - stamp.width / 2;
      const y = places[2 * at + 1] * scale + top - stamp.height / 2;
      if (x > -20 && y > -20 && x < canvas.width && y < canvas.height) context.drawImage(stamp, Math.round(x), Math.round(y));
    }
  }
}
