/** For developers: a program that writes the very text on the page, its address, and what runs here for a bug report. */

import { find } from './find.js';
import { fromForm, toHash, toRunOptions } from './settings.js';
import { settingsOf } from './write-panel.js';

/** @import { App } from './app.js' */
/** @import { Turn } from './messages.js' */

const CDN = 'https://cdn.jsdelivr.net/npm/cached-attention/dist';

export class CodePanel {
    /**
     * @param {App} app
     * @param {() => Turn[] | null} conversation null while the page writes
     */
    constructor(app, conversation) {
        this.app = app;
        this.conversation = conversation;
        const panel = /** @type {HTMLDetailsElement} */ (find('code-panel'));
        const explain = /** @type {HTMLDetailsElement} */ (find('explain-panel'));
        panel.addEventListener('toggle', () => this.show());
        for (const input of find('code-kinds').querySelectorAll('input')) input.addEventListener('change', () => this.show());
        app.form.addEventListener('input', () => panel.open && this.show());
        for (const type of ['text', 'model']) app.addEventListener(type, () => panel.open && app.state !== 'writing' && this.show());
        explain.addEventListener('toggle', () => explain.open && this.explain());
        app.addEventListener('state', () => explain.open && this.explain());
        this.offer('copy-code', () => find('code').textContent ?? '');
        this.offer('copy-explained', () => find('explained').textContent ?? '');
        this.offer('copy-address', () => this.address());
    }

    address() {
        return new URL(toHash(settingsOf(this.app)), location.href).href;
    }

    show() {
        const isPage = Boolean(find('code-kinds').querySelector('input[value="page"]:checked'));
        const settings = fromForm(this.app.form);
        const origin = this.app.trace?.origin ?? { settings, prompt: this.conversation() ?? settings.prompt, options: {} };
        find('code').textContent = program(this.app, origin, isPage);
    }

    /** While the worker writes, or when it is gone, what it said last. */
    async explain() {
        const { app } = this;
        const answer = await app.look({ type: 'explain' });
        const said = answer?.type === 'explained' ? answer.report : { runtime: app.explained, model: app.model?.explained };
        const { userAgent, hardwareConcurrency: cores } = navigator;
        const notice = find('notice').hidden ? null : find('notice-text').textContent;
        find('explained').textContent = JSON.stringify({ page: { userAgent, crossOriginIsolated, cores, notice }, ...said }, null, 2);
    }

    /**
     * What became of it is said beside the button.
     * @param {string} id of a button
     * @param {() => string} text what it copies
     */
    offer(id, text) {
        const button = find(id);
        const said = /** @type {Element} */ (button.parentElement?.querySelector('[role=status]'));
        button.addEventListener('click', async () => {
            said.textContent = await copy(text()) ? 'Copied.' : 'This browser does not let the page copy: select the text and copy it.';
        });
    }
}

/** @param {string} text @returns {Promise<boolean>} whether the browser lets the page copy */
export async function copy(text) {
    return Boolean(await navigator.clipboard?.writeText(text).then(() => true, () => false));
}

/**
 * What stands there: tokens where the text was branched or continued, since what they say may be cut in other ways too.
 * @param {App} app
 * @param {import('./trace.js').Origin} origin
 * @param {boolean} isPage
 */
function program({ source, explained }, { settings, prompt: from, options: { pace: own, ...more } }, isPage) {
    const { layer, pace, ...options } = { ...toRunOptions(settings), ...more };
    const [given, helper] = sourceCode(source, isPage);
    const isText = typeof from === 'string';
    const isTokens = typeof from[0] === 'number';
    const prompt = isText ? quote(from) : isTokens ? `[${from.join(', ').replace(/(.{90,}?,) /g, '$1\n    ')}]` : JSON.stringify(from, null, 4);
    const beginning = isText ? 'prompt' : 'model.tokenizer.decode(prompt, { skipSpecialTokens: true })';
    const simd = explained?.variant;
    const how = { ...(settings.workers !== 'auto' && { workers: settings.workers }), ...(simd && { simd }) };
    const generation = isPage ? `${CDN}/generation/index.js` : 'cached-attention/generation';
    const lines = [
        `import { createRuntime } from '${isPage ? `${CDN}/index.js` : 'cached-attention'}';`,
        `import { ${['loadModel', ...helper].join(', ')} } from '${generation}';`,
        '',
        '// SIMD as on the page: with another kind the words may come to be others.',
        `const runtime = await createRuntime(${literal(how)});`,
        `const model = await loadModel(runtime${given ? `, ${given}` : ''});`,
        `const prompt = ${prompt};`,
        ...(isText || isTokens ? [isPage ? `document.body.append(${beginning});` : `process.stdout.write(${beginning});`] : []),
        `for await (const { text } of model.generate(prompt, ${literal(options)})) {`,
        isPage ? '    document.body.append(text);' : '    process.stdout.write(text);',
        '}',
        'runtime.dispose();'
    ];
    const head = ['<!doctype html>', '<meta charset="utf-8">', '<body style="white-space: pre-wrap"></body>'];
    // What ends a script, or begins a comment in one, may stand in a text: not so spelled.
    const script = lines.join('\n').replace(/<(?=[/!])/g, '<\\');
    return isPage ? [...head, '<script type="module">', script, '</script>'].join('\n')
        : ['// npm install cached-attention; node story.mjs', ...lines].join('\n');
}

/**
 * @param {import('./messages.js').Source} source
 * @param {boolean} isPage
 * @returns {[code: string, imports: string[]]} the second argument of loadModel()
 */
function sourceCode(source, isPage) {
    if (source.kind === 'own') return ['', []];
    if (source.kind === 'files') return [quote(isPage ? `models/${source.name}` : source.name), []];
    const [, repository, file] = /^([^/]+\/[^/]+)(?:\/(.+))?$/.exec(source.name) ?? [];
    if (!repository) return [quote(source.name), []];
    return [`huggingFace(${quote(repository)}${file ? `, { file: ${quote(file)} }` : ''})`, ['huggingFace']];
}

/** @param {object} options @returns {string} */
function literal(options) {
    const fields = Object.entries(options).map(([name, value]) =>
        `${name}: ${typeof value === 'string' ? quote(value) : typeof value === 'object' ? literal(value) : value}`);
    return fields.join(', ').length < 60 ? `{ ${fields.join(', ')} }` : `{\n    ${fields.join(',\n    ')}\n}`;
}

/** @param {string} text */
function quote(text) {
    return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n').replaceAll('\r', '\\r')}'`;
}
