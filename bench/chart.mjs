// Draws the bench's ratios as a bar chart (SVG): llama.cpp is 1, a bar is how many times faster grok1 is.

const escapeXml = (text) =>
  text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

/** @param rows as bench/run.mjs collects them. Colours hold on a light and on a dark page. */
export function drawChart(rows) {
  const bars = rows.flatMap(({ title, prefill, ours, theirs }) => [
    {
      label: `${title}: prefill ${prefill}`,
      ratio: ours.prefillTokensPerSecond / theirs.prefillTokensPerSecond,
      fill: "#2f7ed8",
    },
    { label: `${title}: decode`, ratio: ours.decodeTokensPerSecond / theirs.decodeTokensPerSecond, fill: "#1aa179" },
  ]);
  const [left, right, step, top] = [400, 90, 26, 34];
  const width = 900;
  const height = top + bars.length * step + 16;
  const scale = (width - left - right) / Math.max(2, ...bars.map(({ ratio }) => ratio));
  const one = left + scale;
  const marks = bars.map(({ label, ratio, fill }, i) => {
    const y = top + i * step;
    return `<text x="${left - 8}" y="${y + 15}" text-anchor="end">${escapeXml(label)}</text><rect x="${left}" y="${y + 3}" width="${(ratio * scale).toFixed(1)}" height="${step - 8}" rx="2" fill="${fill}"/><text x="${(left + ratio * scale + 6).toFixed(1)}" y="${y + 15}">${ratio.toFixed(2)} x</text>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="13" fill="#808890">
<title>Tokens per second, grok1 relative to llama.cpp on the same machine and file</title>
<text x="${one}" y="18" text-anchor="middle">llama.cpp = 1</text>
${marks.join("\n")}
<line x1="${one}" x2="${one}" y1="24" y2="${height - 8}" stroke="#d0556a" stroke-dasharray="4 3"/>
</svg>
`;
}
