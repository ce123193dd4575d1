/** A tour of five steps, each beside what it tells of. */

import { find } from './find.js';

const STEPS = [
    {
        id: 'story',
        text: 'The model writes one token at a time: a word, or a piece of one. All of it is computed on your device.'
    },
    {
        id: 'looked',
        text: 'To find the next, it looks back at all tokens before. Point at a word: the darker another one is, the more it was ' +
            'looked at.'
    },
    {
        id: 'next',
        text: 'It then gives every token a probability, and one is drawn. Click another one, and the text goes on from there.'
    },
    {
        id: 'cache-panel',
        text: 'What it has read stays in the cache, keys and values for each layer. Without it, all of the text would be read again ' +
            'for each token.'
    },
    {
        id: 'model',
        text: 'This is a small model for children’s stories. Choose another here, or drop a GGUF file on the page, and chat with it.'
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
        this.guide.addEventListener('keydown', event => {
            if (event.key !== 'Escape') return;
            event.stopPropagation();
            this.go(-1);
        });
    }

    /** @param {number} step from 0; beyond the last, and below the first, it ends */
    go(step) {
        const { guide } = this;
        document.querySelector('.toured')?.classList.remove('toured');
        const current = STEPS[step];
        this.step = current ? step : -1;
        guide.hidden = !current;
        if (!current) {
            find('tour').focus();
            return;
        }
        find('guide-text').textContent = current.text;
        find('guide-count').textContent = `${step + 1} of ${STEPS.length}`;
        find('guide-next').textContent = step === STEPS.length - 1 ? 'Done' : 'Next';
        /** @type {HTMLButtonElement} */ (find('guide-back')).disabled = step === 0;
        const target = find(current.id);
        target.classList.add('toured');
        const behavior = matchMedia('(prefers-reduced-motion: reduce)').matches ? 'instant' : 'smooth';
        target.scrollIntoView({ block: 'center', behavior });
        find('guide-next').focus({ preventScroll: true });
    }
}
