// A bar of what has been loaded, as wide as the terminal.

/** Where the bar would be shorter, the total is left out. */
const MIN_BAR = 10;
const CLEAR = '\r\x1b[K';

/** @param {number} bytes @returns {string} */
export function size(bytes) {
    const unit = ['B', 'kB', 'MB', 'GB', 'TB'].findIndex((_, i) => bytes < 999.95 * 1000 ** i || i === 4);
    return unit === 0 ? `${bytes} B` : `${(bytes / 1000 ** unit).toFixed(1)} ${['', 'kB', 'MB', 'GB', 'TB'][unit]}`;
}

/**
 * @param {{ loaded: number, total: number }} progress in bytes; the total may be 0 where nobody knows it
 * @param {number} columns
 * @returns {string} exactly so wide, or less where there is no bar to draw
 */
export function progressLine({ loaded, total }, columns) {
    const known = Number.isFinite(total) && total > 0;
    const share = known ? Math.min(1, Math.max(0, loaded / total)) : 0;
    if (!known) return size(loaded).slice(0, columns);
    // Of one width from beginning to end, so that the bar has one too.
    const percent = ` ${String(Math.floor(share * 100)).padStart(3)}%`;
    const full = `${percent} of ${size(total)}`;
    const numbers = columns - full.length - 2 < MIN_BAR ? percent : full;
    const room = columns - numbers.length - 2;
    if (room < 1) return percent.trim().slice(0, columns);
    const done = Math.floor(share * room);
    return `[${'#'.repeat(done)}${' '.repeat(room - done)}]${numbers}`;
}

/**
 * @param {{ isTTY?: boolean, columns?: number, write(text: string): unknown }} stream
 * @returns {{ show: (progress: { loaded: number, total: number }) => void, clear: () => void }} draws on a terminal
 *   only; its width is asked anew each time
 */
export function progressBar(stream) {
    let drawn = '';
    const clear = () => {
        if (drawn !== '') stream.write(CLEAR);
        drawn = '';
    };
    const show = (/** @type {{ loaded: number, total: number }} */ progress) => {
        if (!stream.isTTY) return;
        const line = progressLine(progress, stream.columns || 80);
        if (line === drawn) return;
        stream.write(`\r${line.length < drawn.length ? '\x1b[K' : ''}${line}`);
        drawn = line;
    };
    return { show, clear };
}
