// Schemas of every kind that there is, and a validator that is written for what they may say.

/** @typedef {Record<string, any>} Schema */

/** @param {Schema} schema @param {any} value @param {Schema} [root] where its references lead @returns {boolean} */
export function isValid(schema, value, root = schema) {
    if (schema.$ref) {
        const [, where, name] = schema.$ref.split('/');
        return isValid(root[where][name], value, root);
    }
    if (schema.anyOf) return schema.anyOf.some((/** @type {Schema} */ one) => isValid(one, value, root));
    if (schema.const !== undefined) return JSON.stringify(value) === JSON.stringify(schema.const);
    if (schema.enum) return schema.enum.some((/** @type {any} */ one) => JSON.stringify(one) === JSON.stringify(value));
    return [schema.type].flat().some((type) => {
        switch (type) {
            case 'object':
                return typeof value === 'object' && value !== null && !Array.isArray(value)
                    && Object.entries(value).every(([key, one]) =>
                        Object.hasOwn(schema.properties ?? {}, key) && isValid(schema.properties[key], one, root))
                    && (schema.required ?? []).every((/** @type {string} */ key) => Object.hasOwn(value, key));
            case 'array':
                return Array.isArray(value) && value.every((one) => isValid(schema.items, one, root))
                    && value.length >= (schema.minItems ?? 0) && value.length <= (schema.maxItems ?? Math.max(16, schema.minItems ?? 0));
            case 'string':
                return typeof value === 'string' && (schema.pattern ? new RegExp(schema.pattern, 'u').test(value)
                    : Array.from(value).length >= (schema.minLength ?? 0)
                        && Array.from(value).length <= (schema.maxLength ?? Math.max(256, schema.minLength ?? 0)));
            case 'integer': case 'number':
                return Number.isFinite(value) && (type === 'number' || Number.isInteger(value))
                    && value >= (schema.minimum ?? -Infinity) && value <= (schema.maximum ?? Infinity);
            case 'boolean':
                return typeof value === 'boolean';
            default:
                return value === null;
        }
    });
}

const SHARED = {
    $id: 'https://example.com/shared',
    type: 'object', required: ['from', 'to'],
    properties: { from: { $ref: '#/$defs/point' }, to: { $ref: '#/$defs/point' } },
    $defs: {
        point: {
            type: 'object', required: ['x'],
            properties: { x: { type: 'integer', maximum: 9 }, y: { type: 'number', minimum: -3, maximum: 12 } },
        },
    },
};

/** @type {Record<string, Schema>} */
export const SCHEMAS = {
    string: { type: 'string', description: 'anything' },
    'short string': { type: 'string', minLength: 2, maxLength: 3 },
    'string by a pattern': { type: 'string', pattern: '^[a-c"\\\\é]{2,4}-\\d+?\\n$', title: 'with what JSON escapes' },
    'string by a pattern that ends with a backslash': { type: 'string', pattern: '^[a-z]\\$\\\\$' },
    integer: { type: 'integer' },
    'integer in a range': { type: 'integer', minimum: -104, maximum: 2039 },
    number: { type: 'number' },
    'number in a range': { type: 'number', minimum: -2, maximum: 1 },
    nothing: { type: ['null', 'boolean'] },
    'enum': { enum: ['a "quoted"', 'ünï', 17, null, { deep: [true] }] },
    'const': { const: 'fixed', type: 'string' },
    'empty object': { type: 'object', additionalProperties: false },
    'optional properties': { type: 'object', properties: { a: { type: 'null' }, b: { type: 'boolean' }, c: { type: 'null' } } },
    'required and optional': {
        type: 'object', required: ['b', 'd'],
        properties: { a: { type: 'null' }, b: { type: 'boolean' }, c: { type: 'null' }, d: { const: 1 }, '__proto__"é': { type: 'null' } },
    },
    array: { type: 'array', items: { type: 'integer', minimum: 0 }, minItems: 2, maxItems: 3 },
    'empty array': { type: 'array', items: { type: 'null' }, maxItems: 0 },
    anyOf: { anyOf: [{ type: 'array', items: { type: 'boolean' } }, { type: 'string', maxLength: 4 }, { type: 'null' }] },
    '$ref': SHARED,
    nested: {
        type: 'object', required: ['list'],
        properties: {
            name: { type: 'string', maxLength: 20 },
            list: {
                type: 'array', minItems: 1,
                items: { type: 'object', required: ['k'], properties: { k: { enum: ['x', 'y'] }, v: { type: ['number', 'null'] } } },
            },
        },
    },
};

export const PATTERNS = [
    'a(b|cd)*e?', '[a-c]{2,3}', '(a|b|)c', 'ab?c+', '(?:a|bc){1,2}d', '[^a]b', 'a.c', '^a\\.b$', '\\x61\\u0062\\u{63}', '(a*)(b*)c*?',
    'a{2}b{0,1}', '[\\]a-]b', '\\w\\d?', '((ab|a)b?)+', '', 'a|', '[a\\-c]',
    '(a{2,3}){1,3}', '(a{3,4}){1,2}', '(a{2,3}){0,2}b', '(a{2,4}){2}', '((a|b){1,2}c?){2,3}', '((a|ab){2,3}b?){1,2}',
];
