// strftime_now(): the clock as templates ask for it, with C's directives and English names.

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October',
    'November', 'December'];

/** @param {number} value @param {number} [width] @param {string} [fill] */
function pad(value, width = 2, fill = '0') {
    return String(value).padStart(width, fill);
}

/** @param {Date} date @returns {number} 1 for the first of January */
function dayOfYear(date) {
    const start = Date.UTC(date.getFullYear(), 0, 1);
    return Math.round((Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - start) / 86400000) + 1;
}

/**
 * @param {Date} date
 * @returns {[number, number]} year and week of ISO 8601: a week belongs to the year of its Thursday
 */
function isoWeek(date) {
    const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() + 3 - (date.getDay() + 6) % 7);
    return [thursday.getFullYear(), Math.floor((dayOfYear(thursday) - 1) / 7) + 1];
}

/** @type {Map<string, (date: Date) => string>} */
const DIRECTIVES = new Map(Object.entries({
    a: (date) => DAYS[date.getDay()].slice(0, 3),
    A: (date) => DAYS[date.getDay()],
    b: (date) => MONTHS[date.getMonth()].slice(0, 3),
    B: (date) => MONTHS[date.getMonth()],
    c: (date) => strftime(date, '%a %b %e %H:%M:%S %Y'),
    C: (date) => pad(Math.floor(date.getFullYear() / 100)),
    d: (date) => pad(date.getDate()),
    D: (date) => strftime(date, '%m/%d/%y'),
    e: (date) => pad(date.getDate(), 2, ' '),
    f: (date) => pad(date.getMilliseconds() * 1000, 6),
    F: (date) => strftime(date, '%Y-%m-%d'),
    g: (date) => pad(isoWeek(date)[0] % 100),
    G: (date) => String(isoWeek(date)[0]),
    h: (date) => MONTHS[date.getMonth()].slice(0, 3),
    H: (date) => pad(date.getHours()),
    I: (date) => pad((date.getHours() + 11) % 12 + 1),
    j: (date) => pad(dayOfYear(date), 3),
    k: (date) => pad(date.getHours(), 2, ' '),
    l: (date) => pad((date.getHours() + 11) % 12 + 1, 2, ' '),
    m: (date) => pad(date.getMonth() + 1),
    M: (date) => pad(date.getMinutes()),
    n: () => '\n',
    p: (date) => (date.getHours() < 12 ? 'AM' : 'PM'),
    P: (date) => (date.getHours() < 12 ? 'am' : 'pm'),
    r: (date) => strftime(date, '%I:%M:%S %p'),
    R: (date) => strftime(date, '%H:%M'),
    s: (date) => String(Math.floor(date.getTime() / 1000)),
    S: (date) => pad(date.getSeconds()),
    t: () => '\t',
    T: (date) => strftime(date, '%H:%M:%S'),
    u: (date) => String((date.getDay() + 6) % 7 + 1),
    U: (date) => pad(Math.floor((dayOfYear(date) + 6 - date.getDay()) / 7)),
    V: (date) => pad(isoWeek(date)[1]),
    w: (date) => String(date.getDay()),
    W: (date) => pad(Math.floor((dayOfYear(date) + 6 - (date.getDay() + 6) % 7) / 7)),
    x: (date) => strftime(date, '%m/%d/%y'),
    X: (date) => strftime(date, '%H:%M:%S'),
    y: (date) => pad(date.getFullYear() % 100),
    Y: (date) => String(date.getFullYear()),
    // A datetime without a zone, which is what transformers asks, has none to show.
    z: () => '',
    Z: () => '',
    '%': () => '%',
}));

/**
 * @param {Date} date in local time
 * @param {string} format
 * @returns {string}
 */
export function strftime(date, format) {
    return format.replaceAll(/%(-?)([a-zA-Z%])/g, (all, minus, directive) => {
        const text = DIRECTIVES.get(directive)?.(date) ?? all;
        return minus ? text.replace(/^[0 ]+(?=.)/, '') : text;
    });
}
