// A template's source into the tree of its statements.

import { invalid, unsupported } from './errors.js';
import { ExpressionParser } from './expressions.js';
import { FILTERS } from './filters.js';
import { TESTS } from './predicates.js';
import { Tokens } from './tokens.js';

/** @typedef {import('./expressions.js').AnyNode} AnyNode */
/** @typedef {{ name: string, fallback: AnyNode | null }} Parameter */

/** What Jinja has and nothing here can do: refused by name, where it is met. */
const UNSUPPORTED_FILTERS = ['pprint', 'random', 'urlize', 'xmlattr', 'wordwrap'];
/** Statements that need other templates: Jinja parses them, and they fail when they are reached. */
const LOADING = ['include', 'import', 'from', 'extends'];

class Parser {
    /** @type {string[]} the names of the blocks that are open */
    #open = [];
    /** Whether break and continue have a loop to go to. */
    #inLoop = false;
    /** @type {Set<string>} */
    #blocks = new Set();

    /** @param {string} source */
    constructor(source) {
        this.tokens = new Tokens(source);
        this.expressions = new ExpressionParser(this.tokens);
    }

    /** @returns {{ body: AnyNode[], reads: Set<string> }} */
    run() {
        /** @type {Set<string>} */
        const reads = new Set();
        this.expressions.reads.push(reads);
        const body = this.body([]);
        for (const { type, name, soft, line } of this.expressions.uses) {
            if (!soft) checkName(type, name, line);
        }
        return { body, reads };
    }

    /** @param {string} type @param {Record<string, any>} parts @returns {AnyNode} */
    node(type, parts) {
        return this.expressions.node(type, parts);
    }

    /** @param {string[]} ends tags that end it, left as the current token @returns {AnyNode[]} */
    body(ends) {
        const nodes = [];
        for (;;) {
            const { type, value } = this.tokens.current;
            if (type === 'end') {
                if (ends.length === 0) return nodes;
                throw invalid(`unexpected end of template: '${this.#open.at(-1)}' is not closed (${ends.join(', ')})`,
                    this.tokens.line);
            }
            this.tokens.next();
            if (type === 'data') {
                nodes.push(this.node('data', { text: value }));
            } else if (type === 'print') {
                nodes.push(this.node('print', { value: this.expressions.tuple() }));
                this.tokens.expectType('print-end');
            } else {
                if (this.tokens.isName(...ends)) return nodes;
                nodes.push(this.statement());
            }
        }
    }

    /** @returns {AnyNode} what stands after '{%' up to its last '%}' */
    statement() {
        const { line } = this.tokens;
        const name = this.tokens.expectName();
        const parse = STATEMENTS.get(name);
        if (!parse) throw this.unknownTag(name, line);
        this.#open.push(name);
        const node = this.tokens.nested(() => parse(this));
        this.#open.pop();
        this.tokens.expectType('block-end');
        return node;
    }

    /** @param {string} name @param {number} line */
    unknownTag(name, line) {
        if (['do', 'trans', 'debug', 'autoescape'].includes(name)) return unsupported(`the tag '${name}'`, line);
        const around = this.#open.at(-1);
        return invalid(`unknown tag '${name}'${around ? ` inside '${around}'` : ''}`, line);
    }

    /** The body of a tag, up to its end tag, which is passed. @param {...string} ends @returns {AnyNode[]} */
    block(...ends) {
        this.tokens.expectType('block-end');
        return this.body(ends);
    }

    /** A body that has variables of its own. @param {boolean} inLoop @param {string[]} ends @returns {AnyNode[]} */
    scoped(inLoop, ...ends) {
        const { soft } = this.expressions;
        const outer = this.#inLoop;
        this.expressions.soft = 0;
        this.#inLoop = inLoop;
        const body = this.block(...ends);
        this.expressions.soft = soft;
        this.#inLoop = outer;
        return body;
    }

