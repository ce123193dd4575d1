// What each kind of statement does.

import { unsupported } from './errors.js';
import { Loop } from './loop.js';
import { str } from './print.js';
import { Scope } from './scope.js';
import { Attributes, Dict, Namespace, TemplateError, Tuple, Undefined, truthy } from './values.js';

/** @typedef {import('./machine.js').Machine} Machine */
/** @typedef {import('./expressions.js').AnyNode} AnyNode */
/** @typedef {'break' | 'continue' | null | void} Jump */

/** @param {Machine} m @param {AnyNode} target @param {any} value */
function assign(m, target, value) {
    if (target.type === 'variable') {
        m.scope.names.set(target.name, value);
    } else if (target.type === 'member') {
        const object = m.evaluate(target.object);
        if (!(object instanceof Namespace)) throw new TemplateError('cannot assign attribute on non-namespace object');
        object.set(target.name, value);
    } else {
        const values = m.list(value);
        if (values.length !== target.items.length) {
            throw new TemplateError(`expected ${target.items.length} values to unpack, got ${values.length}`);
        }
        for (const [i, one] of target.items.entries()) assign(m, one, values[i]);
    }
}

/**
 * @param {Machine} m
 * @param {AnyNode} node
 * @param {any} iterable
 * @returns {Generator<any, void, void>} what passes its if
 */
function* filtered(m, node, iterable) {
    const scope = m.scope;
    for (const item of m.iterate(iterable)) {
        const passes = node.test === null || m.within(new Scope(scope), () => {
            assign(m, node.target, item);
            return truthy(m.evaluate(node.test));
        });
        if (passes) yield item;
    }
}

/** @param {Machine} m @param {AnyNode} node @param {any} iterable @param {number} depth of recursion @returns {Jump} */
function loop(m, node, iterable, depth) {
    const scope = m.scope;
    const state = new Loop(filtered(m, node, iterable), depth, m.limits);
    if (node.recursive) {
        state.call = (args) => m.capture(() => m.within(scope, () => loop(m, node, args[0] ?? [], depth + 1)));
    }
    let whole = false;
    for (let next = state.next(); !next.done; next = state.next()) {
        const inner = new Scope(scope);
        inner.names.set('loop', state);
        const jump = m.within(inner, () => {
            assign(m, node.target, next.value);
            return m.execute(node.body);
        });
        if (jump === 'break') break;
        whole ||= !jump;
    }
    // As Jinja has it: a body that was left early does not count.
    return whole || !node.otherwise ? null : m.within(new Scope(scope), () => m.execute(node.otherwise));
}

/** A macro is called in the scope it was written in. @param {Machine} m @param {AnyNode} node @returns {Attributes} */
function makeMacro(m, node) {
    const scope = m.scope;
    const names = node.parameters.map((/** @type {{ name: string }} */ parameter) => parameter.name);
    const macro = new Attributes('Macro', new Map(/** @type {[string, any][]} */ ([
        ['name', node.name], ['arguments', new Tuple(names)], ['catch_kwargs', node.kwargs],
        ['catch_varargs', node.varargs], ['caller', node.caller],
    ])));
    macro.call = (args, kwargs) => m.capture(() => m.within(new Scope(scope), () => {
        bindParameters(m, node, names, args, new Map(kwargs));
        return m.execute(node.body);
    }));
    return macro;
}

/**
 * @param {Machine} m
 * @param {AnyNode} node
 * @param {string[]} names
 * @param {any[]} args
 * @param {Map<string, any>} kwargs
 */
function bindParameters(m, node, names, args, kwargs) {
    const what = `macro '${node.name}'`;
    for (const [i, { name, fallback }] of node.parameters.entries()) {
        let value = args[i];
        if (kwargs.has(name)) {
            if (i < args.length) throw new TemplateError(`${what} got multiple values for argument '${name}'`);
            value = kwargs.get(name);
            kwargs.delete(name);
        }
        if (value === undefined) {
            value = fallback ? m.evaluate(fallback) : new Undefined(`parameter '${name}' was not provided`);
        }
        m.scope.names.set(name, value);
    }
    if (node.caller) {
        m.scope.names.set('caller', kwargs.get('caller') ?? new Undefined('No caller defined'));
        kwargs.delete('caller');
    }
    if (node.varargs) m.scope.names.set('varargs', new Tuple(args.slice(names.length)));
    else if (args.length > names.length) throw new TemplateError(`${what} takes at most ${names.length} argument(s)`);
    if (node.kwargs) m.scope.names.set('kwargs', new Dict(kwargs));
    else for (const name of kwargs.keys()) throw new TemplateError(`${what} takes no keyword argument '${name}'`);
}

/** @param {Machine} m @param {AnyNode} node */
function callBlock(m, { call, macro }) {
    const caller = { type: 'constant', line: call.line, value: makeMacro(m, macro) };
    const value = m.evaluate({ ...call, kwargs: new Map([...call.kwargs, ['caller', caller]]) });
    m.write(str(value, m.limits));
}

/** Its text goes through filters that stand in the tag. @param {Machine} m @param {AnyNode} node @returns {any} */
function filteredText(m, node) {
    const text = m.capture(() => void m.within(new Scope(m.scope), () => m.execute(node.body)));
    const outer = m.captured;
    m.captured = text;
    const value = m.evaluate(node.filtered);
    m.captured = outer;
    return value;
}

/** @type {Map<string, (m: Machine, node: AnyNode) => Jump>} */
const EXECUTE = new Map(Object.entries({
    data: (m, { text }) => m.write(text),
    print: (m, { value }) => m.write(str(m.evaluate(value), m.limits)),
    if: (m, { branches, otherwise }) => {
        for (const { test, body } of branches) if (truthy(m.evaluate(test))) return m.execute(body);
        return otherwise ? m.execute(otherwise) : null;
    },
    for: (m, node) => loop(m, node, m.evaluate(node.iterable), 0),
    break: () => 'break',
    continue: () => 'continue',
    set: (m, { target, value }) => assign(m, target, m.evaluate(value)),
    setBlock: (m, node) => assign(m, node.target, filteredText(m, node)),
    filterBlock: (m, node) => m.write(str(filteredText(m, node), m.limits)),
    with: (m, { assignments, body }) => {
        const values = assignments.map((/** @type {{ value: AnyNode }} */ { value }) => m.evaluate(value));
        return m.within(new Scope(m.scope), () => {
            for (const [i, { target }] of assignments.entries()) assign(m, target, values[i]);
            return m.execute(body);
        });
    },
    macro: (m, node) => void m.scope.names.set(node.name, makeMacro(m, node)),
    callBlock,
    block: (m, { body }) => void m.within(new Scope(m.top), () => m.execute(body)),
    scope: (m, { body }) => m.within(new Scope(m.scope), () => m.execute(body)),
    loading: (_, { name, line }) => {
        throw unsupported(`'${name}', so another template`, line);
    },
}));

/** @param {Machine} m @param {AnyNode[]} body @returns {'break' | 'continue' | null} */
export function execute(m, body) {
    m.limits.enter();
    for (const node of body) {
        m.line = node.line;
        const jump = /** @type {(m: Machine, node: AnyNode) => Jump} */ (EXECUTE.get(node.type))(m, node);
        if (jump) {
            m.limits.leave();
            return jump;
        }
    }
    m.limits.leave();
    return null;
}

