// The check that logits are finite: with a NaN among them every choice would be arbitrary, so there is an error instead.

/**
 * Are all of them finite? A finite number times 0 is 0, any other NaN, and a sum keeps a NaN: no branches, and four
 * sums at once since each addition has to wait for the one before.
 * @param {Float32Array} values
 */
export function areFinite(values) {
    const { length } = values;
    let a = 0;
    let b = 0;
    let c = 0;
    let d = 0;
    let i = 0;
    for (; i + 4 <= length; i += 4) {
        a += values[i] * 0;
        b += values[i + 1] * 0;
        c += values[i + 2] * 0;
        d += values[i + 3] * 0;
    }
    for (; i < length; i++) {
        a += values[i] * 0;
    }
    return a + b + c + d === 0;
}

/**
 * To be called with the model's logits, before banned tokens get -Infinity.
 * @param {Float32Array} logits [V]
 * @param {() => string} [where] says what may be the cause; called only if there is an error to report
 * @throws {Error} when a logit is NaN or infinite
 */
export function checkFinite(logits, where = () => '') {
    if (areFinite(logits)) {
        return;
    }
    const token = logits.findIndex((value) => !Number.isFinite(value));
    let count = 0;
    for (const value of logits) {
        count += Number(!Number.isFinite(value));
    }
    const reason = where();
    throw new Error(`the model's logits are not finite: ${logits[token]} for token ${token}` +
        `, ${count} of ${logits.length} in all${reason && `; ${reason}`}`);
}
