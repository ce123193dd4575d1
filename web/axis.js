/**
 * The axis that the lanes and the heat map share, in device pixels.
 * @typedef {object} Axis
 * @property {number} width
 * @property {number} cell width of one position
 * @property {number} ratio device pixels per CSS pixel
 */

const LARGEST_CELL = 16;
const SMALLEST_WHOLE_CELL = 3;

/**
 * Cells are whole pixels while they are large enough for it to matter, so that columns look alike; many small ones
 * divide the width as it comes.
 * @param {number} cssWidth
 * @param {number} positions
 * @param {number} ratio
 * @returns {Axis}
 */
export function makeAxis(cssWidth, positions, ratio) {
    const width = Math.max(1, Math.round(cssWidth * ratio));
    const cell = Math.min(width / Math.max(positions, 1), LARGEST_CELL * ratio);
    return { width, cell: cell >= SMALLEST_WHOLE_CELL ? Math.floor(cell) : cell, ratio };
}

/**
 * @param {Axis} axis
 * @param {number} x CSS pixels
 */
export function positionAt({ cell, ratio }, x) {
    return Math.floor(x * ratio / cell);
}