    /** @returns {AnyNode} */
    if() {
        this.expressions.soft++;
        const branches = [];
        let otherwise = null;
        do {
            const test = this.expressions.tuple({ withCondition: false });
            branches.push({ test, body: this.block('elif', 'else', 'endif') });
        } while (this.tokens.skipName('elif'));
        if (this.tokens.skipName('else')) otherwise = this.block('endif');
        this.expectEnd('endif');
        this.expressions.soft--;
        return this.node('if', { branches, otherwise });
    }

    /** @param {string} name */
    expectEnd(name) {
        if (!this.tokens.skipName(name)) throw this.tokens.unexpected(`'${name}'`);
    }

    /** @returns {AnyNode} */
    for() {
        if (this.tokens.isName('loop')) throw invalid("can't assign to the special variable 'loop'", this.tokens.line);
        const target = this.target({ ends: () => this.tokens.isName('in') });
        if (!this.tokens.skipName('in')) throw this.tokens.unexpected("'in'");
        const iterable = this.expressions.tuple({ withCondition: false, ends: () => this.tokens.isName('recursive') });
        const test = this.tokens.skipName('if') ? this.expressions.expression() : null;
        const recursive = this.tokens.skipName('recursive');
        const body = this.scoped(true, 'else', 'endfor');
        const otherwise = this.tokens.skipName('else') ? this.scoped(this.#inLoop, 'endfor') : null;
        this.expectEnd('endfor');
        return this.node('for', { target, iterable, test, recursive, body, otherwise });
    }

    /** @returns {AnyNode} break or continue @param {string} type */
    jump(type) {
        if (!this.#inLoop) throw invalid(`'${type}' outside a loop`, this.tokens.line);
        return this.node(type, {});
    }

    /** Where a value goes: a name, an attribute of a namespace, several of them.
     *  @param {{ ends?: () => boolean, withNamespace?: boolean }} options @returns {AnyNode} */
    target({ ends, withNamespace = false }) {
        return this.expressions.tuple({ ends, item: () => this.singleTarget(withNamespace) });
    }

    /** @param {boolean} withNamespace @returns {AnyNode} */
    singleTarget(withNamespace) {
        if (this.tokens.skipOperator('(')) {
            const inner = this.tokens.nested(() => this.target({ ends: () => this.tokens.isOperator(')') }));
            this.tokens.expectOperator(')');
            return inner;
        }
        const name = this.tokens.expectName();
        if (['true', 'True', 'false', 'False', 'none', 'None'].includes(name)) {
            throw invalid(`can't assign to '${name}'`, this.tokens.line);
        }
        if (withNamespace && this.tokens.skipOperator('.')) {
            return this.node('member', { object: this.expressions.read(name), name: this.tokens.expectName() });
        }
        return this.node('variable', { name });
    }

    /** @returns {AnyNode} */
    set() {
        const target = this.target({ withNamespace: true });
        if (this.tokens.skipOperator('=')) return this.node('set', { target, value: this.expressions.tuple() });
        const value = this.node('captured', {});
        const filtered = this.tokens.skipOperator('|') ? this.filterChain(value) : value;
        const body = this.scoped(false, 'endset');
        this.expectEnd('endset');
        return this.node('setBlock', { target, filtered, body });
    }

    /** @param {AnyNode} value @returns {AnyNode} filters behind a tag's name */
    filterChain(value) {
        const first = this.expressions.filter(value);
        return this.expressions.filters(first);
    }

    /** @returns {AnyNode} */
    with() {
        const assignments = [];
        while (this.tokens.current.type !== 'block-end') {
            if (assignments.length > 0) this.tokens.expectOperator(',');
            const target = this.singleTarget(false);
            this.tokens.expectOperator('=');
            assignments.push({ target, value: this.expressions.expression() });
        }
        const body = this.scoped(this.#inLoop, 'endwith');
        this.expectEnd('endwith');
        return this.node('with', { assignments, body });
    }

    /** @returns {AnyNode} */
    filter() {
        const filtered = this.filterChain(this.node('captured', {}));
        const body = this.scoped(false, 'endfilter');
        this.expectEnd('endfilter');
        return this.node('filterBlock', { filtered, body });
    }

    /** @returns {Parameter[]} in parentheses */
    signature() {
        this.tokens.expectOperator('(');
        /** @type {Parameter[]} */
        const parameters = this.expressions.listed(')', () => {
            const name = this.tokens.expectName();
            return { name, fallback: this.tokens.skipOperator('=') ? this.expressions.expression() : null };
        });
        const firstOptional = parameters.findIndex(({ fallback }) => fallback);
        if (firstOptional >= 0 && parameters.slice(firstOptional).some(({ fallback }) => !fallback)) {
            throw invalid('a parameter without default follows one with a default', this.tokens.line);
        }
        return parameters;
    }

    /** @param {string} name @param {Parameter[]} parameters @param {string} end @returns {AnyNode} */
    macroBody(name, parameters, end) {
        /** @type {Set<string>} */
        const reads = new Set();
        this.expressions.reads.push(reads);
        const body = this.scoped(false, end);
        this.expressions.reads.pop();
        this.expectEnd(end);
        const takes = (/** @type {string} */ what) => reads.has(what) && !parameters.some((one) => one.name === what);
        return this.node('macro', {
            name, parameters, body, varargs: takes('varargs'), kwargs: takes('kwargs'), caller: takes('caller'),
        });
    }

    /** @returns {AnyNode} */
    macro() {
        const name = this.tokens.expectName();
        return this.macroBody(name, this.signature(), 'endmacro');
    }

    /** @returns {AnyNode} */
    call() {
        const parameters = this.tokens.isOperator('(') ? this.signature() : [];
        const call = this.expressions.expression();
        if (call.type !== 'call') throw this.tokens.unexpected('a call');
        return this.node('callBlock', { call, macro: this.macroBody('caller', parameters, 'endcall') });
    }

    /** Its text, with variables of its own: transformers marks what an assistant wrote by it. @returns {AnyNode} */
    generation() {
        const body = this.scoped(false, 'endgeneration');
        this.expectEnd('endgeneration');
        return this.node('scope', { body });
    }

    /**
     * Without a template that extends this one a block is its body, which sees no loop around it.
     * @returns {AnyNode}
     */
    namedBlock() {
        const name = this.tokens.expectName();
        if (this.#blocks.has(name)) throw invalid(`block '${name}' defined twice`, this.tokens.line);
        this.#blocks.add(name);
        while (this.tokens.isName('scoped', 'required')) this.tokens.next();
        const body = this.scoped(false, 'endblock');
        this.expectEnd('endblock');
        this.tokens.skipName(name);
        return this.node('block', { body });
    }

    /** @param {string} name @returns {AnyNode} */
    loading(name) {
        while (!['block-end', 'end'].includes(this.tokens.current.type)) this.tokens.next();
        return this.node('loading', { name });
    }
}

/** @type {Map<string, (parser: Parser) => AnyNode>} */
const STATEMENTS = new Map(Object.entries({
    if: (parser) => parser.if(),
    for: (parser) => parser.for(),
    break: (parser) => parser.jump('break'),
    continue: (parser) => parser.jump('continue'),
    set: (parser) => parser.set(),
    with: (parser) => parser.with(),
    filter: (parser) => parser.filter(),
    macro: (parser) => parser.macro(),
    call: (parser) => parser.call(),
    generation: (parser) => parser.generation(),
    block: (parser) => parser.namedBlock(),
    print: (parser) => parser.node('print', { value: parser.expressions.tuple() }),
    ...Object.fromEntries(LOADING.map((name) => [name, (/** @type {Parser} */ parser) => parser.loading(name)])),
}));

/** @param {string} type @param {string} name @param {number} line */
export function checkName(type, name, line) {
    if ((type === 'filter' ? FILTERS : TESTS).has(name)) return;
    if (type === 'filter' && UNSUPPORTED_FILTERS.includes(name)) throw unsupported(`the filter '${name}'`, line);
    throw invalid(`no ${type} named '${name}'`, line);
}

/** @param {string} source @returns {{ body: AnyNode[], reads: Set<string> }} statements, and the names of variables that they read */
export function parse(source) {
    return new Parser(source).run();
}
