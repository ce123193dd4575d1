// The README's examples, run as they stand: modules that import the package by its name; Python where it has Keras Hub.

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'node:test';
import ts from 'typescript';
import { sharedFolder } from './shared.js';

const root = new URL('../', import.meta.url);
const readme = readFileSync(new URL('README.md', root), 'utf8');
const examples = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]);
const folder = new URL('build/readme/', root);
mkdirSync(folder, { recursive: true });

/** A whole folder of a chat model, which is not committed. */
const chat = sharedFolder('models/hf-complete/llama-chatml/');

/** @param {number} number @param {string} [before] @param {string} [cwd] @returns {string} what the example prints */
function run(number, before = '', cwd = '.') {
    const file = fileURLToPath(new URL(`example-${number}.js`, folder));
    writeFileSync(file, before + examples[number]);
    return execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 180_000, cwd });
}

/** @param {string[]} names of files @returns {string[]} what a strict TypeScript says of them, with the types that come along */
function problemsOf(names) {
    const program = ts.createProgram(names, {
        strict: true, noEmit: true, exactOptionalPropertyTypes: true, skipLibCheck: true, types: ['node'], target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext,
    });
    return ts.getPreEmitDiagnostics(program).map(({ file, messageText }) =>
        `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`);
}

test('the examples are right for a strict TypeScript, with the types that come along', () => {
    const names = examples.map((text, number) => {
        const name = fileURLToPath(new URL(`example-${number}.mts`, folder));
        // A model may have no tokenizer, and a page saves a Blob: TypeScript has to be told that it is otherwise.
        writeFileSync(name, text.replace('source,', "'model.gguf',").replace('model.tokenizer.', 'model.tokenizer!.')
            .replace('await cache.save()', 'await cache.save() as Uint8Array'));
        return name;
    });
    assert.deepEqual(problemsOf(names), []);
});

test('a strict TypeScript lets through what runs, and stops what does not', () => {
    const name = fileURLToPath(new URL('strict.mts', folder));
    writeFileSync(name, `
        import type { KVCache, Tensor } from 'cached-attention';
        import type { CacheOptions, ForwardOptions, LanguageModel } from 'cached-attention/generation';

        export async function chat(model: LanguageModel, keys: KVCache) {
            // Turns have more than a role and a content, and templates variables of their own.
            const said = [
                { role: 'user', content: 'What is the weather?' },
                { role: 'assistant', tool_calls: [{ type: 'function', function: { name: 'weather', arguments: {} } }] },
                { role: 'tool', name: 'weather', tool_call_id: 'a', content: 'sunny' },
            ] as const;
            const text = model.tokenizer!.applyChatTemplate(said, { addGenerationPrompt: true, enable_thinking: false });
            const { calls } = model.parseToolCalls(text);
            model.generate([{ role: 'assistant', content: null, tool_calls: calls }], { tools: [{}] });
            // @ts-expect-error
            model.tokenizer!.applyChatTemplate([{ content: 'without a role' }]);
            // @ts-expect-error
            model.tokenizer!.applyChatTemplate(said, { addGenerationPrompt: 'no' });

            // What is only read may be readonly.
            model.generate(said, { stop: said.map(({ role }) => role) as readonly string[] });
            const prompts: readonly string[] = ['a', 'b'];
            model.generate(prompts, [{ seed: 1 }, { seed: 2 }] as const);
            const ids = [[1, 2], [3]] as const;
            await model.forward(ids);

            // Options that are not known yet.
            const options: ForwardOptions = {};
            const given = await model.forward([1], options);
            // @ts-expect-error
            given.shape;
            const plain: Tensor = await model.forward([1], { positions: 'all' });
            const made: CacheOptions = { batch: 2 };
            const { tokens } = model.createCache(made);
            // @ts-expect-error
            const one: number[] = tokens;
            const alone: number[] = model.createCache({ length: 8 }).tokens;

            // @ts-expect-error
            keys.shape = [1];
            // @ts-expect-error
            keys.dtype = 'int8';
            return { plain, one, alone };
        }
    `);
    assert.deepEqual(problemsOf([name]), []);
});

test('there are six examples, the first two of about 20 lines together', () => {
    assert.equal(examples.length, 6);
    assert.ok(examples.slice(0, 2).join('').trim().split('\n').length <= 30);
});

