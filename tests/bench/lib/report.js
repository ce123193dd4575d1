// Text tables, and the list of what must be reached.

/** @typedef {{ must: number, what: string, ran: string, bar: string, figure: string, pass: boolean }} Must */

/** @param {(string | number)[][]} rows the first is the header; all columns but the first are right-aligned */
export function table(rows) {
    const cells = rows.map((row) => row.map(String));
    const widths = cells[0].map((_, i) => Math.max(...cells.map((row) => (row[i] ?? '').length)));
    const line = (/** @type {string[]} */ row) =>
        `  ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join('  ')}`.trimEnd();
    return [
        line(cells[0]),
        `  ${widths.map((width) => '-'.repeat(width)).join('  ')}`,
        ...cells.slice(1).map(line),
    ].join('\n');
}

/** @param {Must[]} musts */
export function mustTable(musts) {
    const rows = musts.map(({ must, what, ran, bar, figure, pass }) => [
        `${must}. ${what}`,
        ran,
        bar,
        figure,
        pass ? 'pass' : 'MISS',
    ]);
    return table([['must', 'ran', 'bar', 'figure', ''], ...rows]);
}

/**
 * A figure that has to be at least `bar`.
 * @param {number} must
 * @param {string} what
 * @param {string} ran
 * @param {number} figure
 * @param {number} bar
 * @param {(value: number) => string} [format]
 * @returns {Must}
 */
export function atLeast(must, what, ran, figure, bar, format = times) {
    return { must, what, ran, bar: `>= ${format(bar)}`, figure: format(figure), pass: figure >= bar };
}

/**
 * A figure that has to stay at or below `bar`.
 * @param {number} must
 * @param {string} what
 * @param {string} ran
 * @param {number} figure
 * @param {number} bar
 * @param {(value: number) => string} [format]
 * @returns {Must}
 */
export function atMost(must, what, ran, figure, bar, format = number) {
    return { must, what, ran, bar: `<= ${format(bar)}`, figure: format(figure), pass: figure <= bar };
}

/** Three digits that mean something. @param {number} value */
export function number(value) {
    if (!Number.isFinite(value)) return String(value);
    if (Math.abs(value) >= 100) return value.toFixed(0);
    return Math.abs(value) >= 10
        ? value.toFixed(1)
        : Math.abs(value) >= 0.1 || value === 0
          ? value.toFixed(2)
          : value.toFixed(3);
}
export const times = (/** @type {number} */ value) => `${value.toFixed(2)}x`;
export const percent = (/** @type {number} */ value) => `${(100 * value).toFixed(0)}%`;
export const gflops = (/** @type {number} */ value) => `${number(value / 1e9)} GFLOP/s`;
export const gbytes = (/** @type {number} */ value) => `${number(value / 1e9)} GB/s`;
export const megabytes = (/** @type {number} */ value) => `${(value / 1e6).toFixed(1)} MB`;

/** 'median (p10-p90)'. @param {{ median: number, p10: number, p90: number }} figure */
export const withSpread = ({ median, p10, p90 }) => `${number(median)} (${number(p10)}-${number(p90)})`;
