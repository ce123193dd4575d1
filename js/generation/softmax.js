/** Softmax over a vocabulary, whole or for some tokens of it. */

/** @param {Float32Array} values @returns {number} the largest */
export function largest(values) {
    let max = -Infinity;
    for (let i = 0; i < values.length; i++) {
        if (values[i] > max) {
            max = values[i];
        }
    }
    return max;
}

/**
 * The denominator of softmax(logits / temperature).
 * @param {Float32Array} logits
 * @param {number} max the largest of them
 * @param {number} temperature
 * @returns {number} the sum of e ** ((logit - max) / temperature)
 */
export function sumOfPowers(logits, max, temperature) {
    const scale = 1 / temperature;
    let sum = 0;
    for (let i = 0; i < logits.length; i++) {
        sum += Math.exp((logits[i] - max) * scale);
    }
    return sum;
}

/**
 * Turns logits into softmax(logits / temperature), in place.
 * @param {Float32Array} logits
 * @param {number} temperature
 * @param {number} [max] the largest of all logits
 * @param {number} [sum] the denominator where there are more logits than these
 */
export function softmax(logits, temperature, max = largest(logits), sum = 0) {
    const scale = 1 / temperature;
    let own = 0;
    for (let i = 0; i < logits.length; i++) {
        const power = Math.exp((logits[i] - max) * scale);
        logits[i] = power;
        own += power;
    }
    const share = 1 / (sum || own);
    for (let i = 0; i < logits.length; i++) {
        logits[i] *= share;
    }
}
