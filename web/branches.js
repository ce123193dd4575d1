/**
 * The texts that began alike: each candidate that was clicked begins a branch. Shown as a tree that one can walk; what two
 * branches have in common, their caches share.
 */

import { find } from './find.js';
import { Trace } from './trace.js';

/** @import { App } from './app.js' */
/** @import { Candidate } from './messages.js' */

const SNIPPET = 80;

/**
 * @typedef {object} Branch
 * @property {number} id
 * @property {Branch | null} parent
 * @property {number} at position of its first own token
 * @property {Trace} trace
 */

/** Numbers of texts, which the worker keeps caches by: chats have theirs too. */
let ids = 0;
export function nextId() {
    return ++ids;
}

export class Branches {
    /** @param {App} app */
    constructor(app) {
        this.app = app;
        this.section = find('branches');
        this.list = find('branch-tree');
        /** @type {Branch} */
        this.current = { id: nextId(), parent: null, at: 0, trace: new Trace() };
        this.all = [this.current];
    }

    /** A new text: what there was is forgotten. @returns {Branch} */
    begin() {
        this.current = { id: nextId(), parent: null, at: 0, trace: new Trace() };
        this.all = [this.current];
        this.draw();
        return this.current;
    }

    /**
     * @param {number} position after which it goes another way
     * @param {Candidate} candidate
     * @returns {Branch}
     */
    grow(position, { token, text, probability }) {
        const parent = this.current;
        const trace = parent.trace.fork(position + 1);
        trace.tokens.push({ token, text, name: text, probability });
        trace.base = trace.tokens.length;
        this.current = { id: nextId(), parent, at: position + 1, trace };
        this.all.push(this.current);
        this.draw();
        return this.current;
    }

    /** @param {Branch} branch */
    walk(branch) {
        this.current = branch;
        this.draw();
        this.app.show(branch);
    }

    draw() {
        const hadFocus = this.list.contains(document.activeElement);
        this.section.hidden = this.all.length < 2;
        this.list.replaceChildren(...this.items(null, 0));
        if (hadFocus) /** @type {HTMLElement | null} */ (this.list.querySelector('[aria-current]'))?.focus();
    }

    /**
     * @param {Branch | null} parent
     * @param {number} depth
     * @returns {HTMLElement[]}
     */
    items(parent, depth) {
        return this.all.filter(branch => branch.parent === parent).flatMap(branch => {
            const item = document.createElement('li');
            const button = document.createElement('button');
            button.type = 'button';
            button.style.setProperty('--depth', String(Math.min(depth, 8)));
            button.textContent = titleOf(branch);
            if (branch === this.current) button.setAttribute('aria-current', 'true');
            button.addEventListener('click', () => this.walk(branch));
            item.append(button);
            return [item, ...this.items(branch, depth + 1)];
        });
    }
}

/** @param {Branch} branch */
function titleOf({ parent, at, trace }) {
    const text = trace.tokens.slice(parent ? at : 0).map(entry => entry.text).join('').trim().replace(/\s+/g, ' ');
    const snippet = text.length > SNIPPET ? `${text.slice(0, SNIPPET)}…` : text;
    return parent ? `from ${at}: ${snippet}` : snippet || 'The text';
}
