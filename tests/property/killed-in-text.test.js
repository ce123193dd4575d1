// Workers that are ended while a text is written: the text breaks off with a WorkerLostError, the cache holds what it says,
// and the text goes on from there to the same end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModel } from '../../js/generation/index.js';
import { WorkerLostError } from '../../js/index.js';
import { rng } from '../rng.js';
import { createWithSwitches } from '../switches.js';
import { noteWorkers } from './note-workers.js';

const PROMPT = 'Once upon a time there was a little girl who lived in a small house by the sea';
const LENGTH = 40;
const KILLS = 30;

for (const mayBlock of [false, true]) {
    test(`${KILLS} workers ended while a text is written, mayBlock ${mayBlock}`, { timeout: 400_000 }, async () => {
        const { started, end } = noteWorkers();
        const runtime = await createWithSwitches({ workers: 2, _test: { mayBlock } });
        try {
            const model = await loadModel(runtime);
            const ids = model.promptTokens(PROMPT);
            const random = rng(11);
            /** @param {number[]} text @param {import('../../js/generation/index.js').ModelCache} cache */
            const write = async (text, cache, killsAt = Infinity) => {
                const more = { maxNewTokens: LENGTH - text.length, temperature: 0, cache };
                for await (const { token } of model.generate([...ids, ...text], more)) {
                    if (text.push(token) === killsAt) kill();
                }
            };
            let killed = 0;
            const kill = () => {
                if (started.length === 0) return;
                started[Math.floor(random() * started.length)].terminate();
                killed++;
            };
            /** @type {number[]} */
            const expected = [];
            const first = model.createCache();
            await write(expected, first);
            first.dispose();
            // On a machine that gives no new workers in time there may be none left to end: then it is as many as there were.
            for (let round = 0; killed < KILLS && round < 2 * KILLS; round++) {
                const cache = model.createCache();
                /** @type {number[]} */
                const text = [];
                for (let done = false; !done;) {
                    // Where this thread computes too, a text may be whole before it gets to a timer.
                    const timer = mayBlock ? undefined : setTimeout(kill, random() * 30);
                    const killsAt = mayBlock ? text.length + 1 + Math.floor(random() * (LENGTH - text.length)) : Infinity;
                    done = await write(text, cache, killsAt).then(() => true, (error) => {
                        assert.ok(error instanceof WorkerLostError, String(error));
                        assert.deepEqual(cache.tokens, [...ids, ...expected].slice(0, cache.length));
                        return false;
                    });
                    clearTimeout(timer);
                }
                assert.deepEqual(text, expected);
                cache.dispose();
            }
            assert.ok(killed >= 5, `only ${killed} workers were ended`);
        } finally {
            runtime.dispose();
            end();
        }
    });
}
