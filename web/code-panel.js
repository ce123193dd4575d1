/** For developers: a program that writes the very text on the page, its address, and what runs here for a bug report. */

import { find } from './find.js';
import { bytes } from './meters.js';
import { fromForm, toHash, toRunOptions } from './settings.js';
import { modelOf } from './write-panel.js';

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
        for (const type of ['end', 'model']) app.addEventListener(type, () => panel.open && this.show());
        explain.addEventListener('toggle', () => explain.open && this.explain());
        find('copy-code').addEventListener('click', () => this.copy(find('code').textContent ?? ''));
        find('copy-explained').addEventListener('click', () => this.copy(find('explained').textContent ?? ''));
        find('copy-address').addEventListener('click', () => this.copy(this.address()));
    }

    address() {
        const settings = { ...fromForm(this.app.form), layer: this.app.layer + 1, head: this.app.inspector.lane, model: modelOf(this.app) };
        return new URL(toHash(settings), location.href).href;
    }

    show() {
        const isPage = Boolean(find('code-kinds').querySelector('input[value="page"]:checked'));
        const settings = fromForm(this.app.form);
        find('code').textContent = program(this.app, settings, this.conversation(), isPage);
    }

    async explain() {
        const answer = await this.app.look({ type: 'explain' });
        if (answer?.type !== 'explained') return;
        const { userAgent, hardwareConcurrency: cores } = navigator;
        const report = { page: { userAgent, crossOriginIsolated, cores }, ...answer.report };
        find('explained').textContent = JSON.stringify(report, null, 2);
    }

    /** @param {string} text */
    async copy(text) {
        try {
            await navigator.clipboard.writeText(text);
            find('copied').textContent = `Copied, ${bytes(text.length)}`;
        } catch {
            find('copied').textContent = 'This browser lets the page copy nothing: select the text and copy it.';
        }
    }
}

/**
 * @param {App} app
 * @param {import('./settings.js').Settings} settings
 * @param {Turn[] | null} turns
 * @param {boolean} isPage
 */
function program({ source }, settings, turns, isPage) {
    const { layer, pace, ...options } = toRunOptions(settings);
    const [given, helper] = sourceCode(source, isPage);
    const prompt = turns ? JSON.stringify(turns, null, 4) : quote(settings.prompt);
    const workers = settings.workers === 'auto' ? '' : `{ workers: ${settings.workers} }`;
    const generation = isPage ? `${CDN}/generation/index.js` : 'cached-attention/generation';
    const lines = [
        `import { createRuntime } from '${isPage ? `${CDN}/index.js` : 'cached-attention'}';`,
        `import { ${['loadModel', ...helper].join(', ')} } from '${generation}';`,
        '',
        `const runtime = await createRuntime(${workers});`,
        `const model = await loadModel(runtime${given ? `, ${given}` : ''});`,
        `const prompt = ${prompt};`,
        ...(turns ? [] : [isPage ? 'document.body.append(prompt);' : 'process.stdout.write(prompt);']),
        `for await (const { text } of model.generate(prompt, ${literal(options)})) {`,
        isPage ? '    document.body.append(text);' : '    process.stdout.write(text);',
        '}',
        'runtime.dispose();'
    ];
    const head = ['<!doctype html>', '<meta charset="utf-8">', '<body style="white-space: pre-wrap"></body>'];
    return isPage ? [...head, '<script type="module">', ...lines, '</script>'].join('\n')
        : ['// npm install cached-attention; node story.mjs', ...lines].join('\n');
}

/**
 * @param {import('./messages.js').Source} source
 * @param {boolean} isPage
 * @returns {[code: string, imports: string[]]} the second argument of loadModel()
 */
function sourceCode(source, isPage) {
    if (source.kind === 'own') return ['', []];
    if (source.kind === 'files') return [isPage ? `'models/${source.name}'` : quote(source.name), []];
    const [, repository, file] = /^([^/]+\/[^/]+)(?:\/(.+))?$/.exec(source.name) ?? [];
    if (!repository) return [quote(source.name), []];
    return [`huggingFace(${quote(repository)}${file ? `, { file: ${quote(file)} }` : ''})`, ['huggingFace']];
}

/** @param {object} options */
function literal(options) {
    const fields = Object.entries(options).map(([name, value]) => `${name}: ${typeof value === 'string' ? quote(value) : value}`);
    return fields.join(', ').length < 60 ? `{ ${fields.join(', ')} }` : `{\n    ${fields.join(',\n    ')}\n}`;
}

/** @param {string} text */
function quote(text) {
    return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n').replaceAll('\r', '\\r')}'`;
}
