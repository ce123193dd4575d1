/** While something is written what stands below it stays in sight, where it was: whoever scrolls away is left alone. */

/** So long after a visitor's own move what goes out of sight was meant to; and for so many frames, where a busy machine draws few. */
const OWN_MOVE_MS = 800;
const OWN_MOVE_FRAMES = 12;
const MOVES = ['wheel', 'touchmove', 'pointerdown', 'keydown'];

/**
 * @param {HTMLElement} element
 * @param {() => boolean} isWanted whether it is this that is pushed away now
 */
export function follow(element, isWanted) {
    let isSeen = false;
    let movedAt = -Infinity;
    let frames = OWN_MOVE_FRAMES;
    const countFrame = () => {
        if (++frames < OWN_MOVE_FRAMES) requestAnimationFrame(countFrame);
    };
    const onMove = () => {
        // What begins it is not yet a move away.
        if (!isWanted()) return;
        movedAt = performance.now();
        if (frames >= OWN_MOVE_FRAMES) requestAnimationFrame(countFrame);
        frames = 0;
    };
    const isOwnMove = () => performance.now() - movedAt < OWN_MOVE_MS || frames < OWN_MOVE_FRAMES;
    // Until it is seen again: it may have been pushed away once more before anybody looked.
    const bring = () => {
        if (isSeen || !isWanted() || isOwnMove()) return;
        element.scrollIntoView({ block: 'nearest', behavior: 'instant' });
        requestAnimationFrame(bring);
    };
    for (const type of MOVES) addEventListener(type, onMove, { passive: true, capture: true });
    new IntersectionObserver(entries => {
        isSeen = entries.at(-1)?.isIntersecting ?? false;
        bring();
    }).observe(element);
}
