// The figure that the README shows: roofline, time per token, memory. Colours follow the reader's light or dark scheme.

import { caseBytes, caseFlops, decodeCase, prefillCase } from '../../../web/bench/problem.js';

/** @typedef {Awaited<ReturnType<typeof import('../parts/growth.js').run>>['data']} Growth */
/** @typedef {{ x: [number, number], y: [number, number] }} Range */

const WIDTH = 960;
const HEIGHT = 400;
const PLOT = { width: 236, height: 250, top: 84 };
const LEFTS = [62, 388, 708];
/** Longer caches read from slower memory: theirs would be other rooflines. */
const ROOFLINE_LENGTHS = [64, 1024, 4096];

const STYLE = `
text { font: 12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', sans-serif; }
text { fill: #6a6359; }
.title { font-size: 15px; font-weight: 600; fill: #221e19; }
.grid { stroke: #dcd5c7; stroke-width: 1; fill: none; }
.limit { stroke: #6a6359; stroke-width: 1.5; stroke-dasharray: 5 4; fill: none; }
.ours { stroke: #b23a1e; fill: #b23a1e; } .peer { stroke: #2d6e8e; fill: #2d6e8e; }
.soft { stroke: #6a6359; fill: #6a6359; }
path.ours, path.peer { fill: none; stroke-width: 2; } path.two { stroke-dasharray: 2 3; }
circle { stroke-width: 1.5; } circle.two, circle.peer { fill: #fbf9f4; }
.paper { fill: #fbf9f4; }
text.ours, text.peer, text.soft { stroke: none; }
@media (prefers-color-scheme: dark) {
text { fill: #a69d8f; } .title { fill: #ece5d9; } .grid { stroke: #3a342d; } .limit { stroke: #a69d8f; }
.ours { stroke: #ff8e66; fill: #ff8e66; } .peer { stroke: #74b6d6; fill: #74b6d6; }
.soft { stroke: #a69d8f; fill: #a69d8f; }
path.ours, path.peer { fill: none; } .paper { fill: #171512; } circle.two, circle.peer { fill: #171512; }
}`;

/** @param {number} value */
const round = (value) => Math.round(value * 10) / 10;
/** Powers of `base` within a range. @param {[number, number]} range @param {number} base */
const powers = ([low, high], base) => {
    const first = Math.ceil(Math.log(low) / Math.log(base) - 1e-9);
    const last = Math.floor(Math.log(high) / Math.log(base) + 1e-9);
    return Array.from({ length: last - first + 1 }, (_, i) => base ** (first + i));
};
/** @param {number} value */
const short = (value) => (value >= 1024 && value % 1024 === 0 ? `${value / 1024}k` : String(value));

/** Two logarithmic axes at a place of the picture. */
class Chart {
    /**
     * @param {number} left @param {string} title @param {string} xTitle @param {string} yTitle
     * @param {Range} range @param {{ x: number[], y: number[] }} ticks
     */
    constructor(left, title, xTitle, yTitle, range, ticks) {
        this.left = left;
        this.range = range;
        const bottom = PLOT.top + PLOT.height;
        this.parts = [
            `<text class="title" x="${left}" y="${PLOT.top - 30}">${title}</text>`,
            `<text x="${left}" y="${PLOT.top - 11}">${yTitle}</text>`,
            `<text x="${left + PLOT.width}" y="${bottom + 36}" text-anchor="end">${xTitle}</text>`,
            ...ticks.y.map(
                (y) =>
                    `<path class="grid" d="M${left} ${this.y(y)}h${PLOT.width}"/>` +
                    `<text x="${left - 7}" y="${this.y(y) + 4}" text-anchor="end">${y}</text>`,
            ),
            ...ticks.x.map(
                (x) =>
                    `<path class="grid" d="M${this.x(x)} ${bottom}v4"/>` +
                    `<text x="${this.x(x)}" y="${bottom + 18}" text-anchor="middle">${short(x)}</text>`,
            ),
        ];
    }

    /** @param {number} value */
    x(value) {
        const [low, high] = this.range.x;
        return round(this.left + (Math.log(value / low) / Math.log(high / low)) * PLOT.width);
    }

    /** @param {number} value */
    y(value) {
        const [low, high] = this.range.y;
        return round(PLOT.top + PLOT.height - (Math.log(value / low) / Math.log(high / low)) * PLOT.height);
    }

    /** @param {number[][]} points @param {string} name class @param {boolean} [marks] @param {boolean} [line] */
    series(points, name, marks = true, line = true) {
        const at = points.map(([x, y]) => [this.x(x), this.y(y)]);
        if (line) this.parts.push(`<path class="${name}" d="M${at.map((point) => point.join(' ')).join('L')}"/>`);
        if (marks) this.parts.push(...at.map(([x, y]) => `<circle class="${name}" cx="${x}" cy="${y}" r="3"/>`));
    }

    /**
     * @param {number} x
     * @param {number} y
     * @param {string} text
     * @param {string} name
     * @param {string} [anchor]
     * @param {number[]} [shift]
     */
    label(x, y, text, name, anchor = 'start', [dx, dy] = [0, 0]) {
        this.parts.push(
            `<text class="${name}" x="${this.x(x) + dx}" y="${this.y(y) + dy}" text-anchor="${anchor}">${text}</text>`,
        );
    }
}

