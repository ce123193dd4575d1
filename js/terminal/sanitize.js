// Text of a model or of a file on its way to a terminal. A terminal obeys control characters: it moves the cursor,
// hides what stands there, writes to the clipboard. Only tab and newline pass; the others are shown as they would be
// written in a string. Character by character, so it does not matter how a sequence is split over tokens.

/** Controls of C0 and C1, and those that turn the direction of what follows. */
const CONTROLS = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
const NAMES = new Map([['\r', '\\r'], ['\b', '\\b'], ['\v', '\\v'], ['\f', '\\f']]);

/** @param {string} text @returns {string} fit for a terminal */
export function printable(text) {
    return text.replaceAll(CONTROLS, (char) => {
        const code = char.charCodeAt(0);
        return NAMES.get(char) ?? (code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`);
    });
}

/**
 * @param {{ isTTY?: boolean }} stream where the text goes: pipes and files get it as it is
 * @param {string} text
 * @returns {string}
 */
export function textFor(stream, text) {
    return stream.isTTY ? printable(text) : text;
}
