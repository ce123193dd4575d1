// The page's end of its worker: who asks always gets an answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client } from '../../web/client.js';

/** @returns {{ client: any, sent: any[], deaths: string[], silences: number[] }} with a worker that takes what a real one would */
function started() {
    /** @type {any[]} */
    const sent = [];
    /** @type {string[]} */
    const deaths = [];
    /** @type {number[]} */
    const silences = [];
    const client = new Client(reason => deaths.push(reason), seconds => silences.push(seconds));
    client.worker = /** @type {any} */ ({
        postMessage: (/** @type {unknown} */ message) => sent.push(structuredClone(message)), terminate() {}
    });
    return { client, sent, deaths, silences };
}

test('what cannot be sent to the worker fails as what the worker refuses', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { client, sent, silences } = started();
    const first = client.ask({ type: 'score', text: 'a' });
    const failed = client.ask({ type: 'score', text: () => 'a' });
    assert.equal(await first, null);
    const { type, message, cancelled } = await failed;
    assert.deepEqual([type, cancelled], ['error', false]);
    assert.match(message, /could not be cloned/);
    assert.equal(sent.at(-1).command, null, 'the command before it is stopped');
    t.mock.timers.tick(60_000);
    assert.deepEqual(silences, [], 'nothing is waited for');
    const next = client.ask({ type: 'explain' });
    client.hear(sent.at(-1).run, { type: 'explained', report: {} });
    assert.equal((await next).type, 'explained');
});

test('without a worker nobody waits for one', async t => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const { client, deaths, silences } = started();
    const asked = client.ask({ type: 'explain' });
    client.die('it ran out of memory');
    assert.equal(await asked, null);
    assert.equal(await client.ask({ type: 'explain' }), null);
    t.mock.timers.tick(60_000);
    assert.deepEqual([deaths, silences], [['it ran out of memory'], []]);
});
