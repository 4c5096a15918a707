/** Values of several series at the same places. */
export type Plot = { title: string; unit: string; places: string[]; series: { name: string; values: number[] }[] };

const [WIDTH, HEIGHT, LEFT, TOP, BOTTOM] = [640, 320, 56, 56, 40];
const COLOURS = ['#2563eb', '#ea580c', '#16a34a', '#9333ea'];

/** Draws bars, side by side for each place, as SVG. */
export function toSvg({ title, unit, places, series }: Plot): string {
  const highest = niceCeiling(Math.max(...series.flatMap(({ values }) => values)));
  const [width, height] = [WIDTH - LEFT - 16, HEIGHT - TOP - BOTTOM];
  const y = (value: number) => TOP + height - (value / highest) * height;
  const group = width / places.length;
  const bar = (group * 0.7) / series.length;

  const grid = [0, 0.25, 0.5, 0.75, 1].map(part => {
    const at = y(highest * part);
    return `<line x1="${LEFT}" x2="${WIDTH - 16}" y1="${at}" y2="${at}" stroke="#d4d4d8"/>${text(LEFT - 8, at + 4, `${highest * part}`, 'end')}`;
  });
  const bars = places.flatMap((place, i) => [
    text(LEFT + group * (i + 0.5), HEIGHT - 16, place, 'middle'),
    ...series.map(({ values }, j) => {
      const value = values[i] ?? 0;
      const x = LEFT + group * (i + 0.15) + bar * j;
      const shape = `<rect x="${x}" y="${y(value)}" width="${bar - 2}" height="${(value / highest) * height}" fill="${COLOURS[j]}"/>`;
      return shape + text(x + bar / 2, y(value) - 4, String(value), 'middle');
    }),
  ]);
  const legend = series.map(({ name }, j) => {
    const x = LEFT + j * 150;
    return `<rect x="${x}" y="34" width="10" height="10" fill="${COLOURS[j]}"/>${text(x + 16, 43, name, 'start')}`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="11">
<title>${title} (${unit})</title>
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<text x="${LEFT}" y="22" font-size="14">${title} (${unit})</text>
${[...legend, ...grid, ...bars].join('\n')}
</svg>
`;
}

function text(x: number, y: number, content: string, anchor: 'start' | 'middle' | 'end'): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="#3f3f46">${content}</text>`;
}

/** The next of 1, 2, 4 or 8 times a power of ten, so that quarters of it are short numbers. */
function niceCeiling(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 4, 8, 10].find(factor => factor * power >= value) as number) * power;
}
