/**
 * The text, one span per token. Pointing at a token, or walking to it with the arrow keys, inspects it: the tokens that it
 * looked back at, or those that looked back at it, are tinted. With `tints` the words are tinted all the time, by how
 * surprising each was to the model.
 */

import { stripes } from './heads.js';

/** @import { HeadColour } from './heads.js' */
/** @import { Trace } from './trace.js' */

/** Bits of surprise that are a full tint. */
const MOST_BITS = 10;

export class StoryView {
    /**
     * @param {HTMLElement} element
     * @param {{ onHover: (position: number, event: PointerEvent | null) => void,
     *     onPin: (position: number) => void, onStep: (step: number | 'first' | 'last') => void }} events
     *     position -1: none
     */
    constructor(element, { onHover, onPin, onStep }) {
        this.element = element;
        /** Behind the last word. */
        this.caret = Object.assign(document.createElement('span'), { className: 'caret' });
        /** @type {HTMLElement[]} */
        this.spans = [];
        /** @type {number[]} */
        this.tints = [];
        this.inspected = -1;
        this.pointed = -1;

        let rest = '';
        const placeOf = (/** @type {PointerEvent} */ event) => `${event.screenX} ${event.screenY}`;
        addEventListener('pointermove', event => {
            rest = placeOf(event);
        }, { passive: true, capture: true });
        element.addEventListener('pointerover', event => {
            // A word that comes under a mouse at rest is not pointed at.
            if (event.pointerType === 'mouse' && placeOf(event) !== rest) onHover(positionOf(event.target), event);
        });
        element.addEventListener('pointerleave', () => onHover(-1, null));
        element.addEventListener('click', event => {
            if (document.getSelection()?.isCollapsed !== false) onPin(positionOf(event.target));
        });
        element.addEventListener('keydown', event => {
            /** @type {Record<string, number | 'first' | 'last'>} */
            const steps = { ArrowLeft: -1, ArrowRight: 1, Home: 'first', End: 'last' };
            const step = steps[event.key];
            if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
            event.preventDefault();
            onStep(step);
        });
    }

    clear() {
        this.element.textContent = '';
        this.spans = [];
        this.tints = [];
        this.inspected = this.pointed = -1;
        this.element.classList.remove('inspecting');
    }

    /**
     * Adds the spans of the tokens that came since.
     * @param {Trace} trace
     */
    grow(trace) {
        if (this.spans.length === trace.tokens.length) return;
        const fragment = document.createDocumentFragment();
        for (let i = this.spans.length; i < trace.tokens.length; i++) {
            const { text, start, ended } = trace.tokens[i];
            // White space stays outside the chip, so that a tint covers the word and not the gap before it.
            const gap = /^\s+(?=\S)/.exec(text)?.[0] ?? '';
            const span = document.createElement('span');
            span.className = 'token';
            span.classList.toggle('prompt', i < trace.promptLength);
            span.classList.toggle('mark', Boolean(start ?? ended));
            span.classList.toggle('break', text.includes('\n') && text.trim() === '');
            span.dataset.position = String(i);
            span.textContent = start ? '❧' : text.slice(gap.length);
            if (ended) span.textContent = '∎';
            fragment.append(gap, span);
            this.spans.push(span);
            this.tints.push(0);
        }
        this.element.append(fragment, this.caret);
    }

    /**
     * @param {number} position that is inspected, -1 for none
     * @param {Float32Array[] | null} shades 0..1 for each position that it looks at, or that looks at it; of one lane, or of
     *   each head in colour
     * @param {boolean} forward which of these
     * @param {Float32Array | null} probabilities of the words, to tint them by while nothing is inspected
     * @param {HeadColour[] | null} [coloured]
     */
    inspect(position, shades, forward, probabilities, coloured = null) {
        const { spans, tints } = this;
        this.element.classList.toggle('inspecting', position >= 0);
        this.element.classList.toggle('coloured', position >= 0 && coloured !== null && coloured.length > 0);
        this.element.classList.toggle('surprising', position < 0 && probabilities !== null);
        spans[this.inspected]?.classList.remove('inspected');
        spans[position]?.classList.add('inspected');
        const moved = position !== this.inspected || forward !== this.isForward;
        this.inspected = position;
        this.isForward = forward;
        for (let i = 0; i < spans.length; i++) {
            let shade = 0;
            const isSeen = forward ? i >= position : i <= position;
            if (position >= 0) shade = isSeen && !coloured ? shades?.[0][i] ?? 0 : 0;
            else if (probabilities) shade = surprise(probabilities[i]);
            if (coloured?.length) spans[i].style.setProperty('--stripes', shades && isSeen ? stripes(coloured, shades, i) : 'none');
            const tint = Math.round(shade * 100);
            if (tint !== tints[i]) {
                spans[i].style.setProperty('--tint', `${tint}%`);
                tints[i] = tint;
            }
            if (moved) spans[i].classList.toggle('unseen', position >= 0 && (forward ? i < position : i > position));
        }
    }

    /**
     * Marks the token that a chart is pointed at.
     * @param {number} position -1 for none
     */
    point(position) {
        if (position === this.pointed) return;
        this.spans[this.pointed]?.classList.remove('pointed');
        this.spans[position]?.classList.add('pointed');
        this.pointed = position;
    }

    /** @param {number} position */
    reveal(position) {
        this.spans[position]?.scrollIntoView({ block: 'nearest' });
    }
}

/** @param {number | undefined} probability */
function surprise(probability) {
    return probability === undefined || Number.isNaN(probability) ? 0 : Math.min(1, -Math.log2(probability) / MOST_BITS);
}

/** @param {EventTarget | null} target */
function positionOf(target) {
    const token = target instanceof Element ? target.closest('.token') : null;
    return token instanceof HTMLElement ? Number(token.dataset.position) : -1;
}
