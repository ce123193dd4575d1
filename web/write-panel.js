/** Writing: a beginning, and what the model makes of it; stopped, continued, written another time, branched. */

import { Branches } from './branches.js';
import { find } from './find.js';
import { follow } from './follow.js';
import { anotherSeed, fromForm, hasStory, toForm, toHash } from './settings.js';

/** @import { App } from './app.js' */
/** @import { Branch } from './branches.js' */
/** @import { Candidate } from './messages.js' */

export class WritePanel {
    /** @param {App} app */
    constructor(app) {
        this.app = app;
        this.branches = new Branches(app);
        this.writeButton = /** @type {HTMLButtonElement} */ (find('write'));
        this.stopButton = /** @type {HTMLButtonElement} */ (find('stop'));
        this.continueButton = /** @type {HTMLButtonElement} */ (find('continue'));
        this.panel = find('write-panel');
        /** A story that is to come when its model is here: which one that is, null for any. @type {{ model: string | null } | null} */
        this.wanted = null;

        app.form.addEventListener('submit', event => {
            event.preventDefault();
            if (!this.panel.hidden) this.write();
        });
        this.stopButton.addEventListener('click', () => app.stop());
        this.continueButton.addEventListener('click', () => this.goOn());
        find('another').addEventListener('click', () => {
            anotherSeed(app.form);
            this.write();
        });
        for (const button of find('prompts').querySelectorAll('button')) {
            button.addEventListener('click', () => {
                toForm(app.form, { ...fromForm(app.form), prompt: button.textContent ?? '' });
                this.write();
            });
        }
        app.addEventListener('state', () => this.showState());
        app.addEventListener('text', () => this.showState());
        app.addEventListener('model', () => this.forget());
        follow(app.inspector.story.caret, () => app.state === 'writing' && !this.panel.hidden && app.inspector.chosen < 0);
        // Another branch that is walked to.
        find('branch-tree').addEventListener('click', () => this.remember());
    }

    /** Another model: nothing that was written is its own. */
    forget() {
        const branch = this.branches.begin();
        if (!this.panel.hidden) this.app.show(branch);
    }

    get isWanted() {
        const loaded = modelOf(this.app);
        return this.wanted !== null && (this.wanted.model ?? loaded) === loaded;
    }

    /** The panel is looked at. */
    open() {
        this.app.show(this.branches.current);
    }

    showState() {
        const { app } = this;
        const isWriting = app.state === 'writing';
        const { activeElement: focused } = document;
        const { trace } = this.branches.current;
        const canGoOn = app.state === 'ready' && trace.tokens.length > 0 && !app.isFull(trace);
        this.stopButton.disabled = !isWriting;
        this.continueButton.disabled = !canGoOn;
        // A button that can be pressed no more would lose the focus.
        if (isWriting && focused === this.continueButton) this.stopButton.focus();
        if (!isWriting && focused === this.stopButton) (canGoOn ? this.continueButton : this.writeButton).focus();
    }

    /** @param {{ pace?: number }} [options] other than the form's */
    async write(options) {
        const { app } = this;
        if (app.state === 'broken') return;
        if (app.state === 'loading') {
            this.wanted = { model: null };
            app.say('The story will begin when the model is here.');
            return;
        }
        this.wanted = null;
        const settings = { ...fromForm(app.form), layer: app.layer + 1, head: app.inspector.lane, model: modelOf(app) };
        toForm(app.form, settings);
        history.replaceState(null, '', toHash(settings));
        const drop = this.branches.all.map(({ id }) => id);
        const branch = this.branches.begin();
        app.show(branch);
        await app.write(branch, { prompt: settings.prompt, drop, options });
        this.branches.draw();
    }

    /** @param {Branch} branch @param {import('./app.js').Task} task what goes on in it */
    async extend(branch, task) {
        const written = this.app.write(branch, task);
        this.remember();
        await written;
        this.branches.draw();
    }

    /** Goes on after any end; where the model itself has ended the text, past that. */
    async goOn() {
        const { current: branch } = this.branches;
        const { trace } = branch;
        const bias = trace.hasEnded ? { logitBias: Object.fromEntries(this.app.model?.endTokens.map(id => [id, -Infinity]) ?? []) } : {};
        const ids = trace.ids;
        if (trace.hasEnded) {
            trace.tokens.pop();
            this.app.show(branch);
        }
        trace.base = ids.length;
        await this.extend(branch, { prompt: ids, options: bias });
    }

    /**
     * @param {number} position
     * @param {Candidate} candidate
     */
    async branch(position, candidate) {
        const parent = this.branches.current;
        const branch = this.branches.grow(position, candidate);
        this.app.show(branch);
        if (this.app.model?.endTokens.includes(candidate.token)) return;
        await this.extend(branch, { prompt: branch.trace.ids, parent: parent.id });
    }

    /** The address of a story follows what is looked at. */
    remember() {
        if (hasStory(location.hash) && !this.panel.hidden) history.replaceState(null, '', toHash(settingsOf(this.app)));
    }
}

/**
 * What the text that is looked at was written with; one that was branched or continued began as it stood there then.
 * @param {App} app
 * @returns {import('./settings.js').Settings}
 */
export function settingsOf(app) {
    const { trace } = app;
    const { settings, prompt } = trace?.origin ?? { settings: fromForm(app.form), prompt: '' };
    const view = { layer: app.layer + 1, head: app.inspector.lane, model: modelOf(app) };
    const isTokens = typeof prompt[0] === 'number';
    return { ...settings, ...(isTokens && { prompt: trace?.tokens.slice(0, prompt.length).map(({ text }) => text).join('') }), ...view };
}

/** @param {App} app @returns {string} the loaded model, as the address says it */
export function modelOf({ source }) {
    if (source.kind === 'hub') return source.file === null ? source.repository : `${source.repository}/${source.file}`;
    return source.kind === 'kept' ? source.name : '';
}
