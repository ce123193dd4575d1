/** A tour of five steps, each beside what it tells of. */

import { find } from './find.js';

const STEPS = [
    {
        id: 'story',
        text: 'The model writes one token at a time: a word, or a piece of one. Everything is computed on your device.'
    },
    {
        id: 'looked',
        text: 'To find the next one, it looks back at all the tokens before: this is attention. Point at a word of the text: the ' +
            'stronger the tint of another one, the more it was looked at.'
    },
    {
        id: 'next',
        text: 'Then it gives every token that it knows a probability, and one is drawn. Click another, and the text goes on from there.'
    },
    {
        id: 'cache-panel',
        text: 'What it has read stays in the cache. Without it, the whole text would have to be read again for each token: tick the ' +
            'box to see what that costs.'
    },
    {
        id: 'model',
        text: 'The model that comes with the page is tiny, and knows only children’s stories. Choose a larger one here, or drop a ' +
            'GGUF file on the page, and chat with it.'
    }
];

export class Tour {
    constructor() {
        this.step = -1;
        this.guide = find('guide');
        find('tour').addEventListener('click', () => this.go(0));
        find('guide-next').addEventListener('click', () => this.go(this.step + 1));
        find('guide-back').addEventListener('click', () => this.go(this.step - 1));
        find('guide-close').addEventListener('click', () => this.go(-1));
    }

    get isOpen() {
        return this.step >= 0;
    }

    /** @param {number} step from 0; beyond the last, and below the first, it ends */
    go(step) {
        const { guide } = this;
        document.querySelector('.toured')?.classList.remove('toured');
        const current = STEPS[step];
        this.step = current ? step : -1;
        guide.hidden = !current;
        document.body.classList.toggle('touring', Boolean(current));
        const page = document.documentElement;
        page.style.scrollPaddingBottom = '';
        if (!current) {
            find('tour').focus();
            return;
        }
        find('guide-text').textContent = current.text;
        find('guide-count').textContent = `${step + 1} of ${STEPS.length}`;
        const isLast = step === STEPS.length - 1;
        find('guide-next').textContent = isLast ? 'Done' : 'Next';
        find('guide-close').hidden = isLast;
        /** @type {HTMLButtonElement} */ (find('guide-back')).disabled = step === 0;
        const target = find(current.id);
        target.classList.add('toured');
        const behavior = matchMedia('(prefers-reduced-motion: reduce)').matches ? 'instant' : 'smooth';
        // Above the guide, which covers the lower part of a small screen.
        page.style.scrollPaddingBottom = `${innerHeight - guide.offsetTop + 8}px`;
        target.scrollIntoView({ block: target.offsetHeight > guide.offsetTop ? 'start' : 'center', behavior });
        find('guide-next').focus({ preventScroll: true });
    }
}
