/**
 * What temperature, top-k, top-p and min-p make of what the model says, in the order in which the samplers do it: so that
 * the shown distribution follows the fields while they are changed. The samplers themselves draw in the worker.
 */

/** @import { Candidate, Distribution } from './messages.js' */

const SHOWN = 8;

/**
 * @param {Distribution} distribution
 * @param {number} vocabularySize
 * @param {{ temperature: number, topK: number, topP: number, minP: number }} settings topK 0, topP 1, minP 0: off
 * @param {number} drawn the token that stands next in the text, -1 for none
 * @returns {Candidate[]} best first; the drawn one is among them where it could be drawn
 */
export function choose({ top, probabilities, tokens }, vocabularySize, { temperature, topK, topP, minP }, drawn) {
    const weights = temperature === 0 ? Float64Array.of(1)
        : Float64Array.from(probabilities, probability => probability ** (1 / temperature));
    const named = probabilities.reduce((sum, probability) => sum + probability, 0);
    // What is beyond is spread evenly over the rest of the vocabulary: a guess, and a small one.
    const others = vocabularySize - probabilities.length;
    let rest = temperature === 0 || others === 0 ? 0 : others * (Math.max(0, 1 - named) / others) ** (1 / temperature);
    let count = weights.length;
    if (topK > 0) {
        count = Math.min(topK, count);
        rest = 0;
    }
    if (topP < 1) {
        const all = total(weights, count) + rest;
        let sum = 0;
        for (let i = 0; i < count; i++) {
            sum += weights[i];
            if (sum < topP * all) continue;
            count = i + 1;
            rest = 0;
        }
    }
    if (minP > 0) {
        const kept = weights.findIndex((weight, i) => i >= count || weight < minP * weights[0]);
        if (kept >= 0) [count, rest] = [kept, 0];
    }
    const all = total(weights, count) + rest;
    const list = top.slice(0, count).map(({ token, text }, i) =>
        ({ token, text, probability: weights[i] / all, rank: i + 1, drawn: token === drawn }));
    const shown = list.slice(0, SHOWN);
    const place = tokens.indexOf(drawn);
    if (place >= SHOWN && place < Math.min(count, list.length)) shown[SHOWN - 1] = list[place];
    return shown;
}

/**
 * @param {Float64Array} weights
 * @param {number} count
 */
function total(weights, count) {
    let sum = 0;
    for (let i = 0; i < count; i++) sum += weights[i];
    return sum;
}
