// Kinds of tokenizer on which readers of tokenizer.json have been wrong, each in several forms, with the ids that Hugging
// Face's tokenizers gives, and what it makes of these without special tokens: kinds/make.py made all of it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Tokenizer } from '../../js/text/tokenizer.js';

/** @type {{ kind: string, name: string, tokenizer: Record<string, any>, items: { text: string, ids: number[], plain: string }[] }[]} */
const cases = JSON.parse(readFileSync(new URL('kinds/cases.json', import.meta.url), 'utf8'));

for (const { kind, name, tokenizer: file, items } of cases) {
    test(`${kind}: ${name}`, () => {
        const tokenizer = new Tokenizer(file);
        for (const { text, ids, plain } of items) {
            assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text));
            assert.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), plain);
        }
    });
}
