/** Draws attention. What it writes of texts it writes as text. */
export const script = `const { tokens, heads, all, maps } = JSON.parse(document.getElementById("data").textContent);
const bytes = Uint8Array.from(atob(maps), (character) => character.charCodeAt(0));
const count = tokens.length;
const size = all ? (count * (count + 1)) / 2 : count;
// A byte is 255 times the share's root: small shares matter.
const strength = (head, row, position) =>
  bytes[(Number(layer.value) * heads + head) * size + (all ? (row * (row + 1)) / 2 : 0) + position] / 255;
const percent = (strength) => {
  const share = 100 * strength * strength;
  return inLanguage(share < 9.95 ? share.toFixed(1) : share.toFixed(0)) + " %";
};
const [layer, from, map, at, attended] = ["layer", "from", "map", "at", "attended"].map((id) => document.getElementById(id));
const radios = [...document.querySelectorAll("input[name=head]")];
const head = () => radios.findIndex((radio) => radio.checked);
const rows = all ? tokens.map((_, row) => row) : [count - 1];

// Cells of so many pixels, from left and top on.
function cells(context, of, cell, left, top) {
  for (const [y, row] of rows.entries()) {
    for (let x = 0; x <= row; x++) {
      context.globalAlpha = strength(of, row, x);
      context.fillRect(left + x * cell, top + y * cell, cell, cell);
    }
  }
  context.globalAlpha = 1;
}

function drawHead(canvas, of) {
  canvas.width = count;
  canvas.height = rows.length;
  const context = canvas.getContext("2d");
  context.fillStyle = getComputedStyle(canvas).color;
  cells(context, of, 1, 0, 0);
}

// Tokens are written beside the large map while there is room for them.
const cell = Math.max(3, Math.min(28, Math.floor(560 / count)));
const [left, top] = cell >= 10 ? [110, 110] : [0, 0];
function drawMap() {
  const [width, height] = [left + count * cell, top + rows.length * cell];
  const scale = devicePixelRatio;
  map.width = width * scale;
  map.height = height * scale;
  map.style.width = width + "px";
  const context = map.getContext("2d");
  context.scale(scale, scale);
  const { color, caretColor, fontFamily } = getComputedStyle(map);
  context.fillStyle = color;
  cells(context, head(), cell, left, top);
  context.strokeStyle = context.fillStyle = caretColor;
  context.strokeRect(left + 0.5, top + 0.5 + rows.indexOf(Number(from.value)) * cell, count * cell - 1, cell - 1);
  if (left === 0) return;
  context.font = Math.min(13, cell) + "px " + fontFamily;
  context.textBaseline = "middle";
  context.textAlign = "right";
  for (const [y, row] of rows.entries()) context.fillText(tokens[row], left - 6, top + (y + 0.5) * cell, left - 8);
  context.textAlign = "left";
  for (let x = 0; x < count; x++) {
    context.save();
    context.translate(left + (x + 0.5) * cell, top - 6);
    context.rotate(-Math.PI / 2);
    context.fillText(tokens[x], 0, 0, top - 8);
    context.restore();
  }
}

function showRow() {
  const row = Number(from.value);
  attended.replaceChildren(
    ...tokens.map((token, position) => {
      const item = document.createElement("li");
      item.append(token);
      if (position > row) item.className = "soft";
      else {
        const share = strength(head(), row, position);
        item.className = "plus";
        item.style.setProperty("--v", share);
        const small = document.createElement("small");
        small.textContent = percent(share);
        item.append(small);
      }
      return item;
    }),
  );
}

function show() {
  document.getElementById("layer-at").value = layer.value;
  for (const [i, radio] of radios.entries()) drawHead(radio.parentElement.querySelector("canvas"), i);
  at.textContent = "";
  showChosen();
}

function showChosen() {
  drawMap();
  showRow();
}

/** Where on the map a pointer is. */
function pointed({ offsetX, offsetY }) {
  const shrunk = map.clientWidth / (left + count * cell);
  const [x, y] = [(offsetX / shrunk - left) / cell, (offsetY / shrunk - top) / cell].map(Math.floor);
  return { x, row: rows[y] };
}

layer.oninput = show;
from.onchange = showChosen;
for (const radio of radios) radio.onchange = showChosen;
map.onpointermove = (event) => {
  const { x, row } = pointed(event);
  at.textContent = x >= 0 && x <= row ? tokens[row] + " \u2192 " + tokens[x] + "  " + percent(strength(head(), row, x)) : "";
};
map.onclick = (event) => {
  const { row } = pointed(event);
  if (row === undefined) return;
  from.value = row;
  showChosen();
};
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
spoken = show;
speak(wanted);
// What came last is what was asked about.
for (const part of document.querySelectorAll(".scroll")) part.scrollLeft = part.scrollWidth;
`;
