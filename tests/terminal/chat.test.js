// A conversation, with a model that is played.

import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, test } from 'node:test';
import { Chat } from '../../js/terminal/chat.js';

/** Says each answer word by word; with `slow` a word takes until the test says go. */
class FakeModel {
    /** @type {any[]} what generate() was called with */
    calls = [];
    caches = 0;
    disposed = 0;
    tokenizer = { applyChatTemplate: () => '' };

    /** @param {string[][]} answers @param {{ endless?: boolean, deaf?: boolean, refuses?: boolean }} [options] */
    constructor(answers, options = {}) {
        this.answers = answers;
        this.options = options;
    }

    createCache() {
        this.caches++;
        return { dispose: () => this.disposed++ };
    }

    /** @param {any} messages @param {any} options */
    async* generate(messages, options) {
        this.calls.push({ messages, options });
        if (this.options.refuses && this.calls.length === 1) throw new Error('roles must alternate\x1b[2J');
        for (const [i, text] of (this.answers[this.calls.length - 1] ?? []).entries()) {
            options.signal.throwIfAborted();
            yield { token: i, text };
        }
        while (this.options.endless && !(options.signal.aborted && !this.options.deaf)) await sleep(1);
        options.signal.throwIfAborted();
    }
}

/** @param {FakeModel} model @param {{ isTTY?: boolean, system?: string, options?: object }} [settings] */
function start(model, { isTTY = false, system, options = {} } = {}) {
    const input = Object.assign(new PassThrough(), { isTTY });
    const output = Object.assign(new PassThrough(), { isTTY, columns: 80 });
    const notes = Object.assign(new PassThrough(), { isTTY });
    const read = { output: '', notes: '' };
    output.on('data', (chunk) => { read.output += chunk; });
    notes.on('data', (chunk) => { read.notes += chunk; });
    const chat = new Chat(model, options, { input, output, notes }, system);
    const done = chat.run();
    /** @param {() => boolean} condition */
    const until = async (condition) => {
        for (let i = 0; !condition(); i++) {
            assert.ok(i < 2000, `waited in vain: ${JSON.stringify(read)}`);
            await sleep(1);
        }
    };
    return { chat, done, input, read, until };
}

const turns = (/** @type {any} */ chat) => chat.messages.map((/** @type {any} */ m) => `${m.role}: ${m.content}`);

describe('from a pipe', () => {
    test('each line is a turn, the conversation grows, one cache holds it', async () => {
        const model = new FakeModel([['He', 'llo'], ['Yes', '\x1b[31m']]);
        const { chat, done, input, read } = start(model, { system: 'Be brief.', options: { topK: 3 } });
        input.end('Hi\n\n  \nReally?\n');
        assert.equal(await done, true);
        assert.equal(read.output, 'Hello\nYes\x1b[31m\n');
        assert.match(read.notes, /^\(2 tokens(, [\d.]+ per second)?\)\n\(2 tokens.*\)\n$/);
        assert.deepEqual(model.calls.map(({ messages }) => messages.length), [2, 4]);
        assert.deepEqual(model.calls[1].messages, [
            { role: 'system', content: 'Be brief.' }, { role: 'user', content: 'Hi' },
            { role: 'assistant', content: 'Hello' }, { role: 'user', content: 'Really?' },
        ]);
        assert.equal(model.calls[0].options.topK, 3);
        assert.equal(model.calls[0].options.cache, model.calls[1].options.cache);
        assert.deepEqual(turns(chat).at(-1), 'assistant: Yes\x1b[31m');
        assert.deepEqual([model.caches, model.disposed], [1, 1]);
    });

    test('a last line without its end, and a failure that is not kept silent', async () => {
        const model = new FakeModel([['a']]);
        const first = start(model);
        first.input.end('Hi');
        assert.equal(await first.done, true);
        assert.equal(first.read.output, 'a\n');
        const second = start(new FakeModel([], { refuses: true }));
        second.input.end('Hi\n');
        await assert.rejects(second.done, /roles must alternate/);
    });

    test('a signal stops the answer, what was written stays', async () => {
        const model = new FakeModel([['He', 'l'], ['ok']], { endless: true });
        const { chat, done, input, read, until } = start(model);
        input.write('Hi\n');
        await until(() => read.output === 'Hel');
        chat.interrupt();
        model.options.endless = false;
        input.end('Again\n');
        assert.equal(await done, true);
        assert.equal(read.output, 'Hel\nok\n');
        assert.deepEqual(turns(chat), ['user: Hi', 'assistant: Hel', 'user: Again', 'assistant: ok']);
        assert.match(read.notes, /^\(stopped\)\n\(1 token\)\n$/);
    });
});

