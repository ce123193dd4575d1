/**
 * One lane per head, and one for their mean: how much the inspected token looked back at each position, as bars over
 * the same axis as the heat map below. The lanes are radio buttons: the chosen one tints the text. Or, with several heads in
 * colour, check boxes.
 */

import { css } from './heads.js';
import { shadeRow } from './scale.js';

/** @import { Trace } from './trace.js' */
/** @import { HeadColour } from './heads.js' */
/** @import { Scale } from './scale.js' */
/** @import { Axis } from './axis.js' */

const LANE_HEIGHT = 18;

export class LanesView {
    /**
     * @param {HTMLElement} element
     * @param {{ onChoose: (lane: number) => void,
     *     onPoint: (lane: number, x: number, event: PointerEvent | null) => void }} events
     */
    constructor(element, { onChoose, onPoint }) {
        this.element = element;
        this.events = { onChoose, onPoint };
        /** @type {HTMLCanvasElement[]} */
        this.canvases = [];
        /** @type {HTMLInputElement[]} */
        this.inputs = [];
        this.shades = new Float32Array(0);
        /** That the bars can have, in CSS pixels. */
        this.width = 0;
        this.colours = { bar: '', ink: '', rule: '' };
        this.readColours();
    }

    /** The page's colours, again after they changed. */
    readColours() {
        const style = getComputedStyle(this.element);
        this.colours = {
            bar: style.getPropertyValue('--accent'), ink: style.getPropertyValue('--ink'), rule: style.getPropertyValue('--rule')
        };
    }

    /**
     * @param {number} heads
     * @param {number} chosen lane
     * @param {Set<number> | null} coloured lanes, where several are shown together
     */
    setHeads(heads, chosen, coloured) {
        this.element.textContent = '';
        this.canvases = [];
        this.inputs = [];
        for (let lane = 0; lane <= heads; lane++) this.addLane(lane, coloured !== null);
        this.choose(chosen, coloured);
    }

    /**
     * @param {number} lane
     * @param {boolean} isColoured
     */
    addLane(lane, isColoured) {
        const label = document.createElement('label');
        const input = document.createElement('input');
        const name = document.createElement('span');
        const canvas = document.createElement('canvas');
        label.className = 'lane';
        Object.assign(input, { type: isColoured ? 'checkbox' : 'radio', name: 'lane', value: String(lane) });
        input.setAttribute('aria-label', lane > 0 ? `Head ${lane}` : isColoured ? 'All heads' : 'Mean of the heads');
        name.className = 'lane-name';
        name.textContent = lane > 0 ? String(lane) : isColoured ? 'all' : 'mean';
        input.addEventListener('change', () => this.events.onChoose(lane));
        for (const type of /** @type {const} */ (['pointermove', 'pointerdown'])) {
            canvas.addEventListener(type, event => this.events.onPoint(lane, event.offsetX, event));
        }
        // A finger leaves as soon as it is lifted: what it pointed at stays until something else is touched.
        canvas.addEventListener('pointerleave', event => {
            if (event.pointerType === 'mouse') this.events.onPoint(lane, -1, null);
        });
        label.append(input, name, canvas);
        this.element.append(label);
        this.canvases.push(canvas);
        this.inputs.push(input);
    }

    /**
     * @param {number} chosen
     * @param {Set<number> | null} coloured
     */
    choose(chosen, coloured) {
        this.inputs.forEach((input, lane) => {
            const isAll = coloured?.size === this.inputs.length - 1;
            input.checked = coloured ? coloured.has(lane) || (lane === 0 && isAll) : lane === chosen;
        });
    }

    measure() {
        this.width = this.canvases[0]?.clientWidth ?? 0;
    }

    /**
     * @param {Trace} trace
     * @param {number} q inspected position, -1 for none
     * @param {number} pointed position, -1 for none
     * @param {Scale} scale
     * @param {Axis} axis
     * @param {HeadColour[] | null} coloured
     */
    draw(trace, q, pointed, scale, axis, coloured) {
        if (this.shades.length <= q) this.shades = new Float32Array(2 * (q + 1));
        this.canvases.forEach((canvas, lane) => {
            const colour = coloured?.find(head => head.lane === lane)?.colour;
            const { bar, ink, rule } = this.colours;
            const colours = { ink, rule, bar: colour ? css(colour) : !coloured ? bar : lane === 0 ? ink : rule };
            const known = q >= 0 && trace.rows[q] !== undefined;
            if (known) shadeRow(trace, lane, q, scale, this.shades);
            drawLane(canvas, this.shades.subarray(axis.first, known ? q + 1 : axis.first), pointed - axis.first, axis, colours);
        });
    }
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} shades
 * @param {number} pointed
 * @param {Axis} axis
 * @param {{ bar: string, ink: string, rule: string }} colours
 */
function drawLane(canvas, shades, pointed, { width, cell, ratio }, colours) {
    const height = LANE_HEIGHT * ratio;
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    context.clearRect(0, 0, width, height);
    context.fillStyle = colours.rule;
    context.fillRect(0, height - ratio, shades.length * cell, ratio);
    const gap = cell >= 4 * ratio ? ratio : 0;
    for (let k = 0; k < shades.length && k * cell < width; k++) {
        const bar = shades[k] * height;
        if (bar < ratio / 2 && k !== pointed) continue;
        context.fillStyle = k === pointed ? colours.ink : colours.bar;
        context.fillRect(k * cell, height - Math.max(bar, ratio), Math.max(cell - gap, 1), Math.max(bar, ratio));
    }
}
