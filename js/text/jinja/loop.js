// The `loop` of a for: where it is, what comes before and after.

import { equal } from './compare.js';
import { Attributes, Callable, TemplateError, Undefined } from './values.js';

export class Loop extends Attributes {
    #rest;
    #limits;
    /** @type {any[]} read ahead of the loop: for `last`, `nextitem` and `length` */
    #ahead = [];
    /** How many of those have had their turn: shifting a long array costs its length. */
    #taken = 0;
    /** @type {any} */
    #previous = new Undefined('there is no previous item');
    /** @type {any} */
    #current = this.#previous;
    /** @type {any[] | null} */
    #changed = null;
    #index = -1;
    #depth;

    /**
     * @param {Iterator<any>} items
     * @param {number} depth 0 for a loop that is not within itself
     * @param {import('./limits.js').Limits} limits
     */
    constructor(items, depth, limits) {
        super('LoopContext');
        this.#rest = items;
        this.#depth = depth;
        this.#limits = limits;
    }

    /** @returns {{ value: any, done?: boolean }} */
    next() {
        const next = this.#look(1) > 0 ? { value: this.#ahead[this.#taken], done: false } : { value: null, done: true };
        if (next.done) return next;
        this.#taken++;
        if (this.#taken === this.#ahead.length) {
            this.#ahead = [];
            this.#taken = 0;
        }
        this.#index++;
        this.#previous = this.#current;
        this.#current = next.value;
        return next;
    }

    /** @param {number} count @returns {number} how many there are ahead, of at most count */
    #look(count) {
        while (this.#ahead.length - this.#taken < count) {
            const { value, done } = this.#rest.next();
            if (done) break;
            this.#ahead.push(value);
        }
        return this.#ahead.length - this.#taken;
    }

    /** @param {string} name @returns {any} */
    attribute(name) {
        const index = BigInt(this.#index);
        switch (name) {
            case 'index': return index + 1n;
            case 'index0': return index;
            case 'first': return index === 0n;
            case 'last': return this.#look(1) === 0;
            case 'length': return index + 1n + BigInt(this.#look(Infinity));
            case 'revindex': return BigInt(this.#look(Infinity)) + 1n;
            case 'revindex0': return BigInt(this.#look(Infinity));
            case 'depth': return BigInt(this.#depth) + 1n;
            case 'depth0': return BigInt(this.#depth);
            case 'previtem': return this.#index > 0 ? this.#previous : new Undefined('there is no previous item');
            case 'nextitem':
                return this.#look(1) > 0 ? this.#ahead[this.#taken] : new Undefined('there is no next item');
            case 'cycle': return new Callable('cycle', (args) => {
                if (args.length === 0) throw new TemplateError('no items for cycling given');
                return args[this.#index % args.length];
            });
            case 'changed': return new Callable('changed', (args) => this.#hasChanged(args));
            default: return undefined;
        }
    }

    /** @param {any[]} values */
    #hasChanged(values) {
        const before = this.#changed;
        this.#changed = values;
        return before === null || !equal(before, values, this.#limits);
    }
}
