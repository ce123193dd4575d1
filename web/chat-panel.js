/** Chat with a model that has a template. Each turn reads only its own tokens, and says how many: the rest is in the cache. */

import { nextId } from './branches.js';
import { copy } from './code-panel.js';
import { Conversation } from './conversation.js';
import { find } from './find.js';
import { follow } from './follow.js';
import { showMarkdown } from './markdown.js';
import { anotherSeed } from './settings.js';
import { Trace } from './trace.js';

/** @import { App, Text } from './app.js' */
/** @import { Node } from './conversation.js' */

const RENDER_MS = 120;

export class ChatPanel {
    /** @param {App} app */
    constructor(app) {
        this.app = app;
        this.panel = find('chat-panel');
        this.turns = find('turns');
        this.message = /** @type {HTMLTextAreaElement} */ (find('message'));
        this.system = /** @type {HTMLTextAreaElement} */ (find('system'));
        this.sendButton = /** @type {HTMLButtonElement} */ (find('send'));
        this.stopButton = /** @type {HTMLButtonElement} */ (find('chat-stop'));
        this.conversation = new Conversation(nextId);
        /** What was written last, whichever answer the conversation shows. @type {Text} */
        this.text = { id: this.conversation.root.text, trace: new Trace() };
        /** Its tokens while the prompt of an answer has not been read. @type {Trace['tokens'] | null} */
        this.unread = null;
        /** What is being edited. @type {Node | null} */
        this.edited = null;
        /** The answer that is being written. @type {{ node: Node, before: string } | null} */
        this.writing = null;
        this.renderedAt = 0;
        /** Answers as they stand: not all are read as Markdown again with each turn. @type {WeakMap<Node, HTMLElement>} */
        this.answers = new WeakMap();

        find('chat-form').addEventListener('submit', event => {
            event.preventDefault();
            this.send();
        });
        this.message.addEventListener('keydown', event => {
            if (!isSending(event)) return;
            event.preventDefault();
            this.send();
        });
        this.stopButton.addEventListener('click', () => app.stop());
        follow(find('chat-form'), () => this.writing !== null && this.isOpen && app.inspector.chosen < 0);
        app.addEventListener('state', () => this.showState());
        app.addEventListener('text', () => this.grow());
        app.addEventListener('model', () => this.forget());
    }

    get isOpen() {
        return !this.panel.hidden;
    }

    /** Another model has read nothing of what was said. */
    forget() {
        this.conversation = new Conversation(nextId);
        this.text = { id: this.conversation.root.text, trace: new Trace() };
        this.draw();
        if (this.isOpen) this.open();
    }

    /** The panel is looked at. */
    open() {
        this.app.show(this.text);
    }

    showState() {
        const { app } = this;
        const isWriting = app.state === 'writing';
        const { activeElement: focused } = document;
        if (isWriting ? focused === this.sendButton : focused === this.stopButton) this.message.focus();
        this.stopButton.disabled = !isWriting;
        this.sendButton.disabled = app.state !== 'ready' || Boolean(app.model?.noChat);
    }

    send() {
        const content = this.message.value.trim();
        if (content === '' || this.sendButton.disabled) return;
        this.message.value = '';
        this.answer(this.conversation.add(this.conversation.last, 'user', content));
    }

    /** @param {Node} question */
    answer(question) {
        const node = this.conversation.add(question, 'assistant', '');
        const prompt = this.conversation.messages(question, this.system.value);
        return this.write(node, prompt, question.parent?.text ?? null, this.text.trace);
    }

    /** Another seed, without which the answer would be the same. @param {Node} question */
    again(question) {
        anotherSeed(this.app.form);
        return this.answer(question);
    }

    /**
     * @param {Node} node an answer
     * @param {import('./messages.js').Prompt} prompt
     * @param {number | null} parent
     * @param {Trace} trace
     */
    async write(node, prompt, parent, trace) {
        const { app } = this;
        const isBegun = typeof prompt[0] === 'number';
        node.finish = null;
        this.writing = { node, before: node.content };
        // What stands there is of the answer before, until its own prompt is read.
        trace.base = trace.tokens.length;
        this.unread = isBegun ? null : trace.tokens;
        this.draw();
        this.text = { id: node.text, trace };
        app.show(this.text);
        const done = await app.write(this.text, { prompt, parent });
        if (this.writing?.node === node) this.writing = null;
        node.finish = done?.finish ?? 'stopped';
        if (done && (node.read === null || !isBegun)) node.read = done;
        this.draw();
        if (done) app.say(node.content);
    }

