// How many tokens a draft guesses if draftTokens does not say it: as many as save time.
//
// A pass over several tokens takes longer than one over a single token, and how much longer depends on the machine. So passes are timed,
// and the passes that guesses saved are compared with the time they took. This changes when a token comes, never which.

/** Most and fewest guesses per pass: passes of two or three tokens save little on any machine. */
const MOST = 11;
const LEAST = 3;

/** Passes without guesses once guesses were not worth it: at first, and at most; the number doubles each time. */
const FIRST_REST = 8;
const LONGEST_REST = 64;

/** Weight of the newest pass in the moving averages. */
const SHARE = 1 / 4;

export class DraftPace {
    constructor() {
        /** Average milliseconds of a pass that reads one token; 0: there was none yet. */
        this._alone = 0;
        this._hasGuessed = false;
        /**
         * By the draft's confidence. hope: guesses to make next; worth: average gain of a pass with guesses, in passes of one token;
         * rest: passes still to do without guesses; pause: how many that will be the next time.
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
        // Once guesses have been made, the time of a single token has to be measured to compare it.
        return this._alone === 0 && this._hasGuessed ? 0 : kind.hope;
    }

    /** A pass that read one token. @param {number} ms */
    alone(ms) {
        this._alone += (ms - this._alone) * (this._alone === 0 ? 1 : SHARE);
    }

    /**
     * A pass that read one token and guesses, some of which were accepted.
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
