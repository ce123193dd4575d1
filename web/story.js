/**
 * The text, one span per token. Pointing at a token, or walking to it with the arrow keys, inspects it: the tokens
 * that it looked back at are tinted, those after it, which it could not see, step back.
 */

/** @import { Trace } from './trace.js' */

export class StoryView {
    /**
     * @param {HTMLElement} element
     * @param {{ onHover: (position: number, event: PointerEvent | null) => void,
     *     onPin: (position: number) => void, onStep: (step: number | 'first' | 'last') => void }} events
     *     position -1: none
     */
    constructor(element, { onHover, onPin, onStep }) {
        this.element = element;
        /** @type {HTMLElement[]} */
        this.spans = [];
        /** @type {number[]} */
        this.tints = [];
        this.inspected = -1;
        this.pointed = -1;
        this.promptLength = 0;

        element.addEventListener('pointerover', event => {
            if (event.pointerType === 'mouse') onHover(positionOf(event.target), event);
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
    }

    /**
     * Adds the spans of the tokens that came since.
     * @param {Trace} trace
     */
    grow(trace) {
        const fragment = document.createDocumentFragment();
        for (let i = this.spans.length; i < trace.tokens.length; i++) {
            const { text, start, ended } = trace.tokens[i];
            // White space stays outside the chip, so that a tint covers the word and not the gap before it.
            const gap = /^\s+(?=\S)/.exec(text)?.[0] ?? '';
            const span = document.createElement('span');
            span.className = 'token';
            span.classList.toggle('prompt', i < trace.promptLength);
            span.classList.toggle('mark', Boolean(start ?? ended));
            span.classList.toggle('break', text !== '' && text.trim() === '');
            span.dataset.position = String(i);
            span.textContent = start ? '❧' : text.slice(gap.length);
            if (ended) span.textContent = '∎';
            fragment.append(gap, span);
            this.spans.push(span);
            this.tints.push(0);
        }
        this.element.append(fragment);
    }

    /**
     * @param {number} position the query, -1 for none
     * @param {ArrayLike<number> | null} shades 0..1 for each position up to the query
     */
    inspect(position, shades) {
        if (position < 0 && this.inspected < 0) return;
        this.element.classList.toggle('inspecting', position >= 0);
        this.spans[this.inspected]?.classList.remove('inspected');
        this.spans[position]?.classList.add('inspected');
        this.inspected = position;
        for (let i = 0; i < this.spans.length; i++) {
            const tint = position >= 0 && shades && i <= position ? Math.round(shades[i] * 100) : 0;
            if (tint !== this.tints[i]) {
                this.spans[i].style.setProperty('--tint', `${tint}%`);
                this.tints[i] = tint;
            }
        }
        for (const [i, span] of this.spans.entries()) span.classList.toggle('unseen', position >= 0 && i > position);
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

/** @param {EventTarget | null} target */
function positionOf(target) {
    const token = target instanceof Element ? target.closest('.token') : null;
    return token instanceof HTMLElement ? Number(token.dataset.position) : -1;
}
