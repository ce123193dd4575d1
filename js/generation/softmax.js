/**
 * softmax(logits / temperature) into `out`, which may be `logits`.
 * @callback Softmax
 * @param {Float32Array} logits
 * @param {number} temperature
 * @param {Float32Array} out
 * @returns {void}
 */

/**
 * For a few logits, and where there is no runtime. ModelSteps.softmax, in C, is ten times as fast on a whole vocabulary.
 * @type {Softmax}
 */
export function softmax(logits, temperature, out) {
    const scale = 1 / temperature;
    let max = -Infinity;
    for (let i = 0; i < logits.length; i++) {
        if (logits[i] > max) {
            max = logits[i];
        }
    }
    let sum = 0;
    for (let i = 0; i < logits.length; i++) {
        const power = Math.exp((logits[i] - max) * scale);
        out[i] = power;
        sum += power;
    }
    const share = 1 / sum;
    for (let i = 0; i < logits.length; i++) {
        out[i] *= share;
    }
}
