/**
 * From attention weights to shades. Weights of one row sum to 1, and much of that often rests on the first token, a
 * place to look when there is nothing to look at; on a linear scale everything else then disappears.
 *
 * - row: the weight as a share of the largest one in its row
 * - root: its square root, which lifts small weights (0.04 is shown as 0.2)
 * - linear: the weight itself
 * Without the first token, weights are shares of what the other tokens get.
 */

/** @import { Trace } from './trace.js' */
/** @typedef {{ mode: 'linear' | 'root' | 'row', skipFirst: boolean }} Scale */

/**
 * The shades of one row and lane, written into `out[0..q]`, each 0..1.
 * @param {Trace} trace
 * @param {number} lane
 * @param {number} q a position that has a row
 * @param {Scale} scale
 * @param {Float32Array} out
 */
export function shadeRow(trace, lane, q, { mode, skipFirst }, out) {
    const row = /** @type {Float32Array} */ (trace.rows[q]);
    const base = lane * (q + 1);
    const first = skipFirst ? 1 : 0;
    let sum = 0;
    let most = 0;
    for (let k = first; k <= q; k++) {
        sum += row[base + k];
        most = Math.max(most, row[base + k]);
    }
    const unit = (mode === 'row' ? most : sum) || 1;
    out[0] = 0;
    for (let k = first; k <= q; k++) {
        const share = Math.min(1, row[base + k] / unit);
        out[k] = mode === 'root' ? Math.sqrt(share) : share;
    }
}

/**
 * How much each later position looked at one, written into `out[k..]`, each 0..1; 0 where that is not known.
 * @param {Trace} trace
 * @param {number} lane
 * @param {number} k
 * @param {Scale} scale
 * @param {Float32Array} out as long as the text
 */
export function shadeColumn(trace, lane, k, { mode }, out) {
    let most = 0;
    for (let q = k; q < trace.rows.length; q++) most = Math.max(most, out[q] = trace.weight(lane, q, k) ?? 0);
    for (let q = k; q < trace.rows.length; q++) {
        out[q] = mode === 'linear' ? out[q] : mode === 'root' ? Math.sqrt(out[q]) : out[q] / (most || 1);
    }
}

/**
 * What a shade stands for, as the legend's label.
 * @param {number} shade 0..1
 * @param {Scale} scale
 */
export function meaning(shade, { mode }) {
    if (mode === 'row') return shade === 1 ? 'row’s largest' : shade === 0 ? '0' : `${Math.round(shade * 100)}%`;
    return percent(mode === 'root' ? shade * shade : shade);
}

/**
 * A share as text, with as many digits as it deserves.
 * @param {number} share 0..1
 */
export function percent(share) {
    const value = share * 100;
    if (value === 0) return '0%';
    if (value < 0.01) return '< 0.01%';
    return `${value < 0.995 ? value.toFixed(2) : value < 9.95 ? value.toFixed(1) : value.toFixed(0)}%`;
}

/** How far something is, in as few figures as may be read out. @param {number} share 0..1 */
export function tenths(share) {
    return `${10 * Math.floor(10 * share)}%`;
}

/**
 * A ramp of 256 colours through the page's own: no attention, accent, all of it. RGBA bytes.
 * @param {Element} element
 */
export function ramp(element) {
    const style = getComputedStyle(element);
    const stops = ['--heat-0', '--heat-1', '--heat-2'].map(name => parseHex(style.getPropertyValue(name)));
    const colours = new Uint8ClampedArray(256 * 4);
    for (let i = 0; i < 256; i++) {
        const at = i / 255 * (stops.length - 1);
        const below = Math.min(Math.floor(at), stops.length - 2);
        for (let c = 0; c < 3; c++) {
            const [from, to] = [stops[below][c], stops[below + 1][c]];
            colours[i * 4 + c] = from + (to - from) * (at - below);
        }
        colours[i * 4 + 3] = 255;
    }
    return colours;
}

/** @param {string} hex '#rrggbb' */
function parseHex(hex) {
    const value = Number.parseInt(hex.trim().slice(1), 16);
    return [value >> 16, value >> 8 & 255, value & 255];
}
