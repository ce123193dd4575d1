/**
 * Answers are Markdown: marked reads it, DOMPurify takes out what could do harm. Both come in one file (src/build/page.js),
 * which is fetched with the first answer.
 */

/** @type {Promise<{ marked: any, DOMPurify: any }> | null} */
let libraries = null;

/** Images would be fetched from anywhere, and styles and forms could cover the page. */
const FORBIDDEN = {
    FORBID_TAGS: ['img', 'picture', 'video', 'audio', 'style', 'form', 'input', 'button', 'textarea', 'select'],
    FORBID_ATTR: ['style', 'id', 'name']
};

/**
 * @param {HTMLElement} element
 * @param {string} text shown as it is where the libraries cannot be had
 */
export async function showMarkdown(element, text) {
    if (element.dataset.text === text) return;
    element.dataset.text = text;
    try {
        // @ts-ignore: it is there once the page has been built
        libraries ??= import('./vendor/markdown.js');
        const { marked, DOMPurify } = await libraries;
        // A newer text has come meanwhile.
        if (element.dataset.text !== text) return;
        const fragment = DOMPurify.sanitize(marked.parse(text, { async: false }), { ...FORBIDDEN, RETURN_DOM_FRAGMENT: true });
        for (const link of fragment.querySelectorAll('a')) Object.assign(link, { target: '_blank', rel: 'noreferrer noopener' });
        element.replaceChildren(fragment);
    } catch {
        libraries = null;
        delete element.dataset.text;
        element.textContent = text;
    }
}
