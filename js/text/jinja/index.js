// Jinja as transformers renders chat templates with it: parsed once, run with counted steps.

import { FormatError } from '../../check.js';
import { RaisedError } from './globals.js';
import { Machine } from './machine.js';
import { parse } from './parser.js';
import { TemplateError } from './values.js';

export class Template {
    #body;

    /** @param {string} source */
    constructor(source) {
        const { body, reads } = parse(source);
        this.#body = body;
        /** The names of variables that it reads. */
        this.reads = reads;
    }

    /**
     * @param {Map<string, any>} variables values of the template's own kind, see fromJs()
     * @returns {string}
     */
    render(variables) {
        const machine = new Machine(variables);
        try {
            return machine.run(this.#body);
        } catch (error) {
            if (error instanceof RaisedError || error instanceof FormatError) throw error;
            const { message } = /** @type {Error} */ (error);
            // Sizes of stacks differ between engines. The limit on depth should be reached first; if it is not, the engine's own error is told.
            const what = error instanceof TemplateError ? message : `it cannot be run: ${message}`;
            throw new TemplateError(`chat template, line ${machine.line}: ${what}`, { cause: error });
        }
    }
}
