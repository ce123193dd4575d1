/** A text of the visitor's own, scored: bits per byte, and each word tinted by how much it surprised the model. */

import { find } from './find.js';
import { tenths } from './scale.js';
import { StoryView } from './story.js';
import { Trace } from './trace.js';

/** @import { App } from './app.js' */

export class ScorePanel {
    /** @param {App} app */
    constructor(app) {
        this.app = app;
        this.field = /** @type {HTMLTextAreaElement} */ (find('score-text'));
        this.result = find('score-result');
        this.button = /** @type {HTMLButtonElement} */ (find('score'));
        this.view = new StoryView(find('scored'), { onHover: () => {}, onPin: () => {}, onStep: () => {} });
        /** The text that was asked about last. @type {Trace | null} */
        this.trace = null;
        this.button.addEventListener('click', () => this.score());
        this.field.addEventListener('keydown', event => {
            if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey)) return;
            // Elsewhere it writes another text.
            event.stopPropagation();
            this.button.click();
        });
        app.addEventListener('state', () => {
            this.button.disabled = app.state !== 'ready';
        });
        app.addEventListener('model', () => this.forget());
    }

    async score() {
        const { app, view, result } = this;
        const text = this.field.value;
        this.forget();
        if (text.trim() === '') {
            result.textContent = 'There is nothing to score.';
            return;
        }
        const trace = this.trace = new Trace();
        result.textContent = 'Reading';
        const score = await app.look({ type: 'score', text }, report => {
            if (trace === this.trace && report.type === 'prefill') result.textContent = `Reading: ${tenths(report.done / report.total)}`;
        });
        if (trace !== this.trace) return;
        if (score?.type !== 'score') {
            result.textContent = score?.type === 'error' ? score.message : '';
            return;
        }
        const { nats, tokens, bytes, entries, probabilities } = score;
        const bits = nats / Math.LN2;
        result.textContent = `${(bits / bytes).toFixed(3)} bits per byte, ${(bits / tokens).toFixed(2)} bits per token, ` +
            `${tokens.toLocaleString('en')} tokens`;
        const most = app.model?.contextLength ?? 0;
        if (entries.length > most) result.textContent += `; the first ${most.toLocaleString('en')} are shown`;
        trace.append(entries.slice(0, most), []);
        view.grow(trace);
        view.inspect(-1, null, false, probabilities);
    }

    /** What was said of another text, or by another model. */
    forget() {
        this.trace = null;
        this.view.clear();
        this.result.textContent = '';
    }
}
