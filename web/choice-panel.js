/**
 * What may follow, live: for a word that is kept the model is asked what it says by itself, and the shown distribution
 * follows temperature, top-k, top-p and min-p as they are changed. And the tint of words by how surprising they were.
 */

import { choose } from './choice.js';
import { find } from './find.js';
import { fromForm } from './settings.js';

/** @import { App } from './app.js' */
/** @import { Distribution } from './messages.js' */

const DELAY = 80;

export class ChoicePanel {
    /** @param {App} app */
    constructor(app) {
        this.app = app;
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.timer = undefined;
        /** What may follow these tokens. @type {{ ids: number[], distribution: Distribution } | null} */
        this.known = null;
        this.surprising = /** @type {HTMLInputElement} */ (find('surprising'));
        app.addEventListener('inspect', () => this.plan());
        app.form.addEventListener('input', () => this.show());
        app.addEventListener('end', () => this.tint());
        app.addEventListener('text', () => {
            if (app.trace !== this.trace) this.forget();
        });
        this.surprising.addEventListener('change', () => {
            app.inspector.setView({ isSurprising: this.surprising.checked });
            this.tint();
        });
    }

    forget() {
        this.trace = this.app.trace;
        this.known = null;
        clearTimeout(this.timer);
        if (this.app.state === 'ready') this.tint();
    }

    /** A word that is kept for a moment is asked about. */
    plan() {
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.ask(), DELAY);
    }

    /** @returns {boolean} whether what is known follows the word that is kept */
    get isKnown() {
        const { app: { trace, inspector }, known } = this;
        return known?.ids.length === inspector.pinned + 1 && Boolean(trace?.beginsWith(known.ids));
    }

    async ask() {
        const { app } = this;
        const { trace, text } = app;
        const position = app.inspector.pinned;
        if (position < 0 || app.state !== 'ready' || !trace || !text || this.isKnown) return this.show();
        const ids = trace.tokens.slice(0, position + 1).map(entry => entry.token);
        if (trace.tokens[position]?.ended || ids.length >= (app.model?.contextLength ?? 0)) return;
        const answer = await app.look({ type: 'distribution', branch: text.id, ids });
        if (answer?.type !== 'distribution' || app.trace !== trace) return;
        this.known = { ids, distribution: answer };
        this.show();
    }

    show() {
        const { app, known } = this;
        if (!known || !this.isKnown || !app.model || !app.trace) return;
        const drawn = app.trace.tokens[known.ids.length]?.token ?? -1;
        const candidates = choose(known.distribution, app.model.vocabularySize, fromForm(app.form), drawn);
        app.inspector.live = { position: known.ids.length - 1, candidates };
        app.inspector.invalidate();
    }

    /** Asks for the probability of each word, once for a text. */
    async tint() {
        const { app } = this;
        const { trace } = app;
        if (!this.surprising.checked || app.state !== 'ready' || !trace || trace.tokens.length < 2) return;
        if (trace.probabilities && trace.probabilities.length >= trace.ids.length) return;
        const answer = await app.look({ type: 'probabilities', ids: trace.ids });
        if (answer?.type !== 'probabilities') return;
        trace.probabilities = answer.probabilities;
        app.inspector.invalidate();
    }
}
