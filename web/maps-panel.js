/**
 * All heads of all layers as thumbnails over the last positions of the text: a row for each layer, a column for each head.
 * One that is clicked opens in the lanes and the heat map.
 */

import { ARROWS } from './axis.js';
import { find } from './find.js';
import { ramp } from './scale.js';

/** @import { App } from './app.js' */

const GAP = 3;
const LARGEST = 80;
/** Of all of them, as long as none is lower than the lowest. */
const TALLEST = 720;
const LOWEST = 14;

export class MapsPanel {
    /**
     * @param {App} app
     * @param {(layer: number, lane: number) => void} onChoose
     */
    constructor(app, onChoose) {
        this.app = app;
        this.onChoose = onChoose;
        this.button = /** @type {HTMLButtonElement} */ (find('show-maps'));
        this.text = find('maps-text');
        this.canvas = /** @type {HTMLCanvasElement} */ (find('maps'));
        /** Pictures by layer and head. @type {{ size: number, weights: Float32Array[] }[]} */
        this.layers = [];
        /** The text that they are of. @type {import('./trace.js').Trace | null} */
        this.trace = null;
        this.cursor = { layer: 0, head: 0 };
        this.button.addEventListener('click', () => this.ask());
        this.canvas.addEventListener('click', event => {
            const { size } = this;
            this.choose(Math.floor(event.offsetY / (size + GAP)), Math.floor(event.offsetX / (size + GAP)));
        });
        this.canvas.addEventListener('keydown', event => this.onKey(event));
        app.addEventListener('model', () => this.clear());
        app.addEventListener('text', () => app.trace !== this.trace && this.clear());
        app.addEventListener('state', () => {
            this.button.disabled = app.state !== 'ready';
            if (app.state === 'writing') this.clear();
        });
        new ResizeObserver(() => this.draw()).observe(this.canvas);
        matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    }

    get heads() {
        return this.app.model?.heads ?? 1;
    }

    /** CSS pixels of one. */
    get size() {
        const fit = Math.floor((this.canvas.clientWidth + GAP) / this.heads) - GAP;
        const low = Math.floor(TALLEST / (this.app.model?.layers ?? 1)) - GAP;
        return Math.max(1, Math.min(LARGEST, fit, Math.max(LOWEST, low)));
    }

    clear() {
        this.layers = [];
        this.canvas.hidden = true;
        this.text.textContent = '';
    }

    async ask() {
        const { app } = this;
        if (!app.text || app.text.trace.rows.length < 2) {
            this.text.textContent = 'Write something first.';
            return;
        }
        this.clear();
        this.trace = app.text.trace;
        this.canvas.hidden = false;
        const add = (/** @type {any} */ report) => {
            if (report?.type !== 'map') return;
            this.layers[report.layer] = report;
            this.text.textContent = !report.isLast ? `Layer ${report.layer + 1} of ${report.layers}`
                : `The last ${report.size} tokens; a row for each layer, a column for each head. Click one to look closer.`;
            this.draw();
        };
        add(await app.look({ type: 'maps', branch: app.text.id, ids: app.text.trace.readIds }, add));
    }

    draw() {
        const { canvas, layers, size, heads } = this;
        if (canvas.hidden || layers.length === 0) return;
        const ratio = devicePixelRatio;
        const step = (size + GAP) * ratio;
        const height = (this.app.model?.layers ?? 1) * (size + GAP);
        canvas.style.height = `${height}px`;
        Object.assign(canvas, { width: Math.round(canvas.clientWidth * ratio), height: Math.round(height * ratio) });
        const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
        const colours = ramp(canvas);
        const cells = document.createElement('canvas');
        layers.forEach(({ size: count, weights }, layer) => {
            for (let head = 0; head < heads; head++) {
                paint(cells, weights[head], count, colours);
                context.imageSmoothingEnabled = count > size * ratio;
                context.drawImage(cells, head * step, layer * step, size * ratio, size * ratio);
            }
        });
        const { layer, inspector: { lane } } = this.app;
        const style = getComputedStyle(canvas);
        if (lane > 0) frame(context, lane - 1, layer, step, size * ratio, style.getPropertyValue('--accent'), 2 * ratio);
        if (document.activeElement === canvas) {
            frame(context, this.cursor.head, this.cursor.layer, step, size * ratio, style.getPropertyValue('--ink'), 2 * ratio);
        }
    }

    /** @param {number} layer @param {number} head */
    choose(layer, head) {
        if (!this.layers[layer] || head >= this.heads) return;
        this.cursor = { layer, head };
        this.onChoose(layer, head + 1);
        this.draw();
    }

    /** @param {KeyboardEvent} event */
    onKey(event) {
        const { cursor } = this;
        if (event.key === 'Enter' || event.key === ' ') {
            event.preventDefault();
            this.choose(cursor.layer, cursor.head);
        } else if (ARROWS[event.key]) {
            event.preventDefault();
            const [down, right] = ARROWS[event.key];
            cursor.layer = Math.min(this.layers.length - 1, Math.max(0, cursor.layer + down));
            cursor.head = Math.min(this.heads - 1, Math.max(0, cursor.head + right));
            this.app.say(`Layer ${cursor.layer + 1}, head ${cursor.head + 1}`);
            this.draw();
        }
    }
}

/**
 * One head, each row as shares of its largest weight.
 * @param {HTMLCanvasElement} cells
 * @param {Float32Array} weights [count][count]
 * @param {number} count
 * @param {Uint8ClampedArray} colours
 */
function paint(cells, weights, count, colours) {
    Object.assign(cells, { width: count, height: count });
    const context = /** @type {CanvasRenderingContext2D} */ (cells.getContext('2d'));
    const image = context.createImageData(count, count);
    const pixels = new Uint32Array(image.data.buffer);
    const palette = new Uint32Array(colours.buffer);
    for (let q = 0; q < count; q++) {
        const row = weights.subarray(q * count, q * count + q + 1);
        const most = row.reduce((a, b) => Math.max(a, b), 0) || 1;
        row.forEach((weight, k) => {
            pixels[q * count + k] = palette[Math.round(weight / most * 255)];
        });
    }
    context.putImageData(image, 0, 0);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} column
 * @param {number} row
 * @param {number} step
 * @param {number} size
 * @param {string} colour
 * @param {number} width
 */
function frame(context, column, row, step, size, colour, width) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.strokeRect(column * step + width / 2, row * step + width / 2, size - width, size - width);
}
