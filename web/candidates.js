/** The two lists of the inspected step: what it looked back at, and what might have come next. */

import { percent } from './scale.js';
import { visible } from './trace.js';

/** @import { Trace } from './trace.js' */

const LOOKED_AT_SHOWN = 8;

/**
 * A list of rows: name, bar, figure. The rows are made once and rewritten, so that nothing flickers.
 */
class BarList {
    /** @param {HTMLElement} list an ol */
    constructor(list) {
        this.list = list;
        /** @type {{ item: HTMLLIElement, name: Element, bar: HTMLElement, figure: Element, hint: Element }[]} */
        this.rows = [];
    }

    /** @param {{ name: string, share: number, note?: string, marked?: boolean, position?: number }[]} entries */
    show(entries) {
        while (this.rows.length < entries.length) this.rows.push(this.makeRow());
        this.rows.forEach((row, i) => {
            const entry = entries[i];
            row.item.hidden = !entry;
            if (!entry) return;
            const marked = Boolean(entry.marked);
            row.name.textContent = entry.name.replace(/^·/, '');
            row.name.toggleAttribute('data-gap', entry.name.startsWith('·'));
            row.figure.textContent = percent(entry.share) + (entry.note ?? '');
            row.bar.style.transform = `scaleX(${entry.share})`;
            row.item.classList.toggle('marked', marked);
            row.hint.textContent = marked ? ' (drawn)' : '';
            row.item.dataset.position = entry.position === undefined ? '' : String(entry.position);
        });
    }

    makeRow() {
        const item = document.createElement('li');
        const classes = ['bar-name', 'bar-track', 'bar', 'bar-figure', 'visually-hidden'];
        const [name, track, bar, figure, hint] = classes.map(className => {
            const element = document.createElement('span');
            element.className = className;
            return element;
        });
        track.append(bar);
        item.append(name, hint, track, figure);
        this.list.append(item);
        return { item, name, bar, figure, hint };
    }
}

export class StepLists {
    /**
     * @param {HTMLElement} lookedAt an ol
     * @param {HTMLElement} candidates an ol
     * @param {HTMLElement} remark says why a list is empty
     */
    constructor(lookedAt, candidates, remark) {
        this.lookedAt = new BarList(lookedAt);
        this.candidates = new BarList(candidates);
        this.remark = remark;
    }

    /**
     * @param {Trace} trace
     * @param {number} q inspected position, -1 for none
     * @param {number} lane
     */
    show(trace, q, lane) {
        const strongest = q < 0 ? [] : trace.strongest(lane, q, LOOKED_AT_SHOWN);
        this.lookedAt.show(strongest.map(({ position, weight }) =>
            ({ name: trace.name(position), share: weight, position })));
        const candidates = trace.candidates.get(q) ?? [];
        this.candidates.show(candidates.map(({ text, probability, rank, drawn }) => ({
            name: visible(text),
            share: probability,
            marked: drawn,
            note: drawn && rank && rank > candidates.length ? ` #${rank}` : ''
        })));
        this.remark.textContent = remarkOn(trace, q, candidates.length > 0);
    }
}

/**
 * @param {Trace} trace
 * @param {number} q
 * @param {boolean} hasCandidates
 */
function remarkOn(trace, q, hasCandidates) {
    if (q < 0) return '';
    if (!trace.rows[q]) return 'This token was drawn last: the model has not read it, nor looked back from it.';
    if (!hasCandidates && q < trace.promptLength - 1) return 'The next token stands in the prompt: nothing was drawn.';
    return '';
}
