// Imports point one way, static ones and those for later: no file leads back to itself, and no folder of js/ either.

import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** @returns {Promise<Map<string, Set<string>>>} every module of js/ with those that it imports */
async function modules() {
    const names = readdirSync(join(root, 'js'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.js'));
    const { metafile } = await build({
        absWorkingDir: root,
        entryPoints: names.map((name) => join('js', name)),
        bundle: true,
        splitting: true,
        write: false,
        metafile: true,
        outdir: 'dist',
        format: 'esm',
        external: ['*/unmoved.jsx?unmoved', 'node:*'],
    });
    return new Map(Object.entries(metafile.inputs).map(
        ([path, { imports }]) => [path, new Set(imports.filter(({ external }) => !external).map((each) => each.path))]));
}

/** @param {Map<string, Set<string>>} graph @returns {string[] | null} a way from a node back to it */
function findCircle(graph) {
    /** @type {Set<string>} */
    const done = new Set();
    /** @type {string[]} */
    const way = [];
    /** @param {string} node @returns {string[] | null} */
    const visit = (node) => {
        if (way.includes(node)) return [...way.slice(way.indexOf(node)), node];
        if (done.has(node)) return null;
        way.push(node);
        for (const next of graph.get(node) ?? []) {
            const circle = visit(next);
            if (circle) return circle;
        }
        way.pop();
        done.add(node);
        return null;
    };
    for (const node of graph.keys()) {
        const circle = visit(node);
        if (circle) return circle;
    }
    return null;
}

/** @param {string} path @returns {string} the folder of js/ that it lies in, or its own where it lies in none */
const place = (path) => path.split('/').slice(0, 2).join('/');

/** @param {Map<string, Set<string>>} graph @returns {Map<string, Set<string>>} that of the folders */
function folders(graph) {
    const all = new Set([...graph.keys()].map(place).filter((name) => !name.endsWith('.js')));
    const between = new Map([...all].map((folder) => [folder, /** @type {Set<string>} */ (new Set())]));
    for (const [path, imported] of graph) {
        for (const to of [...imported].map(place)) if (all.has(to) && to !== place(path)) between.get(place(path))?.add(to);
    }
    return between;
}

test('imports point one way', async () => {
    const graph = await modules();
    assert.ok((graph.get('js/index.js')?.size ?? 0) > 0, 'the graph is that of the modules');
    assert.equal(findCircle(graph), null, 'files');
    graph.get('js/check.js')?.add('js/index.js');
    assert.notEqual(findCircle(graph), null, 'one is found where there is one');
});

test('so do those between folders', async () => {
    const between = folders(await modules());
    assert.ok(between.get('js/generation')?.has('js/model'), 'the graph is that of the folders');
    assert.equal(findCircle(between), null);
});