/** @param {Growth} growth @returns {string} */
export function draw(growth) {
    const charts = [roofline(growth), timePerToken(growth), memoryPerPrompt(growth)];
    return [
        `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img"`,
        'aria-label="Roofline, time per token, memory">',
        `<style>${STYLE}</style>`,
        `<rect class="paper" width="${WIDTH}" height="${HEIGHT}" rx="8"/>`,
        legend(Boolean(Object.values(growth.decode)[0].peer)),
        ...charts.flatMap((chart) => chart.parts),
        '</svg>',
        '',
    ].join('\n');
}

/** @param {boolean} peer */
function legend(peer) {
    const entries = [
        ['ours', 'cached-attention, 1 thread'],
        ['ours two', '2 threads'],
        ...(peer ? [['peer', 'onnxruntime-web, 1 thread']] : []),
        ['limit', 'limit measured in the same run'],
    ];
    let x = LEFTS[0];
    return entries
        .map(([name, text]) => {
            const dot = name === 'limit' ? '' : `<circle class="${name}" cx="${x + 11}" cy="24" r="3"/>`;
            const mark = `<path class="${name}" d="M${x} 24h22"/>${dot}`;
            const entry = `${mark}<text x="${x + 29}" y="28">${text}</text>`;
            x += 29 + text.length * 6.6 + 26;
            return entry;
        })
        .join('');
}

/** GFLOP/s over FLOP per byte that must be read. @param {Growth} growth */
function roofline({ decode, prefill }) {
    const cases = [
        ...ROOFLINE_LENGTHS.map((s) => ({ c: decodeCase(s), point: decode[s] })),
        ...Object.entries(prefill).map(([t, point]) => ({ c: prefillCase(Number(t)), point })),
    ];
    /** @param {typeof cases[0]['c']} c @param {number} ms @returns {[number, number]} */
    const at = (c, ms) => [
        caseFlops(c) / caseBytes(c),
        caseFlops(c) / ms / 1e6,
    ];
    const peak = Math.max(...Object.values(prefill).map(({ rate }) => rate)) / 1e9;
    const bandwidth = decode[1024].rate / 1e9;
    const range = /** @type {Range} */ ({ x: [0.25, 1024], y: [0.5, 128] });
    const chart = new Chart(LEFTS[0], 'Roofline', 'FLOP per byte read', 'GFLOP/s', range, {
        x: powers(range.x, 4),
        y: powers(range.y, 2),
    });
    chart.series(
        [
            [range.x[0], Math.max(range.y[0], bandwidth * range.x[0])],
            [peak / bandwidth, peak],
            [range.x[1], peak],
        ],
        'limit',
        false,
    );
    chart.label(
        range.x[1],
        range.y[1],
        `limit ${peak.toFixed(0)}, ${bandwidth.toFixed(0)} GB/s`,
        'soft',
        'end',
        [0, -11],
    );
    chart.series(
        cases.filter(({ point }) => point.peer).map(({ c, point }) => at(c, /** @type {number} */ (point.peer))),
        'peer',
        true,
        false,
    );
    chart.series(
        cases.map(({ c, point }) => at(c, point.ours2)),
        'ours two',
        true,
        false,
    );
    chart.series(
        cases.map(({ c, point }) => at(c, point.ours)),
        'ours',
        true,
        false,
    );
    const middle = decodeCase(1024);
    chart.label(...at(middle, decode[1024].ours), 'decode', 'ours', 'start', [10, 12]);
    const last = prefillCase(512);
    chart.label(...at(last, prefill[512].ours), 'prefill', 'ours', 'middle', [0, 22]);
    return chart;
}

/** ms over S. @param {Growth} growth */
function timePerToken({ decode }) {
    const lengths = Object.keys(decode).map(Number);
    const range = /** @type {Range} */ ({ x: [64, 32768], y: [0.125, 64] });
    const chart = new Chart(LEFTS[1], 'One decoded token', 'positions in the cache', 'ms', range, {
        x: powers(range.x, 8).concat(),
        y: powers(range.y, 2),
    });
    chart.series(
        lengths.map((s) => [s, decode[s].limit]),
        'limit',
        false,
    );
    chart.series(
        lengths.filter((s) => decode[s].peer).map((s) => [s, /** @type {number} */ (decode[s].peer)]),
        'peer',
    );
    chart.series(
        lengths.map((s) => [s, decode[s].ours2]),
        'ours two',
    );
    chart.series(
        lengths.map((s) => [s, decode[s].ours]),
        'ours',
    );
    return chart;
}

/** MB over T, with what T x T scores of every head would take. @param {Growth} growth */
function memoryPerPrompt({ memory }) {
    const prompts = Object.keys(memory.prefill).map(Number);
    const range = /** @type {Range} */ ({ x: [256, 4096], y: [1, 1024] });
    const chart = new Chart(LEFTS[2], 'Memory of a prefill', 'tokens in the prompt', 'MB', range, {
        x: powers(range.x, 2),
        y: powers(range.y, 4),
    });
    const scores = prompts.map((t) => [t, (12 * t * t * 4) / 1e6]);
    chart.series(scores, 'limit', false);
    chart.label(scores[2][0], scores[2][1], 'T x T scores', 'soft', 'end', [-8, -4]);
    chart.series(
        prompts.map((t) => [t, memory.prefill[t] / 1e6]),
        'ours',
    );
    return chart;
}
