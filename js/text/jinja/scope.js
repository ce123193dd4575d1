// Where a template's names live.

/** Names in one block, and where to look further. */
export class Scope {
    /** @type {Map<string, any>} */
    names = new Map();

    /** @param {Scope | null} parent */
    constructor(parent) {
        this.parent = parent;
    }

    /** @param {string} name @returns {any} undefined where nothing has the name */
    find(name) {
        for (let scope = /** @type {Scope | null} */ (this); scope; scope = scope.parent) {
            const value = scope.names.get(name);
            if (value !== undefined) return value;
        }
        return undefined;
    }
}
