/** The two lists of the inspected step: what it looked back at, and what might have come next. */

import { find } from './find.js';
import { percent } from './scale.js';
import { visible } from './trace.js';

/** @import { Candidate } from './messages.js' */
/** @import { Trace } from './trace.js' */

const LOOKED_AT_SHOWN = 8;

/** @typedef {{ name: string, share: number, note?: string, marked?: boolean, position?: number }} BarEntry */

/**
 * A list of rows: name, bar, figure. The rows are made once and rewritten, so that nothing flickers.
 */
class BarList {
    /**
     * @param {HTMLElement} list an ol
     * @param {(index: number) => void} [onChoose] a row was clicked; without it they are no buttons
     */
    constructor(list, onChoose) {
        this.list = list;
        this.onChoose = onChoose;
        /** @type {{ item: HTMLLIElement, row: HTMLElement, name: Element, bar: HTMLElement, figure: Element, hint: Element }[]} */
        this.rows = [];
    }

    /** @param {BarEntry[]} entries */
    show(entries) {
        while (this.rows.length < entries.length) this.rows.push(this.makeRow(this.rows.length));
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

    /** @param {number} index */
    makeRow(index) {
        const item = document.createElement('li');
        const row = document.createElement(this.onChoose ? 'button' : 'div');
        row.className = 'bar-row';
        if (row instanceof HTMLButtonElement) {
            row.type = 'button';
            row.title = 'Go on from here with this';
            row.addEventListener('click', () => this.onChoose?.(index));
        }
        const classes = ['bar-name', 'visually-hidden', 'bar-track', 'bar-figure', 'bar'];
        const [name, hint, track, figure, bar] = classes.map(className => {
            const element = document.createElement('span');
            element.className = className;
            return element;
        });
        track.append(bar);
        row.append(name, hint, track, figure);
        item.append(row);
        this.list.append(item);
        return { item, row, name, bar, figure, hint };
    }
}

export class StepLists {
    /**
     * @param {(position: number, candidate: Candidate) => void} onBranch a candidate was clicked
     */
    constructor(onBranch) {
        this.lookedAt = new BarList(find('looked-at'));
        this.candidates = new BarList(find('candidates'), index => onBranch(this.position, this.shown[index]));
        this.remark = find('step-remark');
        this.position = -1;
        /** @type {Candidate[]} */
        this.shown = [];
    }

    /**
     * @param {Trace} trace
     * @param {number} q inspected position, -1 for none
     * @param {number} lane
     * @param {boolean} forward whether what looked back at q is wanted
     * @param {Candidate[] | null} live what may follow under the settings of the form, where that is known
     */
    show(trace, q, lane, forward, live) {
        const strongest = q < 0 ? [] : trace.strongest(lane, q, LOOKED_AT_SHOWN, forward);
        this.lookedAt.show(strongest.map(({ position, weight }) =>
            ({ name: trace.name(position), share: weight, position })));
        const candidates = live ?? trace.candidates.get(q) ?? [];
        this.position = q;
        this.shown = candidates;
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
    const looks = q < trace.rows.length && !trace.rows[q] ? 'Where it looked is kept for the newest part of a long text only. ' : '';
    if (looks || hasCandidates) return looks + (hasCandidates ? 'Click what may follow, and the text goes on from there. A dot is a space.' : '');
    if (q >= trace.rows.length) return 'This token came last: the model has not read it yet, nor looked back from it.';
    if (q < trace.promptLength - 1) return 'The next token stands in the prompt: none was drawn.';
    return '';
}
