/** The settings while they are folded away: what they are, in a line. */

import { fromForm } from './settings.js';

/** @import { App } from './app.js' */

export class KnobsPanel {
    /**
     * @param {App} app
     * @param {(id: string) => HTMLElement} find
     */
    constructor(app, find) {
        this.app = app;
        this.text = find('knobs-text');
        app.form.addEventListener('input', () => this.show());
        app.addEventListener('state', () => this.show());
    }

    show() {
        const { temperature, topK, topP, minP, seed, tokens } = fromForm(this.app.form);
        const filters = temperature === 0 ? [] : [topK > 0 && `top-k ${topK}`, topP < 1 && `top-p ${topP}`, minP > 0 && `min-p ${minP}`];
        const parts = [`temperature ${temperature}`, ...filters.filter(Boolean), `${tokens} tokens`, `seed ${seed}`];
        this.text.textContent = parts.join(' · ');
    }
}
