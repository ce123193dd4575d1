/** While a text is written its end stays in sight, for whoever had it in sight: whoever scrolls away is left alone. */

/** So long after a visitor's own move what goes out of sight was meant to. */
const OWN_MOVE_MS = 800;
const MOVES = ['wheel', 'touchmove', 'pointerdown', 'keydown'];

let movedAt = -Infinity;
for (const type of MOVES) addEventListener(type, () => { movedAt = performance.now(); }, { passive: true });

/**
 * @param {HTMLElement} element what stands at the end
 * @param {() => boolean} isWanted whether it is this that grows now
 */
export function follow(element, isWanted) {
    let isSeen = false;
    // Until it is seen again: it may have grown out of sight once more before anybody looked.
    const bring = () => {
        if (isSeen || !isWanted() || performance.now() - movedAt < OWN_MOVE_MS) return;
        element.scrollIntoView({ block: 'nearest', behavior: 'instant' });
        requestAnimationFrame(bring);
    };
    new IntersectionObserver(entries => {
        isSeen = entries.at(-1)?.isIntersecting ?? false;
        bring();
    }).observe(element);
}
