// Tokens into the tree of an expression. Precedence, loosest first: if-else, or, and, not, comparisons, + -, ~,
// * / // %, **, signs, filters and tests, then attributes, items and calls.

import { invalid } from './errors.js';

/**
 * @typedef {object} Node a type names its evaluation in evaluate.js or execute.js
 * @property {string} type
 * @property {number} line
 */
/** @typedef {Node & Record<string, any>} AnyNode */

/**
 * @typedef {object} CallArguments
 * @property {AnyNode[]} args
 * @property {Map<string, AnyNode>} kwargs
 * @property {AnyNode | null} spread what stands behind '*'
 * @property {AnyNode | null} spreadKwargs what stands behind '**'
 */

/** Operators in one row, `a + b + ...`: each is a level when it is evaluated. */
const MAX_CHAIN = 200;
const CONSTANTS = new Map([['true', true], ['True', true], ['false', false], ['False', false], ['none', null],
    ['None', null]]);
const COMPARISONS = ['==', '!=', '<', '<=', '>', '>='];

export class ExpressionParser {
    /** How many conditions stand around: inside them an unknown filter counts only when it is reached. */
    soft = 0;
    /** @type {AnyNode[]} every filter and test so far */
    uses = [];
    /** @type {Set<string>[]} names read so far in each macro that is open */
    reads = [];

    /** @param {import('./tokens.js').Tokens} tokens */
    constructor(tokens) {
        this.tokens = tokens;
    }

    /** @param {string} type @param {Record<string, any>} parts @returns {AnyNode} */
    node(type, parts) {
        return { type, line: this.tokens.line, ...parts };
    }

    /** @param {boolean} [withCondition] whether `a if b else c` may stand here @returns {AnyNode} */
    expression(withCondition = true) {
        return this.tokens.nested(() => (withCondition ? this.condition() : this.or()));
    }

    /** @returns {AnyNode} */
    condition() {
        const used = this.uses.length;
        let value = this.or();
        for (let i = 0; this.tokens.skipName('if'); i++) {
            this.checkChain(i);
            const test = this.or();
            const otherwise = this.tokens.skipName('else') ? this.expression() : null;
            for (const use of this.uses.slice(used)) use.soft = true;
            value = this.node('condition', { test, value, otherwise });
        }
        return value;
    }

    /** @param {number} length */
    checkChain(length) {
        if (length >= MAX_CHAIN) throw invalid(`more than ${MAX_CHAIN} operators in one row`, this.tokens.line);
    }

    /** @returns {AnyNode} */
    or() {
        let left = this.and();
        for (let i = 0; this.tokens.skipName('or'); i++) {
            this.checkChain(i);
            left = this.node('or', { left, right: this.and() });
        }
        return left;
    }

    /** @returns {AnyNode} */
    and() {
        let left = this.not();
        for (let i = 0; this.tokens.skipName('and'); i++) {
            this.checkChain(i);
            left = this.node('and', { left, right: this.not() });
        }
        return left;
    }

    /** @returns {AnyNode} */
    not() {
        if (!this.tokens.skipName('not')) return this.comparison();
        return this.tokens.nested(() => this.node('not', { value: this.not() }));
    }

    /** @returns {AnyNode} `a < b < c` is one node: b is evaluated once */
    comparison() {
        const first = this.sum();
        const rest = [];
        for (;;) {
            const operator = this.comparisonOperator();
            if (operator === null) break;
            rest.push({ operator, value: this.sum() });
        }
        return rest.length === 0 ? first : this.node('comparison', { first, rest });
    }

    /** @returns {string | null} */
    comparisonOperator() {
        const { type, value } = this.tokens.current;
        if (type === 'operator' && COMPARISONS.includes(value)) return this.tokens.next().value;
        if (this.tokens.skipName('in')) return 'in';
        const next = this.tokens.peek();
        if (!this.tokens.isName('not') || next.type !== 'name' || next.value !== 'in') return null;
        this.tokens.next();
        this.tokens.next();
        return 'not in';
    }

    /** @param {string[]} operators @param {() => AnyNode} operand @returns {AnyNode} */
    binary(operators, operand) {
        let left = operand();
        for (let i = 0; operators.some((operator) => this.tokens.isOperator(operator)); i++) {
            this.checkChain(i);
            const operator = this.tokens.next().value;
            left = this.node('binary', { operator, left, right: operand() });
        }
        return left;
    }

    /** @returns {AnyNode} */
    sum() {
        return this.binary(['+', '-'], () => this.concatenation());
    }