    /** The conversation up to the question that was asked last. @returns {import('./messages.js').Turn[]} */
    get asked() {
        const question = this.conversation.path.findLast(node => node.role === 'user');
        return question ? this.conversation.messages(question, this.system.value) : [{ role: 'user', content: 'Hello' }];
    }

    /**
     * The last answer goes another way after a position.
     * @param {number} position
     * @param {import('./messages.js').Candidate} candidate
     */
    async branch(position, { token, text, probability }) {
        const { last } = this.conversation;
        const { trace } = this.text;
        if (last.role !== 'assistant' || !this.stands(last) || position + 1 < trace.promptLength) {
            this.app.showStatus('Only the last answer can go another way.');
            return;
        }
        const fork = trace.fork(position + 1);
        fork.tokens.push({ token, text, name: text, probability });
        const content = fork.tokens.slice(fork.promptLength).map(entry => entry.text).join('');
        const node = this.conversation.add(/** @type {Node} */ (last.parent), 'assistant', content);
        await this.write(node, fork.ids, last.text, fork);
    }

    /** Whether it is the text of this answer that was written last: one whose prompt could not be read has none. @param {Node} node */
    stands(node) {
        return this.text.id === node.text && this.text.trace.tokens !== this.unread;
    }

    /** An answer that was stopped, or has become too long, goes on. @param {Node} node */
    goOn(node) {
        const { trace } = this.text;
        return this.write(node, trace.ids, null, trace);
    }

    /** Takes over what has been written so far, whatever is looked at meanwhile. */
    grow() {
        if (!this.writing) return;
        const { node, before } = this.writing;
        const { trace } = this.text;
        node.content = before + trace.tokens.slice(trace.base).map(entry => entry.text).join('');
        const now = performance.now();
        if (now - this.renderedAt < RENDER_MS) return;
        this.renderedAt = now;
        const words = this.turns.lastElementChild?.querySelector('.words');
        if (words instanceof HTMLElement) showAnswer(words, node.content);
    }

    draw() {
        const { path } = this.conversation;
        const nodes = path.map((node, i) => this.turn(node, i === path.length - 1));
        const focused = document.activeElement;
        const hadFocus = this.turns.contains(focused);
        const turn = [...this.turns.children].findIndex(item => item.contains(focused));
        this.turns.replaceChildren(...nodes);
        if (!hadFocus) return;
        // The same button anew, if it is there; else where one writes.
        const same = [...nodes[turn]?.querySelectorAll('button') ?? []].find(button => button.textContent === focused?.textContent);
        (same && !same.disabled ? same : this.message).focus({ preventScroll: true });
    }

    /**
     * @param {Node} node
     * @param {boolean} isLast
     */
    turn(node, isLast) {
        const item = document.createElement('li');
        const textContent = node.role === 'user' ? 'You: ' : 'The model: ';
        const who = Object.assign(document.createElement('span'), { className: 'visually-hidden', textContent });
        const words = this.answers.get(node) ?? Object.assign(document.createElement('div'), { className: 'words' });
        const bar = Object.assign(document.createElement('div'), { className: 'turn-bar' });
        item.className = `turn ${node.role}`;
        if (node.role === 'assistant') {
            this.answers.set(node, words);
            showAnswer(words, node.content);
        } else if (this.edited === node) this.editor(node, words);
        else words.textContent = node.content;
        bar.append(...this.siblings(node), ...(node.role === 'user' ? this.userButtons(node) : this.answerButtons(node, isLast)));
        item.append(who, words, bar);
        return item;
    }

