/** The bench page: starts the measurement in a worker and shows what it reports. */

/** @import { BenchReport } from './bench/worker.js' */

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const button = /** @type {HTMLButtonElement} */ (byId('measure'));
const status = byId('status');

/** Three digits that mean something. @param {number} value */
function number(value) {
    return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** @param {string} tag @param {string} text @param {Record<string, string>} [attributes] */
function element(tag, text, attributes = {}) {
    const node = document.createElement(tag);
    node.textContent = text;
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    return node;
}

/**
 * A figure with its spread, and its share of the limit.
 * @param {BenchReport & { type: 'case' }} report
 * @param {string} name
 */
function cell(report, name) {
    const { median, p10, p90 } = report.figures[name];
    const td = element('td', `${number(median)} (${number(p10)}–${number(p90)})`);
    const share = report.shares[name];
    if (share !== undefined) td.append(element('small', `${(100 * share).toFixed(0)}% of the limit`));
    return td;
}

/** @param {BenchReport} report */
function show(report) {
    if (report.type === 'machine') {
        byId('machine').textContent = `${navigator.userAgent}; ${report.text}`;
        const head = document.createElement('tr');
        head.append(element('th', ''), ...report.columns.map(({ title }) => element('th', title, { scope: 'col' })));
        byId('head').replaceChildren(head);
        byId('results').hidden = false;
        columns = report.columns.map(({ name }) => name);
    } else if (report.type === 'status') {
        status.textContent = report.text;
    } else if (report.type === 'case') {
        const row = document.createElement('tr');
        row.append(element('th', report.title, { scope: 'row' }), ...columns.map((name) => cell(report, name)));
        byId('rows').append(row);
        collected.push(report);
    } else {
        finish(report.type === 'error' ? `It failed: ${report.text}` : 'Done.');
    }
}

/** @param {string} text */
function finish(text) {
    status.textContent = text;
    button.disabled = false;
    worker?.terminate();
    worker = null;
    const link = /** @type {HTMLAnchorElement} */ (byId('json'));
    const json = JSON.stringify({ machine: byId('machine').textContent, cases: collected }, null, 1);
    link.href = URL.createObjectURL(new Blob([json], { type: 'application/json' }));
    link.hidden = collected.length === 0;
}

/** @type {Worker | null} */
let worker = null;
/** @type {string[]} */
let columns = [];
/** @type {BenchReport[]} */
let collected = [];

button.addEventListener('click', () => {
    button.disabled = true;
    collected = [];
    byId('rows').replaceChildren();
    status.textContent = 'Starting';
    worker = new Worker(new URL('./bench/worker.min.js', import.meta.url), { type: 'module' });
    const sweep = /** @type {HTMLInputElement} */ (byId('sweep')).checked;
    worker.postMessage({ peers: location.search === '?peers', sweep });
    worker.onmessage = ({ data }) => show(data);
    worker.onerror = (event) => {
        event.preventDefault();
        finish(`It failed: ${event.message || 'a script could not be loaded'}`);
    };
});
