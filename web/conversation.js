/**
 * A conversation as a tree: a question that is asked in other words, or an answer that is written another time, stands
 * beside the first one, and one of them is shown.
 */

/**
 * @typedef {object} Node
 * @property {'root' | 'user' | 'assistant'} role
 * @property {string} content
 * @property {Node | null} parent
 * @property {Node[]} children
 * @property {number} chosen which of them is shown
 * @property {number} text number of the cache that it is read into
 * @property {{ held: number, length: number } | null} read of its prompt: positions that were kept, and all
 * @property {string | null} finish why an answer ends; null while it is written
 */

export class Conversation {
    /** @param {() => number} nextId numbers of caches */
    constructor(nextId) {
        this.nextId = nextId;
        this.root = this.make('root', '', null, nextId());
    }

    /**
     * @param {Node['role']} role
     * @param {string} content
     * @param {Node | null} parent
     * @param {number} text
     * @returns {Node}
     */
    make(role, content, parent, text) {
        return { role, content, parent, children: [], chosen: 0, text, read: null, finish: null };
    }

    /** What is shown, from the first question on. @returns {Node[]} */
    get path() {
        const path = [];
        for (let node = this.root; node.children.length > 0;) path.push(node = node.children[node.chosen]);
        return path;
    }

    /** Where the next question goes. */
    get last() {
        return this.path.at(-1) ?? this.root;
    }

    /**
     * The first child goes on in its parent's cache; others begin as forks of it.
     * @param {Node} parent
     * @param {'user' | 'assistant'} role
     * @param {string} content
     */
    add(parent, role, content) {
        const node = this.make(role, content, parent, parent.children.length === 0 ? parent.text : this.nextId());
        parent.chosen = parent.children.push(node) - 1;
        return node;
    }

    /**
     * @param {Node} node
     * @param {string} system
     * @returns {import('./messages.js').Turn[]} the conversation up to a node
     */
    messages(node, system) {
        const turns = [];
        for (let at = /** @type {Node | null} */ (node); at && at.role !== 'root'; at = at.parent) {
            turns.unshift({ role: at.role, content: at.content });
        }
        return system.trim() ? [{ role: 'system', content: system.trim() }, ...turns] : turns;
    }
}