test('the layer: ten cached steps, and what the runtime says of itself', () => {
    const output = run(0);
    for (let t = 0; t < 10; t++) assert.match(output, new RegExp(`^${t} \\[ 1, 1, 64 \\] Float32Array`, 'm'));
    assert.match(output, /variant: '(simd128|relaxed)'/);
});

test('the model: a story that goes on from its prompt', () => {
    const text = run(1);
    assert.ok(text.startsWith('Once upon a time'), text);
    assert.ok(text.split(/\s+/).length > 20, text);
});

test('a chat: two turns with one cache', { skip: chat ? false : 'shared/models is not here' }, () => {
    const output = run(2, `const source = ${JSON.stringify(chat?.href)};\n`);
    assert.match(output, /family: 'llama'/);
});

test('a branch: two ends of one beginning', () => {
    const [cat, dog] = run(3).split(/^(?= dog)/m);
    assert.ok(cat.startsWith(' cat') && cat.length > 20, cat);
    assert.ok(dog.startsWith(' dog') && dog.length > 20, dog);
});

test('a session that is saved and goes on', () => within((cwd) => {
    for (const round of [1, 2]) {
        const lines = run(4, '', cwd).split('\n');
        assert.ok(lines.length > 40, `round ${round}`);
        assert.ok(existsSync(join(cwd, 'session.cache')));
    }
}));

/** The preset that stands for the one which the example fetches: files/make_preset.py made it. */
const preset = new URL('files/fixtures/preset/', import.meta.url);
/** @type {{ text: string }} what Keras writes with it */
const keras = JSON.parse(readFileSync(new URL('files/fixtures/preset.json', import.meta.url), 'utf8'));

/** @param {(cwd: string) => void} body gets a folder of its own */
function within(body) {
    const cwd = mkdtempSync(join(tmpdir(), 'cached-attention-'));
    try {
        body(cwd);
    } finally {
        rmSync(cwd, { recursive: true });
    }
}

/** @param {string} cwd @param {string} whole what Keras wrote, which may be longer */
function checkPage(cwd, whole) {
    const text = run(5, '', cwd).trimEnd();
    assert.ok(text.length > 'Once upon a time'.length + 10, text);
    assert.ok(whole.startsWith(text), `${text} is not how ${whole} begins`);
}

test('from Keras to a page: a preset writes what it wrote in Python', () => within((cwd) => {
    cpSync(preset, join(cwd, 'my-model'), { recursive: true });
    checkPage(cwd, keras.text);
}));

/** Python with Keras Hub: PYTHON says which, where it is not the usual one. */
const python = process.env.PYTHON ?? 'python3';
const env = { KERAS_BACKEND: 'numpy', ...process.env };
const hasKeras = spawnSync(python, ['-c', 'import keras_hub'], { env, timeout: 120_000 }).status === 0;

test('from Keras to a page: the program in Python', { skip: hasKeras ? false : `${python} has no keras_hub` }, () => within((cwd) => {
    const [program] = /** @type {RegExpMatchArray} */ (readme.match(/(?<=^```python\n).*?(?=^```$)/ms));
    assert.ok(program.trim().split('\n').length <= 10);
    const local = program.replace('"gpt2_base_en"', JSON.stringify(fileURLToPath(preset)));
    assert.notEqual(local, program);
    const output = execFileSync(python, ['-c', local], { env, cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'], timeout: 300_000 });
    checkPage(cwd, output.trimEnd());
    assert.equal(output.trimEnd(), keras.text);
}));

test('JSON by a schema, from the model of the package', () => {
    const example = /^```javascript\n(.*?)^```$/ms.exec(readme)?.[1] ?? '';
    const file = fileURLToPath(new URL('example-json.js', folder));
    writeFileSync(file, `import { createRuntime } from 'cached-attention';\nimport { loadModel } from 'cached-attention/generation';
        const runtime = await createRuntime();\nconst model = await loadModel(runtime);\n${example}runtime.dispose();\n`);
    // In one line or, where the name has been drawn long, in several.
    assert.match(execFileSync(process.execPath, [file], { encoding: 'utf8', timeout: 180_000 }), /^\{\s+name: .*,\s+age: \d+\s+\}/s);
});

test('every file that the README links to is there', () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1]).filter((link) => !link.includes(':'));
    assert.ok(links.length > 0);
    for (const link of links) readFileSync(new URL(link, root));
});
