// A model that can chat, for tests of the page: the one that comes along, with a template.

import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const EMBEDDED = fileURLToPath(new URL('../../js/embedded/', import.meta.url));
/** Says what was said, line by line: enough for a model that knows no chat to be one. It refuses the word `refused`. */
const TEMPLATE = '{% for m in messages %}{% if m.content == "refused" %}{{ raise_exception("not that word") }}{% endif %}' +
    '{{ m.role }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}';

/** A string as GGUF has it. @param {string} text */
function counted(text) {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
    return Buffer.concat([length, Buffer.from(text)]);
}

/**
 * The small model with a chat template in its metadata, in a folder of its own.
 * @param {import('node:test').TestContext} t
 */
export async function chattingModel(t) {
    const folder = await mkdtemp(join(tmpdir(), 'chat-'));
    t.after(() => rm(folder, { recursive: true }));
    const bytes = readFileSync(`${EMBEDDED}model.gguf`);
    const head = Buffer.concat([counted('tokenizer.chat_template'), Buffer.of(8, 0, 0, 0)]);
    // As long as tensors are aligned, so that they stay so.
    const room = -(head.length + counted(`${TEMPLATE}{##}`).length) & 31;
    const pair = Buffer.concat([head, counted(`${TEMPLATE}{#${' '.repeat(room)}#}`)]);
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(16) + 1n, 16);
    const file = join(folder, 'chat.gguf');
    await writeFile(file, Buffer.concat([bytes.subarray(0, 24), pair, bytes.subarray(24)]));
    return file;
}
