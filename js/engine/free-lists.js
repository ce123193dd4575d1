// The free blocks of a memory by size: a two-level segregated fit (Masmano et al. 2004, "TLSF"). Lists by size class
// hang in the headers of the blocks themselves, two bitmaps find a class that fits; all in constant time.

/** Words of a line, the unit of blocks; the first line of a block is its header. */
export const LINE_WORDS = 16;

/** Words of a header. NEXT and PREVIOUS are used in lists: line numbers, 0 = none. */
export const LINES = 0;
export const BEFORE = 1;
export const STATE = 2;
const NEXT = 3;
const PREVIOUS = 4;

const SUBCLASS_BITS = 4;
const SUBCLASSES = 1 << SUBCLASS_BITS;
const CLASSES = 28 - SUBCLASS_BITS;

/**
 * Index of the size class that holds blocks of `lines`.
 * @param {number} lines
 */
function classOf(lines) {
    if (lines < SUBCLASSES) {
        return lines;
    }
    const log = 31 - Math.clz32(lines);
    return ((log - SUBCLASS_BITS + 1) << SUBCLASS_BITS) | ((lines >>> (log - SUBCLASS_BITS)) & (SUBCLASSES - 1));
}

/**
 * The smallest class of which every block has at least `lines`.
 * @param {number} lines
 */
function classAbove(lines) {
    if (lines < SUBCLASSES) {
        return lines;
    }
    const log = 31 - Math.clz32(lines);
    return classOf(lines + (1 << (log - SUBCLASS_BITS)) - 1);
}

/** Lists of free blocks. `words` is the whole memory; blocks are named by their first line. */
export class FreeLists {
    #heads = new Uint32Array(CLASSES * SUBCLASSES);
    #classBits = 0;
    #subclassBits = new Uint32Array(CLASSES);

    /**
     * Takes the head of the first list that certainly fits.
     * @param {number} lines
     * @returns {number} line of a free block, or 0
     */
    find(lines) {
        const least = classAbove(lines);
        let upper = least >>> SUBCLASS_BITS;
        let lower = this.#subclassBits[upper] & (-1 << (least & (SUBCLASSES - 1)));
        if (lower === 0) {
            const above = this.#classBits & (-1 << (upper + 1));
            if (above === 0) {
                return 0;
            }
            upper = 31 - Math.clz32(above & -above);
            lower = this.#subclassBits[upper];
        }
        const subclass = 31 - Math.clz32(lower & -lower);
        return this.#heads[(upper << SUBCLASS_BITS) | subclass];
    }

    /**
     * First fit within the class that `lines` belongs to.
     * @param {Uint32Array} words
     * @param {number} lines
     * @returns {number} line of a free block, or 0
     */
    search(words, lines) {
        let block = this.#heads[classOf(lines)];
        while (block !== 0 && words[block * LINE_WORDS + LINES] < lines) {
            block = words[block * LINE_WORDS + NEXT];
        }
        return block;
    }

    /**
     * Adds a block, whose header says how many lines it has.
     * @param {Uint32Array} words
     * @param {number} block
     */
    link(words, block) {
        const index = classOf(words[block * LINE_WORDS + LINES]);
        const head = this.#heads[index];
        words[block * LINE_WORDS + NEXT] = head;
        words[block * LINE_WORDS + PREVIOUS] = 0;
        if (head !== 0) {
            words[head * LINE_WORDS + PREVIOUS] = block;
        }
        this.#heads[index] = block;
        this.#subclassBits[index >>> SUBCLASS_BITS] |= 1 << (index & (SUBCLASSES - 1));
        this.#classBits |= 1 << (index >>> SUBCLASS_BITS);
    }

    /**
     * @param {Uint32Array} words
     * @param {number} block  that is in a list
     */
    unlink(words, block) {
        const next = words[block * LINE_WORDS + NEXT];
        const previous = words[block * LINE_WORDS + PREVIOUS];
        if (next !== 0) {
            words[next * LINE_WORDS + PREVIOUS] = previous;
        }
        if (previous !== 0) {
            words[previous * LINE_WORDS + NEXT] = next;
            return;
        }
        const index = classOf(words[block * LINE_WORDS + LINES]);
        this.#heads[index] = next;
        if (next === 0) {
            const upper = index >>> SUBCLASS_BITS;
            this.#subclassBits[upper] &= ~(1 << (index & (SUBCLASSES - 1)));
            if (this.#subclassBits[upper] === 0) {
                this.#classBits &= ~(1 << upper);
            }
        }
    }
}