    /** @returns {AnyNode} */
    concatenation() {
        const parts = [this.product()];
        while (this.tokens.skipOperator('~')) parts.push(this.product());
        return parts.length === 1 ? parts[0] : this.node('concatenation', { parts });
    }

    /** @returns {AnyNode} */
    product() {
        return this.binary(['*', '/', '//', '%'], () => this.power());
    }

    /** @returns {AnyNode} left to right, unlike Python */
    power() {
        return this.binary(['**'], () => this.unary(true));
    }

    /** @param {boolean} withFilter `-1 | abs` filters -1, not 1 @returns {AnyNode} */
    unary(withFilter) {
        const sign = ['-', '+'].find((operator) => this.tokens.skipOperator(operator));
        let value = sign === undefined ? this.postfix(this.primary())
            : this.tokens.nested(() => this.node('unary', { operator: sign, value: this.unary(false) }));
        if (withFilter) value = this.filters(value);
        return value;
    }

    /** @returns {AnyNode} */
    primary() {
        const { type, value } = this.tokens.current;
        if (type === 'name') {
            this.tokens.next();
            if (CONSTANTS.has(value)) return this.node('constant', { value: CONSTANTS.get(value) });
            return this.read(value);
        }
        if (type === 'string') {
            let text = '';
            while (this.tokens.current.type === 'string') text += this.tokens.next().value;
            return this.node('constant', { value: text });
        }
        if (type === 'integer' || type === 'float') return this.node('constant', { value: this.tokens.next().value });
        if (this.tokens.skipOperator('(')) {
            const inner = this.tuple({ ends: () => this.tokens.isOperator(')'), mayBeEmpty: true });
            this.tokens.expectOperator(')');
            return inner;
        }
        if (this.tokens.skipOperator('[')) {
            return this.node('list', { items: this.listed(']', () => this.expression()) });
        }
        if (this.tokens.skipOperator('{')) return this.node('dict', { entries: this.listed('}', () => this.entry()) });
        throw this.tokens.unexpected('an expression');
    }

    /** @param {string} name @returns {AnyNode} */
    read(name) {
        for (const names of this.reads) names.add(name);
        return this.node('name', { name });
    }

    /**
     * @template T
     * @param {string} close
     * @param {() => T} item
     * @returns {T[]} with commas between, perhaps one behind
     */
    listed(close, item) {
        const items = [];
        while (!this.tokens.isOperator(close)) {
            items.push(item());
            if (!this.tokens.isOperator(close)) this.tokens.expectOperator(',');
        }
        this.tokens.next();
        return items;
    }

    /** @returns {{ key: AnyNode, value: AnyNode }} */
    entry() {
        const key = this.expression();
        this.tokens.expectOperator(':');
        return { key, value: this.expression() };
    }

    /**
     * Expressions with commas between make a tuple, one alone does not.
     * @param {{ ends?: () => boolean, mayBeEmpty?: boolean, withCondition?: boolean, item?: () => AnyNode }} [options]
     * @returns {AnyNode}
     */
    tuple({ ends = () => false, mayBeEmpty = false, withCondition = true, item } = {}) {
        const over = () => ['block-end', 'print-end', 'end'].includes(this.tokens.current.type)
            || this.tokens.isOperator(')') || ends();
        const items = [];
        let isTuple = false;
        while (!over()) {
            items.push(item ? item() : this.expression(withCondition));
            if (!this.tokens.skipOperator(',')) break;
            isTuple = true;
        }
        if (items.length === 1 && !isTuple) return items[0];
        if (items.length === 0 && !mayBeEmpty) throw this.tokens.unexpected('an expression');
        return this.node('tuple', { items });
    }

    /** @param {AnyNode} node @returns {AnyNode} with the attributes, items and calls behind it */
    postfix(node) {
        let value = node;
        for (let i = 0; ; i++) {
            this.checkChain(i);
            if (this.tokens.skipOperator('.')) value = this.attribute(value);
            else if (this.tokens.skipOperator('[')) value = this.item(value);
            else if (this.tokens.isOperator('(')) value = this.node('call', { callee: value, ...this.callArguments() });
            else return value;
        }
    }

    /** @param {AnyNode} value @returns {AnyNode} */
    attribute(value) {
        if (this.tokens.current.type === 'integer') {
            return this.node('item', { value, index: this.node('constant', { value: this.tokens.next().value }) });
        }
        return this.node('attribute', { value, name: this.tokens.expectName() });
    }

