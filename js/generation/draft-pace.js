// How far ahead a draft guesses, where nobody has said how far: as long as that is worth it.
//
// A pass that reads several tokens takes longer than one that reads one, and how much longer depends on the machine. So passes
// are timed, and what their guesses saved is compared with what they took. No token depends on it, only when it comes.

/** Most tokens that are guessed at a time, and fewest: passes of two or three tokens save little anywhere. */
const MOST = 11;
const LEAST = 3;

/** Passes without guesses after guesses were not worth it: twice as many each time. */
const FIRST_REST = 8;
const LONGEST_REST = 64;

/** Of the newest pass in what is known of those before. */
const SHARE = 1 / 4;

export class DraftPace {
    constructor() {
        /** Milliseconds of a pass that reads one token; 0 while there was none. */
        this._alone = 0;
        this._hasGuessed = false;
        /**
         * By how sure a draft is of its guesses: how many to make next, what one pass with guesses has saved, in passes of one
         * token, and passes to do without.
         */
        this._kinds = [LEAST, 5, 7].map((hope) => ({ hope, worth: 1, rest: 0, pause: FIRST_REST }));
    }

    /** @param {number} sureness 0 to 2 @returns {number} tokens to guess now */
    count(sureness) {
        const kind = this._kinds[sureness];
        if (kind.rest > 0) {
            kind.rest--;
            return 0;
        }
        // What a token takes by itself has to be seen once.
        return this._alone === 0 && this._hasGuessed ? 0 : kind.hope;
    }

    /** A pass that read one token. @param {number} ms */
    alone(ms) {
        this._alone += (ms - this._alone) * (this._alone === 0 ? 1 : SHARE);
    }

    /**
     * A pass that read one token and guesses, some of which came true.
     * @param {number} sureness @param {number} guessed @param {number} taken @param {number} ms
     */
    guessed(sureness, guessed, taken, ms) {
        const kind = this._kinds[sureness];
        const all = taken === guessed;
        this._hasGuessed = true;
        kind.hope = all ? Math.min(MOST, guessed + 4) : Math.max(LEAST, taken);
        if (this._alone === 0) {
            return;
        }
        kind.worth += (taken + 1 - ms / this._alone - kind.worth) * SHARE;
        if (kind.worth < 0) {
            kind.rest = kind.pause;
            kind.pause = Math.min(LONGEST_REST, 2 * kind.pause);
            kind.worth = 0;
        } else if (all) {
            kind.pause = FIRST_REST;
        }
    }
}
