/** One tooltip for the page, kept inside the window. */

const GAP = 14;

export class Tooltip {
    /** @param {HTMLElement} element */
    constructor(element) {
        this.element = element;
    }

    /**
     * @param {string} text
     * @param {number} x where the pointer is, in the window
     * @param {number} y
     */
    show(text, x, y) {
        const { element } = this;
        element.textContent = text;
        element.hidden = false;
        const { offsetWidth: width, offsetHeight: height } = element;
        const { clientWidth, clientHeight } = document.documentElement;
        const left = x + GAP + width > clientWidth ? x - GAP - width : x + GAP;
        const top = y + GAP + height > clientHeight ? y - GAP - height : y + GAP;
        element.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, top)}px)`;
    }

    hide() {
        this.element.hidden = true;
    }
}