    /** @param {AnyNode} value @returns {AnyNode} */
    item(value) {
        const parts = this.listed(']', () => this.subscript());
        if (parts.length === 0) throw this.tokens.unexpected('an expression in []');
        const index = parts.length === 1 ? parts[0] : this.node('tuple', { items: parts });
        return this.node('item', { value, index });
    }

    /** @returns {AnyNode} an index, or a slice of up to three parts */
    subscript() {
        const ends = () => [':', ']', ','].some((operator) => this.tokens.isOperator(operator));
        const start = ends() ? null : this.expression();
        if (start && !this.tokens.isOperator(':')) return start;
        this.tokens.expectOperator(':');
        const stop = ends() ? null : this.expression();
        const step = this.tokens.skipOperator(':') && !ends() ? this.expression() : null;
        return this.node('slice', { start, stop, step });
    }

    /** @returns {CallArguments} */
    callArguments() {
        /** @type {CallArguments} */
        const result = { args: [], kwargs: new Map(), spread: null, spreadKwargs: null };
        this.tokens.expectOperator('(');
        this.listed(')', () => this.argument(result));
        return result;
    }

    /** @param {CallArguments} into */
    argument(into) {
        const { tokens } = this;
        const next = tokens.peek();
        if (tokens.skipOperator('**')) {
            if (into.spreadKwargs) throw tokens.unexpected('one ** in a call');
            into.spreadKwargs = this.expression();
        } else if (tokens.skipOperator('*')) {
            if (into.spread || into.spreadKwargs) throw tokens.unexpected('one * in a call, before **');
            into.spread = this.expression();
        } else if (tokens.current.type === 'name' && next.type === 'operator' && next.value === '=') {
            const name = tokens.expectName();
            if (into.spreadKwargs || into.kwargs.has(name)) throw tokens.unexpected(`'${name}' once, before **`);
            tokens.next();
            into.kwargs.set(name, this.expression());
        } else {
            if (into.kwargs.size > 0 || into.spread || into.spreadKwargs) throw tokens.unexpected('a keyword argument');
            into.args.push(this.expression());
        }
    }

    /** @param {AnyNode} node @returns {AnyNode} with the filters and tests behind it */
    filters(node) {
        let value = node;
        for (let i = 0; ; i++) {
            this.checkChain(i);
            if (this.tokens.skipOperator('|')) value = this.filter(value);
            else if (this.tokens.skipName('is')) value = this.test(value);
            else if (this.tokens.isOperator('(')) value = this.node('call', { callee: value, ...this.callArguments() });
            else return value;
        }
    }

    /** @returns {string} */
    dottedName() {
        let name = this.tokens.expectName();
        while (this.tokens.skipOperator('.')) name += `.${this.tokens.expectName()}`;
        return name;
    }

    /**
     * @param {'filter' | 'test'} type
     * @param {AnyNode} value
     * @param {string} name
     * @param {object} call
     * @returns {AnyNode}
     */
    use(type, value, name, call) {
        const node = this.node(type, { value, name, soft: this.soft > 0, ...call });
        this.uses.push(node);
        return node;
    }

    /** @param {AnyNode} value @returns {AnyNode} behind the '|' */
    filter(value) {
        const name = this.dottedName();
        const none = { args: [], kwargs: new Map(), spread: null, spreadKwargs: null };
        return this.use('filter', value, name, this.tokens.isOperator('(') ? this.callArguments() : none);
    }

    /** @param {AnyNode} value @returns {AnyNode} behind the 'is' */
    test(value) {
        const negated = this.tokens.skipName('not');
        const name = this.dottedName();
        let call = { args: /** @type {AnyNode[]} */ ([]), kwargs: new Map(), spread: null, spreadKwargs: null };
        const { type } = this.tokens.current;
        if (this.tokens.isOperator('(')) {
            call = /** @type {any} */ (this.callArguments());
        } else if (['string', 'integer', 'float'].includes(type) || this.tokens.isOperator('[')
            || this.tokens.isOperator('{') || (type === 'name' && !this.tokens.isName('else', 'or', 'and'))) {
            if (this.tokens.isName('is')) throw invalid('tests cannot be chained with is', this.tokens.line);
            // What `if` and the like make of it is known when they are read as a name: as in Jinja they are.
            call.args.push(this.postfix(this.primary()));
        }
        const node = this.use('test', value, name, call);
        return negated ? this.node('not', { value: node }) : node;
    }
}