    /** @param {Node} node @returns {HTMLElement[]} the ways to what stands beside it */
    siblings({ parent }) {
        if (!parent || parent.children.length < 2) return [];
        const { children, chosen } = parent;
        const walk = (/** @type {number} */ to) => {
            parent.chosen = to;
            this.draw();
        };
        const back = this.button('‹', 'The one before', () => walk(chosen - 1));
        const forth = this.button('›', 'The next one', () => walk(chosen + 1));
        back.disabled ||= chosen === 0;
        forth.disabled ||= chosen === children.length - 1;
        return [back, Object.assign(document.createElement('span'), { textContent: `${chosen + 1} / ${children.length}` }), forth];
    }

    /** @param {Node} node */
    userButtons(node) {
        if (this.edited === node) return [];
        return [this.button('Edit', 'Ask in other words', () => {
            this.edited = node;
            this.draw();
            this.turns.querySelector('textarea')?.focus();
        })];
    }

    /**
     * @param {Node} node
     * @param {boolean} isLast
     */
    answerButtons(node, isLast) {
        if (node.finish === null) return [];
        const copied = this.button('Copy', 'Copy the answer', async () => {
            copied.textContent = await copy(node.content) ? 'Copied' : 'Not copied';
            this.app.say(copied.textContent);
        });
        const list = [copied];
        list.push(this.askingButton('Again', 'Write another answer', () => this.again(/** @type {Node} */ (node.parent))));
        if (isLast && node.finish !== 'end' && this.stands(node) && !this.app.isFull(this.text.trace)) {
            list.push(this.askingButton('Continue', 'Go on with this answer', () => this.goOn(node)));
        }
        const note = document.createElement('span');
        if (node.read) {
            const { held, length } = node.read;
            note.textContent = `read ${length - held} tokens${held > 0 ? `, ${held} were in the cache` : ''}`;
        }
        return [...list, note];
    }

    /**
     * @param {Node} node
     * @param {HTMLElement} words
     */
    editor(node, words) {
        const field = document.createElement('textarea');
        field.value = node.content;
        field.setAttribute('aria-label', 'Your message in other words');
        const end = () => {
            this.edited = null;
            this.draw();
        };
        const send = this.askingButton('Send', 'Send it like this', () => {
            const content = field.value.trim();
            this.edited = null;
            if (content !== '') this.answer(this.conversation.add(/** @type {Node} */ (node.parent), 'user', content));
        });
        const cancel = this.button('Cancel', 'Leave it as it was', end);
        const actions = Object.assign(document.createElement('div'), { className: 'actions' });
        send.classList.add('primary');
        cancel.disabled = false;
        actions.append(send, cancel);
        field.addEventListener('keydown', event => {
            if (event.key === 'Escape') end();
            else if (isSending(event)) send.click();
            else return;
            event.preventDefault();
            event.stopPropagation();
        });
        words.append(field, actions);
    }

    /**
     * A button that asks the model for something.
     * @param {string} text
     * @param {string} title
     * @param {() => void} ask
     */
    askingButton(text, title, ask) {
        return this.button(text, title, () => this.app.canWrite && ask());
    }

    /**
     * @param {string} text
     * @param {string} title
     * @param {() => void} onClick
     */
    button(text, title, onClick) {
        const button = Object.assign(document.createElement('button'), { type: 'button', textContent: text, title });
        button.disabled = this.writing !== null;
        button.addEventListener('click', onClick);
        return button;
    }
}

/** @param {KeyboardEvent} event where one writes a message */
function isSending({ key, shiftKey, isComposing }) {
    return key === 'Enter' && !shiftKey && !isComposing;
}

/**
 * What a model thinks first is folded away.
 * @param {HTMLElement} words
 * @param {string} content
 */
function showAnswer(words, content) {
    const [, thought = '', answer = content] = /^\s*<think>([^]*?)(?:<\/think>([^]*))?$/.exec(content) ?? [];
    let [fold, body] = /** @type {HTMLElement[]} */ ([...words.children]);
    if (!body) {
        fold = Object.assign(document.createElement('details'), { className: 'thought' });
        const title = Object.assign(document.createElement('summary'), { textContent: 'What it thought first' });
        fold.append(title, document.createElement('div'));
        body = document.createElement('div');
        words.append(fold, body);
    }
    fold.hidden = thought.trim() === '';
    /** @type {HTMLElement} */ (fold.lastElementChild).textContent = thought.trim();
    showMarkdown(body, answer === content && thought !== '' ? '' : answer);
}
