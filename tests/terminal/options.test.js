// The command line's options, and whose they are.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { UsageError, inDashes, settings } from '../../js/terminal/options.js';

test('each goes where it is used, under its name there', () => {
    const values = {
        model: 'x', system: 's', 'top-k': '9', 'max-new-tokens': '5', stop: ['a', 'b'], workers: '2',
        'cache-dtype': 'int8', 'context-length': '128', revision: 'main',
    };
    assert.deepEqual(settings('chat', values), {
        model: 'x', system: 's', runtime: { workers: 2 }, load: { contextLength: 128, cacheDtype: 'int8' },
        hub: { revision: 'main' }, generate: { topK: 9, maxNewTokens: 5, stop: ['a', 'b'] },
    });
    assert.deepEqual(settings('inspect', {}).runtime, { workers: 'auto' });
});

test('what is wrong is named with its dashes', () => {
    assert.throws(() => settings('generate', { 'top-k': 'many' }), { message: '--top-k must be a number, got "many"' });
    assert.throws(() => settings('generate', { seed: ' ' }), UsageError);
    assert.throws(() => settings('inspect', { 'top-k': '1' }), { message: '--top-k is no option of inspect' });
    assert.throws(() => settings('generate', { system: 'x' }), { message: '--system is no option of generate' });
    const named = inDashes(new RangeError('maxNewTokens must be a positive integer, got -1'));
    assert.ok(named instanceof UsageError);
    assert.equal(named.message, '--max-new-tokens must be a positive integer, got -1');
    for (const other of [new Error('temperature must be'), new TypeError('temperatures must be'), 'text']) {
        assert.equal(inDashes(other), other);
    }
});
