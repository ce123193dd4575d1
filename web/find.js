/** @param {string} id @returns {HTMLElement} of the page, which has it */
export function find(id) {
    return /** @type {HTMLElement} */ (document.getElementById(id));
}
