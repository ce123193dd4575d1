// A model that can chat, for tests of the page: the one that comes along, with a template.

import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const EMBEDDED = fileURLToPath(new URL('../../js/embedded/', import.meta.url));
/** Says what was said, line by line: enough for a model that knows no chat to be one. */
const TEMPLATE = '{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}';

/**
 * The small model with a chat template in its metadata, in a folder of its own.
 * @param {import('node:test').TestContext} t
 */
export async function chattingModel(t) {
    const folder = await mkdtemp(join(tmpdir(), 'chat-'));
    t.after(() => rm(folder, { recursive: true }));
    const bytes = readFileSync(`${EMBEDDED}model.safetensors`);
    const end = 8 + Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.toString('utf8', 8, end));
    header.__metadata__.chat_template = TEMPLATE;
    const text = Buffer.from(JSON.stringify(header));
    const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8, ' ');
    text.copy(padded);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(padded.length));
    const file = join(folder, 'chat.safetensors');
    await writeFile(file, Buffer.concat([length, padded, bytes.subarray(end)]));
    return file;
}
