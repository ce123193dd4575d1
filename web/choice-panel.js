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
        /** @type {{ position: number, distribution: Distribution } | null} */
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

    async ask() {
        const { app } = this;
        const { trace, text } = app;
        const position = app.inspector.pinned;
        if (position < 0 || app.state !== 'ready' || !trace || !text || this.known?.position === position) return this.show();
        const ids = trace.tokens.slice(0, position + 1).map(entry => entry.token);
        if (trace.tokens[position]?.ended || ids.length >= (app.model?.contextLength ?? 0)) return;
        const answer = await app.look({ type: 'distribution', branch: text.id, ids });
        if (answer?.type !== 'distribution' || app.trace !== trace) return;
        this.known = { position, distribution: answer };
        this.show();
    }

    show() {
        const { app, known } = this;
        if (!known || known.position !== app.inspector.pinned || !app.model || !app.trace) return;
        const drawn = app.trace.tokens[known.position + 1]?.token ?? -1;
        const candidates = choose(known.distribution, app.model.vocabularySize, fromForm(app.form), drawn);
        app.inspector.live = { position: known.position, candidates };
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