describe('on a terminal', () => {
    test('a prompt; control characters of an answer are shown', async () => {
        const model = new FakeModel([['A\x1b', ']52;c;QQ\x07\r', 'b\n\tc']]);
        const { done, input, read, until } = start(model, { isTTY: true });
        await until(() => read.output.includes('> '));
        input.write('Hi\r');
        await until(() => /A.*b\n\tc\n.*> /s.test(read.output));
        assert.ok(read.output.includes('A\\x1b]52;c;QQ\\x07\\rb\n\tc\n'));
        assert.match(read.notes, /Ctrl-C/);
        // Ctrl-D, the end of what is typed
        input.write('\x04');
        assert.equal(await done, true);
    });

    test('Ctrl-C stops the answer, a second one leaves', async () => {
        const model = new FakeModel([['Hel'], ['ok']], { endless: true });
        const { chat, done, input, read, until } = start(model, { isTTY: true });
        input.write('Hi\r');
        await until(() => read.output.includes('Hel'));
        input.write('\x03');
        await until(() => read.notes.includes('(stopped)'));
        assert.equal(model.calls[0].options.signal.aborted, true);
        assert.deepEqual(turns(chat), ['user: Hi', 'assistant: Hel']);
        input.write('\x03');
        assert.equal(await done, false);
    });

    test('a model that does not stop is left by the second Ctrl-C', async () => {
        const model = new FakeModel([['Hel']], { endless: true, deaf: true });
        const { chat, done, input, read, until } = start(model, { isTTY: true });
        input.write('Hi\r');
        await until(() => read.output.includes('Hel'));
        input.write('\x03\x03');
        assert.equal(await done, false);
        assert.deepEqual(turns(chat), ['user: Hi', 'assistant: Hel']);
        model.options.endless = false;
    });

    test('what is typed during an answer is the next turn', async () => {
        const model = new FakeModel([['one'], ['two']], { endless: true });
        const { chat, done, input, read, until } = start(model, { isTTY: true });
        input.write('a\r');
        await until(() => read.output.includes('one'));
        input.write('b\r');
        await sleep(5);
        assert.ok(read.output.endsWith('one'));
        model.options.endless = false;
        await until(() => read.output.includes('two\n'));
        assert.ok(read.output.includes('one\n> b\ntwo\n'));
        input.write('\x04');
        await done;
        assert.deepEqual(turns(chat), ['user: a', 'assistant: one', 'user: b', 'assistant: two']);
    });

    test('an error ends the turn, not the conversation', async () => {
        const model = new FakeModel([[], ['fine']], { refuses: true });
        const { chat, done, input, read, until } = start(model, { isTTY: true });
        input.write('a\r');
        await until(() => read.notes.includes('roles must alternate\\x1b[2J\n'));
        input.write('b\r');
        await until(() => read.output.includes('fine\n'));
        input.write('\x04');
        assert.equal(await done, true);
        assert.deepEqual(turns(chat), ['user: b', 'assistant: fine']);
    });
});

test('a model that cannot chat says so before the first line', () => {
    const silent = Object.assign(new FakeModel([]), { tokenizer: null });
    assert.throws(() => start(/** @type {any} */ (silent)), /no tokenizer/);
    const refuses = new FakeModel([]);
    refuses.tokenizer.applyChatTemplate = (/** @type {any} */ ...args) => {
        assert.deepEqual(args[0].map((/** @type {any} */ m) => m.role), ['system', 'user']);
        throw new Error('System role not supported');
    };
    assert.throws(() => start(refuses, { system: 'x' }), /System role not supported/);
});
