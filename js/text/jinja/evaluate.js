// What each kind of expression gives.

import { getSlice } from './attributes.js';
import { comparison } from './compare.js';
import { binary, unary } from './operators.js';
import { checkName } from './parser.js';
import { str } from './print.js';
import { plain } from './sequences.js';
import { Dict, TemplateError, Tuple, Undefined, View, truthy } from './values.js';

/** @typedef {import('./machine.js').Machine} Machine */
/** @typedef {import('./expressions.js').AnyNode} AnyNode */

/** @param {Machine} m @param {AnyNode} node @returns {{ args: any[], kwargs: Map<string, any> }} of a call */
function callArguments(m, { args, kwargs, spread, spreadKwargs }) {
    const values = args.map((/** @type {AnyNode} */ arg) => m.evaluate(arg));
    /** @type {Map<string, any>} */
    const named = new Map();
    if (spread) values.push(...m.list(m.evaluate(spread)));
    for (const [name, value] of kwargs) named.set(name, m.evaluate(value));
    if (spreadKwargs) {
        const more = m.evaluate(spreadKwargs);
        if (!(more instanceof Dict)) throw new TemplateError('argument after ** must be a mapping');
        for (const pair of m.iterate(new View(more, 'items'))) {
            const [name, value] = pair.items;
            if (typeof name !== 'string' || named.has(name)) {
                throw new TemplateError('keywords must be different strings');
            }
            named.set(name, value);
        }
    }
    return { args: values, kwargs: named };
}

/** @param {Machine} m @param {AnyNode} node */
function compareAll(m, { first, rest }) {
    let left = m.evaluate(first);
    for (const { operator, value } of rest) {
        const right = m.evaluate(value);
        if (!comparison(operator, left, right, m.limits)) return false;
        left = right;
    }
    return true;
}

/** @param {Machine} m @param {AnyNode} node */
function concatenate(m, { parts }) {
    let text = '';
    for (const part of parts) {
        const more = str(m.evaluate(part), m.limits);
        m.limits.size(text.length + more.length);
        text += more;
    }
    return text;
}

/** @param {Machine} m @param {AnyNode} node */
function condition(m, { test, value, otherwise, line }) {
    if (truthy(m.evaluate(test))) return m.evaluate(value);
    return otherwise ? m.evaluate(otherwise)
        : new Undefined(`the inline if-expression on line ${line} evaluated to false and no else section was defined.`);
}

/** @param {Machine} m @param {AnyNode} node */
function item(m, { value, index }) {
    const object = m.evaluate(value);
    if (index.type !== 'slice') return m.item(object, m.evaluate(index));
    const [start, stop, step] = [index.start, index.stop, index.step].map((part) => part && m.evaluate(part));
    return getSlice(m, object, start, stop, step);
}

/** @type {Map<string, (m: Machine, node: AnyNode) => any>} */
const EVALUATE = new Map(Object.entries({
    constant: (_, { value }) => value,
    name: (m, { name }) => {
        const value = m.scope.find(name);
        return value === undefined ? new Undefined(`'${name}' is undefined`) : value;
    },
    captured: (m) => m.captured,
    list: (m, { items }) => items.map((/** @type {AnyNode} */ one) => m.evaluate(one)),
    tuple: (m, { items }) => new Tuple(items.map((/** @type {AnyNode} */ one) => m.evaluate(one))),
    dict: (m, { entries }) => new Dict(entries.map((/** @type {{ key: AnyNode, value: AnyNode }} */ { key, value }) => {
        const name = plain(m.evaluate(key));
        m.limits.weigh([name]);
        return [name, m.evaluate(value)];
    })),
    condition,
    or: (m, { left, right }) => {
        const value = m.evaluate(left);
        return truthy(value) ? value : m.evaluate(right);
    },
    and: (m, { left, right }) => {
        const value = m.evaluate(left);
        return truthy(value) ? m.evaluate(right) : value;
    },
    not: (m, { value }) => !truthy(m.evaluate(value)),
    comparison: compareAll,
    binary: (m, { operator, left, right }) => binary(operator, m.evaluate(left), m.evaluate(right), m.limits),
    unary: (m, { operator, value }) => unary(operator, m.evaluate(value)),
    concatenation: concatenate,
    attribute: (m, { value, name }) => m.attribute(m.evaluate(value), name),
    item,
    slice: () => {
        throw new TemplateError('a slice stands where an index is needed');
    },
    call: (m, node) => {
        const callee = m.evaluate(node.callee);
        const { args, kwargs } = callArguments(m, node);
        return m.call(callee, args, kwargs);
    },
    filter: (m, node) => {
        if (node.soft) checkName('filter', node.name, node.line);
        const value = m.evaluate(node.value);
        const { args, kwargs } = callArguments(m, node);
        return m.filter(node.name, value, args, kwargs);
    },
    test: (m, node) => {
        if (node.soft) checkName('test', node.name, node.line);
        const value = m.evaluate(node.value);
        const { args, kwargs } = callArguments(m, node);
        return m.test(node.name, value, args, kwargs);
    },
}));

/** @param {Machine} m @param {AnyNode} node @returns {any} */
export function evaluate(m, node) {
    m.limits.enter();
    const value = /** @type {(m: Machine, node: AnyNode) => any} */ (EVALUATE.get(node.type))(m, node);
    m.limits.leave();
    return value;
}
