/**
 * Query by key: one row for each token that looks, one column for each that is looked at, for one lane. It grows by a
 * row with each token; the pixels are kept one per cell, so that growing costs one row and showing it one copy.
 */

import { ARROWS } from './axis.js';
import { mix } from './heads.js';
import { ramp, shadeRow } from './scale.js';

/** @import { Trace } from './trace.js' */
/** @import { HeadColour } from './heads.js' */
/** @import { Scale } from './scale.js' */
/** @import { Axis } from './axis.js' */

const FIRST_SIZE = 64;

export class HeatMap {
    /**
     * @param {HTMLCanvasElement} canvas
     * @param {{ onPoint: (x: number, y: number, event: PointerEvent | null) => void,
     *     onPin: () => void, onMove: (rows: number, columns: number) => void }} events
     */
    constructor(canvas, { onPoint, onPin, onMove }) {
        this.canvas = canvas;
        this.cells = document.createElement('canvas');
        this.drawn = 0;
        this.key = '';
        /** @type {Trace | null} */
        this.trace = null;
        /** Of the lanes of a row. @type {Float32Array[]} */
        this.shades = [];
        /** CSS pixels. */
        this.height = 0;
        this.setSize(FIRST_SIZE);
        this.readColours();

        for (const type of /** @type {const} */ (['pointermove', 'pointerdown'])) {
            canvas.addEventListener(type, event => onPoint(event.offsetX, event.offsetY, event));
        }
        canvas.addEventListener('pointerleave', event => {
            if (event.pointerType === 'mouse') onPoint(-1, -1, null);
        });
        canvas.addEventListener('click', () => onPin());
        canvas.addEventListener('keydown', event => {
            const move = ARROWS[event.key];
            if (!move) return;
            event.preventDefault();
            onMove(...move);
        });
    }

    /** The page's colours, again after they changed. */
    readColours() {
        this.colours = ramp(this.canvas);
        /** The same, a pixel each. */
        this.palette = new Uint32Array(this.colours.buffer);
        const style = getComputedStyle(this.canvas);
        this.lineColour = style.getPropertyValue('--ink');
        this.drawn = 0;
    }

    measure() {
        this.height = this.canvas.clientHeight;
    }

    /** @param {number} size positions that there is room for */
    setSize(size) {
        Object.assign(this.cells, { width: size, height: size });
        this.drawn = 0;
    }

    /**
     * @param {Trace} trace
     * @param {number} lane
     * @param {Scale} scale
     * @param {Axis} axis
     * @param {{ q: number, k: number }} cross the inspected row and the pointed column, -1 for none
     * @param {HeadColour[] | null} coloured heads that are shown together, instead of the lane
     */
    draw(trace, lane, scale, axis, cross, coloured) {
        const { first, count } = axis;
        const lanes = coloured ? coloured.map(head => head.lane) : [lane];
        const key = `${trace.version} ${coloured !== null} ${lanes} ${scale.mode} ${scale.skipFirst} ${first}`;
        if (key !== this.key || trace !== this.trace) this.drawn = 0;
        this.key = key;
        this.trace = trace;
        if (count > this.cells.width) this.setSize(2 ** Math.ceil(Math.log2(count)));
        const { length } = trace.rows;
        this.shades.length = lanes.length;
        for (let i = 0; i < lanes.length; i++) if (!(this.shades[i]?.length >= length)) this.shades[i] = new Float32Array(2 * length);
        this.addRows(trace, lanes, scale, { first, count }, coloured);
        this.show(count, axis, { q: cross.q - first, k: cross.k - first });
    }

    /**
     * @param {Trace} trace
     * @param {number[]} lanes
     * @param {Scale} scale
     * @param {{ first: number, count: number }} window its first position, and its rows
     * @param {HeadColour[] | null} coloured
     */
    addRows(trace, lanes, scale, { first, count }, coloured) {
        const context = /** @type {CanvasRenderingContext2D} */ (this.cells.getContext('2d'));
        if (this.drawn === 0) context.clearRect(0, 0, this.cells.width, this.cells.height);
        const colours = /** @type {Uint8ClampedArray} */ (this.colours);
        const palette = /** @type {Uint32Array} */ (this.palette);
        for (let r = this.drawn; r < count; r++) {
            if (!trace.rows[first + r]) continue;
            lanes.forEach((lane, i) => shadeRow(trace, lane, first + r, scale, this.shades[i]));
            const image = context.createImageData(r + 1, 1);
            const pixels = new Uint32Array(image.data.buffer);
            for (let k = 0; k <= r; k++) {
                if (coloured) mix(coloured, this.shades, first + k, colours, image.data, k * 4);
                else pixels[k] = palette[Math.round(this.shades[0][first + k] * 255)];
            }
            context.putImageData(image, 0, r);
        }
        this.drawn = count;
    }

    /**
     * @param {number} rows
     * @param {Axis} axis
     * @param {{ q: number, k: number }} cross
     */
    show(rows, { width, cell, ratio }, { q, k }) {
        const { canvas } = this;
        const height = Math.max(1, Math.round(this.height * ratio));
        if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
        const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
        context.globalAlpha = 1;
        context.clearRect(0, 0, width, height);
        if (rows === 0) return;
        const fit = height / rows;
        this.cellHeight = Math.min(cell, fit >= 3 ? Math.floor(fit) : fit);
        context.imageSmoothingEnabled = this.cellHeight < 1;
        context.drawImage(this.cells, 0, 0, rows, rows, 0, 0, rows * cell, rows * this.cellHeight);

        context.strokeStyle = context.fillStyle = String(this.lineColour);
        context.lineWidth = ratio;
        context.globalAlpha = 0.7;
        const top = q * this.cellHeight - ratio / 2;
        const tall = this.cellHeight + ratio;
        if (q >= 0 && q < rows) context.strokeRect(-ratio, top, (q + 1) * cell + 1.5 * ratio, tall);
        if (k >= 0 && k <= q && q < rows) {
            context.strokeRect(k * cell - ratio / 2, top, cell + ratio, tall);
            context.fillRect(k * cell + (cell - ratio) / 2, k * this.cellHeight, ratio, (q - k) * this.cellHeight);
        }
    }

    /**
     * @param {number} y CSS pixels
     * @param {Axis} axis
     */
    rowAt(y, { first, ratio }) {
        return first + Math.floor(y * ratio / (this.cellHeight ?? 1));
    }

    /**
     * Where a row begins, in CSS pixels.
     * @param {number} q
     * @param {Axis} axis
     */
    rowY(q, { first, ratio }) {
        return (q - first) * (this.cellHeight ?? 1) / ratio;
    }

    /**
     * Where a column begins, in CSS pixels.
     * @param {number} k
     * @param {Axis} axis
     */
    columnX(k, { first, cell, ratio }) {
        return (k - first) * cell / ratio;
    }
}
