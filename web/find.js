/** @param {string} id @returns {HTMLElement} of the page, which has it */
export function find(id) {
    return /** @type {HTMLElement} */ (document.getElementById(id));
}

/** The focus goes on from what is always there, where what had it is seen no more. */
export function keepFocus() {
    if (!document.activeElement?.checkVisibility()) find('model').focus();
}
