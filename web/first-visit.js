/** Whether somebody is here for the first time: then the page begins by itself. */

const KEY = 'cached-attention: visited';

/** @returns {boolean} true once in a browser that remembers, never in one that does not */
export function isFirstVisit() {
    try {
        if (localStorage.getItem(KEY) !== null) return false;
        localStorage.setItem(KEY, 'yes');
        return true;
    } catch {
        return false;
    }
}

/** Tokens per second that one can read along with; all at once for those who do not want things to move. */
export function readingPace() {
    return matchMedia('(prefers-reduced-motion: reduce)').matches ? 0 : 12;
}
