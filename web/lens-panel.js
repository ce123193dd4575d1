/** What each layer would have said next (the logit lens): asked for only while it is unfolded. */

import { find } from './find.js';
import { percent } from './scale.js';
import { visible } from './trace.js';

/** @import { App } from './app.js' */
/** @import { Candidate } from './messages.js' */
/** @import { Trace } from './trace.js' */

const DELAY = 80;
/** Tokens of each layer. */
const SHOWN = 3;
const EMPTY = 'What each layer would say next will stand here.';

export class LensPanel {
    /** @param {App} app */
    constructor(app) {
        this.app = app;
        this.panel = /** @type {HTMLDetailsElement} */ (find('lens-panel'));
        this.list = find('lens');
        this.text = find('lens-text');
        /** What is shown: for these tokens of a text. @type {{ trace: Trace, ids: number[] } | null} */
        this.shown = null;
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.timer = undefined;
        this.panel.addEventListener('toggle', () => this.plan());
        for (const type of ['inspect', 'end', 'text']) app.addEventListener(type, () => this.plan());
        app.addEventListener('model', () => this.makeRows(app.model?.layers ?? 0));
    }

    /** A row for each layer, the last on top; they stand before there is anything in them. @param {number} layers */
    makeRows(layers) {
        this.shown = null;
        this.rows = Array.from({ length: layers }, (_, layer) => {
            const row = document.createElement('li');
            const name = Object.assign(document.createElement('span'), { className: 'lens-layer', textContent: String(layer + 1) });
            row.append(name, ...Array.from({ length: SHOWN }, () => {
                const cell = document.createElement('span');
                cell.className = 'lens-cell';
                return cell;
            }));
            return row;
        });
        this.list.replaceChildren(...[...this.rows].reverse());
    }

    /** What was said of another text. */
    clear() {
        this.shown = null;
        for (const cell of this.list.querySelectorAll('.lens-cell')) {
            cell.textContent = '';
            cell.removeAttribute('title');
            cell.removeAttribute('style');
            cell.classList.remove('marked');
        }
        this.text.textContent = EMPTY;
    }

    plan() {
        clearTimeout(this.timer);
        const { shown, app: { trace } } = this;
        if (shown && (shown.trace !== trace || !trace.beginsWith(shown.ids))) this.clear();
        if (this.panel.open) this.timer = setTimeout(() => this.ask(), DELAY);
    }

    async ask() {
        const { app } = this;
        const { trace, text } = app;
        const position = app.inspector.inspected;
        if (!trace || !text || position < 0 || app.state !== 'ready' || trace.tokens[position]?.ended) return;
        const ids = trace.tokens.slice(0, position + 1).map(entry => entry.token);
        if (ids.length > (app.model?.contextLength ?? 0)) return;
        // Those of another text have been cleared.
        if (this.shown?.ids.length === ids.length) return;
        this.shown = { trace, ids };
        const answer = await app.look({ type: 'lens', branch: text.id, ids });
        if (answer?.type === 'lens' && app.trace === trace) this.show(answer.layers, trace, position);
        else this.shown = null;
    }

    /**
     * @param {Candidate[][]} layers
     * @param {Trace} trace
     * @param {number} position
     */
    show(layers, trace, position) {
        const next = trace.tokens[position + 1]?.token;
        layers.forEach((candidates, layer) => candidates.forEach(({ token, text, probability }, i) => {
            const cell = /** @type {HTMLElement} */ (this.rows?.[layer].children[i + 1]);
            cell.textContent = visible(text);
            cell.title = `${percent(probability)}, layer ${layer + 1}`;
            cell.classList.toggle('marked', token === next);
            cell.style.setProperty('--tint', `${Math.round(probability * 100)}%`);
        }));
        this.text.textContent = `After ${trace.name(position)}, before temperature and the like; underlined: what came.`;
    }
}
