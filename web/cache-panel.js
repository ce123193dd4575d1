/**
 * The cache, seen: a strip for each layer that fills with what was read, the part that a branch shares with others, and
 * what each token costs, with the cache and without.
 */

import { find } from './find.js';
import { bytes } from './meters.js';

/** @import { App } from './app.js' */
/** @import { Trace } from './trace.js' */

/** CSS pixels of a layer's strip, smaller where there are many. */
const STRIP = 5;
const TALLEST = 100;
const MOST_STRIPS = 48;
const COSTS_HEIGHT = 90;
const REFRESH_MS = 150;

export class CachePanel {
    /** @param {App} app */
    constructor(app) {
        this.app = app;
        this.strip = /** @type {HTMLCanvasElement} */ (find('cache-strip'));
        this.text = find('cache-text');
        this.costs = /** @type {HTMLCanvasElement} */ (find('costs'));
        this.costsText = find('costs-text');
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.timer = undefined;
        find('cold').addEventListener('change', ({ target }) => {
            app.isCold = /** @type {HTMLInputElement} */ (target).checked;
            this.invalidate();
        });
        for (const type of ['text', 'model', 'end']) app.addEventListener(type, () => this.invalidate());
        new ResizeObserver(() => this.invalidate()).observe(this.strip);
        matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.invalidate());
    }

    /** Drawn soon, and not for every token. */
    invalidate() {
        this.timer ??= setTimeout(() => {
            this.timer = undefined;
            this.draw();
        }, REFRESH_MS);
    }

    draw() {
        const { model, trace } = this.app;
        if (!model || !trace) return;
        const held = trace.rows.length;
        this.drawStrip(held, trace);
        const { layers, keyValueHeads: heads, cacheBytesPerToken: each } = model;
        const room = model.contextLength.toLocaleString('en');
        const why = `Each token is read once: its keys and values (${heads} ${heads === 1 ? 'head' : 'heads'} in ${layers} layers, ` +
            `${bytes(each)}) stay here.`;
        this.text.textContent = held === 0 ? `${why} There is room for ${room} tokens.`
            : `${why} Now ${held.toLocaleString('en')} of ${room} tokens, ${bytes(held * each)}: the prompt is grey, the rest was ` +
                `written.${sharedText(this.app.text)}`;
        this.drawCosts(trace);
    }

    /**
     * @param {number} held
     * @param {Trace} trace
     */
    drawStrip(held, trace) {
        const { strip, app: { model, text } } = this;
        const layers = Math.min(model?.layers ?? 1, MOST_STRIPS);
        const step = Math.max(2, Math.min(STRIP + 1, Math.floor(TALLEST / layers)));
        const { context, width, ratio, colours } = prepare(strip, layers * step);
        const span = Math.max(1, Math.min(model?.contextLength ?? 1, Math.max(512, 2 ** Math.ceil(Math.log2(held + 1)))));
        const x = (/** @type {number} */ position) => Math.round(position / span * width);
        const shared = /** @type {any} */ (text)?.parent ? /** @type {any} */ (text).at : 0;
        for (let layer = 0; layer < layers; layer++) {
            const y = layer * step * ratio;
            const part = (/** @type {number} */ from, /** @type {number} */ to, /** @type {string} */ colour) => {
                context.fillStyle = colour;
                context.fillRect(x(from), y, x(to) - x(from), (step - 1) * ratio);
            };
            part(0, span, colours.panel);
            part(0, Math.min(trace.promptLength, held), colours.soft);
            part(Math.min(trace.promptLength, held), held, colours.accent);
            if (shared > 0) part(0, Math.min(shared, held), colours.shared);
        }
    }

    /** @param {Trace} trace */
    drawCosts({ costs }) {
        const cold = costs.filter(cost => cost.cold !== undefined);
        this.costs.hidden = cold.length === 0;
        this.costsText.hidden = cold.length === 0 && !this.app.isCold;
        if (cold.length === 0) {
            this.costsText.textContent = 'Every token that is written from now on is measured.';
            return;
        }
        const { context, width, height, ratio, colours } = prepare(this.costs, COSTS_HEIGHT);
        const most = Math.max(...cold.map(cost => cost.cold ?? 0), 1e-3);
        const last = Math.max(...cold.map(cost => cost.position), 1);
        const dot = (/** @type {number} */ position, /** @type {number} */ ms, /** @type {string} */ colour) => {
            context.fillStyle = colour;
            const x = position / last * (width - 3 * ratio);
            const y = height - ms / most * (height - 3 * ratio) - 2 * ratio;
            context.fillRect(x, y, 2 * ratio, 2 * ratio);
        };
        for (const { position, warm, cold: without = 0 } of cold) {
            dot(position, without, colours.soft);
            dot(position, warm, colours.accent);
        }
        const newest = /** @type {import('./messages.js').Cost} */ (cold.at(-1));
        const mean = cold.reduce((sum, cost) => sum + cost.warm, 0) / cold.length;
        this.costsText.textContent = `Without the cache (grey) the token at position ${newest.position} costs ` +
            `${time(newest.cold ?? 0)}, and each later one more; with it (in colour) ${time(mean)} on average.`;
    }
}

/** @param {any} text a branch, or the text of a chat */
function sharedText(text) {
    return text?.parent ? ` The first ${text.at} (pale) are shared with the branch it comes from.` : '';
}

/** @param {number} ms */
function time(ms) {
    return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {number} cssHeight
 */
function prepare(canvas, cssHeight) {
    const ratio = devicePixelRatio;
    canvas.style.height = `${cssHeight}px`;
    const width = Math.max(1, Math.round(canvas.clientWidth * ratio));
    const height = Math.round(cssHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(canvas);
    const colours = {
        panel: style.getPropertyValue('--track'), soft: style.getPropertyValue('--soft'), accent: style.getPropertyValue('--accent'),
        shared: style.getPropertyValue('--shared')
    };
    return { context, width, height, ratio, colours };
}
