// What a model or a file says cannot command a terminal.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, textFor } from '../../js/terminal/sanitize.js';

test('control characters are shown, tab and newline pass', () => {
    assert.equal(printable('a\tb\nc é 你 🚀'), 'a\tb\nc é 你 🚀');
    assert.equal(printable('\x1b[31mred\x1b[0m'), '\\x1b[31mred\\x1b[0m');
    assert.equal(printable('\x1b]52;c;cm0gLXJm\x07'), '\\x1b]52;c;cm0gLXJm\\x07');
    assert.equal(printable('safe\rEVIL\b\x7f\x00'), 'safe\\rEVIL\\b\\x7f\\x00');
    // C1: one character that is ESC [ to a terminal
    assert.equal(printable('\x9b31m\x9d52'), '\\x9b31m\\x9d52');
    assert.equal(printable('a\u202eb'), 'a\\u202eb');
    for (let code = 0; code < 0x110000; code += code < 0x3000 ? 1 : 0x101) {
        const shown = printable(String.fromCodePoint(code));
        if (code !== 9 && code !== 10) assert.doesNotMatch(shown, /\p{Cc}/u);
    }
});

test('a sequence is harmless however it is split over tokens', () => {
    const text = 'x\x1b]52;c;QQ==\x1b\\y\r\n\x9b2Jz';
    for (let i = 0; i <= text.length; i++) {
        for (let j = i; j <= text.length; j++) {
            const parts = [text.slice(0, i), text.slice(i, j), text.slice(j)];
            assert.equal(parts.map(printable).join(''), printable(text));
        }
    }
});

test('pipes get what there is', () => {
    assert.equal(textFor({}, '\x1b[2J'), '\x1b[2J');
    assert.equal(textFor({ isTTY: false }, '\r'), '\r');
    assert.equal(textFor({ isTTY: true }, '\r'), '\\r');
});
