// Runs a template: a tree is walked, what it prints is collected. Everything it can do goes through here, and each step
// is counted.

import { getAttribute, getItem } from './attributes.js';
import { evaluate } from './evaluate.js';
import { execute } from './execute.js';
import { FILTERS } from './filters.js';
import { globals } from './globals.js';
import { Limits } from './limits.js';
import { TESTS } from './predicates.js';
import { Scope } from './scope.js';
import { iterate, listOf, plain } from './sequences.js';
import { Attributes, Callable, TemplateError, Undefined, typeName } from './values.js';

/** @typedef {import('./expressions.js').AnyNode} AnyNode */

export class Machine {
    limits = new Limits();
    scope = new Scope(null);
    /** What a {% set %} or {% filter %} block has printed. */
    captured = '';
    /** Of the statement that runs, for messages. */
    line = 0;
    #output = '';

    /** @param {Map<string, any>} variables */
    constructor(variables) {
        for (const [name, value] of globals(this.limits)) this.scope.names.set(name, value);
        // Of their own scope: a template may set a name that a function has, and a caller may hand one in.
        this.scope = new Scope(this.scope);
        /** Where the template's own names are. */
        this.top = this.scope;
        for (const [name, value] of variables) this.scope.names.set(name, value);
    }

    /** @param {AnyNode[]} body @returns {string} */
    run(body) {
        this.execute(body);
        return this.#output;
    }

    /** @param {string} text */
    write(text) {
        this.limits.size(this.#output.length + text.length);
        this.#output += text;
    }

    /** @param {() => void} body @returns {string} what it prints */
    capture(body) {
        const outer = this.#output;
        this.#output = '';
        body();
        const text = this.#output;
        this.#output = outer;
        return text;
    }

    /**
     * @template T
     * @param {Scope} scope
     * @param {() => T} body
     * @returns {T}
     */
    within(scope, body) {
        const outer = this.scope;
        this.scope = scope;
        const result = body();
        this.scope = outer;
        return result;
    }

    /** @param {AnyNode[]} body @returns {'break' | 'continue' | null} where a loop has to go on */
    execute(body) {
        return execute(this, body);
    }

    /** @param {AnyNode} node @returns {any} */
    evaluate(node) {
        return evaluate(this, node);
    }

    /** @param {any} callee @param {any[]} args @param {Map<string, any>} kwargs @returns {any} */
    call(callee, args, kwargs) {
        if (callee instanceof Undefined) callee.fail();
        if (!(callee instanceof Callable || callee instanceof Attributes) || !callee.call) {
            throw new TemplateError(`'${typeName(callee)}' object is not callable`);
        }
        this.limits.weigh([...args, ...kwargs.values()]);
        this.limits.enter();
        const result = callee.call(args, kwargs);
        this.limits.leave();
        return result;
    }

    /** @param {any} name @param {any} value @param {any[]} args @param {Map<string, any>} kwargs @returns {any} */
    filter(name, value, args, kwargs) {
        const filter = FILTERS.get(name);
        if (!filter) throw new TemplateError(`No filter named '${String(plain(name)).slice(0, 60)}'.`);
        this.limits.weigh([value, ...args, ...kwargs.values()]);
        // Only these care whether a text has been escaped.
        const keeps = ['escape', 'e', 'forceescape', 'string'].includes(name);
        return filter(this, keeps ? value : plain(value), args.map(plain), kwargs);
    }

    /** @param {any} name @param {any} value @param {any[]} args @param {Map<string, any>} kwargs @returns {boolean} */
    test(name, value, args, kwargs) {
        const test = TESTS.get(name);
        if (!test) throw new TemplateError(`No test named '${String(plain(name)).slice(0, 60)}'.`);
        this.limits.weigh([value, ...args]);
        return test(this, value, args, kwargs);
    }

    /** @param {any} value @param {string} name @returns {any} value.name */
    attribute(value, name) {
        return getAttribute(this, value, name);
    }

    /** @param {any} value @param {any} index @returns {any} value[index] */
    item(value, index) {
        return getItem(this, value, index);
    }

    /** @param {any} value @returns {Generator<any, void, void>} */
    iterate(value) {
        return iterate(value, this.limits);
    }

    /** @param {any} value @returns {any[]} all it has, in a new array */
    list(value) {
        return listOf(value, this.limits);
    }
}
