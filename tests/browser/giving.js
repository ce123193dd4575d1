// How a visitor gives the page a model, done by script: no driver drops a file in every browser. These run in the page.

/** Drops a file. @param {string} name @param {string} source where its bytes are */
export async function dropFile(name, source) {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([await (await fetch(source)).blob()], name));
    // WebKit makes no DragEvent that has one.
    document.body.dispatchEvent(Object.assign(new Event('drop', { bubbles: true, cancelable: true }), { dataTransfer }));
}

/** Drops a folder with a file in it, and one that is none of a model's. @param {string} name @param {string} source */
export async function dropFolder(name, source) {
    const model = new File([await (await fetch(source)).blob()], 'weights.gguf');
    const files = [new File(['notes'], 'notes.txt'), model].map(file => ({
        isFile: true, fullPath: `/${name}/${file.name}`, file: (/** @type {(file: File) => void} */ give) => give(file)
    }));
    // As many at a time as the browser likes, and then none.
    const folder = { isFile: false, fullPath: `/${name}`, createReader: () => ({
        readEntries: (/** @type {(entries: object[]) => void} */ give) => give(files.splice(0, 1))
    }) };
    const event = new Event('drop', { bubbles: true, cancelable: true });
    Object.assign(event, { dataTransfer: { types: ['Files'], files: [], items: [{ webkitGetAsEntry: () => folder }] } });
    document.body.dispatchEvent(event);
}

/** Picks a folder. @param {string} name @param {string} source */
export async function pickFolder(name, source) {
    const blob = await (await fetch(source)).blob();
    const files = [new File(['notes'], 'notes.txt'), new File([blob], 'weights.gguf')];
    for (const file of files) Object.defineProperty(file, 'webkitRelativePath', { value: `${name}/${file.name}` });
    const input = /** @type {HTMLInputElement} */ (document.getElementById('pick-folder'));
    Object.defineProperty(input, 'files', { value: files });
    input.dispatchEvent(new Event('change'));
}

/** @param {string} name whether the page says that this model is there, and its dialog is closed */
export function hasModel(name) {
    return document.getElementById('model-name')?.textContent === name && !document.querySelector('dialog[open]');
}
