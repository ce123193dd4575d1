/**
 * The axis that the lanes and the heat map share, in device pixels. It shows a window of a long text.
 * @typedef {object} Axis
 * @property {number} first position that is shown
 * @property {number} count positions that are shown
 * @property {number} width
 * @property {number} cell width of one position
 * @property {number} ratio device pixels per CSS pixel
 */

/** Cells down and to the right, by key. @type {Record<string, [down: number, right: number]>} */
export const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const LARGEST_CELL = 16;
const SMALLEST_WHOLE_CELL = 3;
/** Positions that a window shows; it moves in steps, so that what is drawn can stay for a while. */
const WINDOW = 576;
const STEP = 64;

/**
 * Cells are whole pixels while they are large enough for it to matter, so that columns look alike; many small ones
 * divide the width as it comes.
 * @param {number} cssWidth
 * @param {number} positions of the text
 * @param {number} shown a position that has to be seen, -1 for none: the newest
 * @param {number} ratio
 * @returns {Axis}
 */
export function makeAxis(cssWidth, positions, shown, ratio) {
    const newest = Math.max(0, Math.ceil((positions - WINDOW) / STEP) * STEP);
    const first = shown >= 0 ? Math.min(newest, Math.floor(shown / STEP) * STEP) : newest;
    const count = Math.min(positions - first, WINDOW);
    const width = Math.max(1, Math.round(cssWidth * ratio));
    const cell = Math.min(width / Math.max(count, 1), LARGEST_CELL * ratio);
    return { first, count, width, cell: cell >= SMALLEST_WHOLE_CELL ? Math.floor(cell) : cell, ratio };
}

/**
 * @param {Axis} axis
 * @param {number} x CSS pixels
 */
export function positionAt({ first, cell, ratio }, x) {
    return first + Math.floor(x * ratio / cell);
}
