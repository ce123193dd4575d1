// Einstein summation over two operands, naive, in float64.

/**
 * @param {string} equation like 'abc,cde->abde'
 * @param {{ shape: readonly number[], data: ArrayLike<number> }} a
 * @param {{ shape: readonly number[], data: ArrayLike<number> }} b
 * @param {{ data: ArrayLike<number> }} [bias] added along the result's last axes
 * @returns {{ shape: number[], data: Float64Array }}
 */
export function einsum(equation, a, b, bias) {
    const [left, right, out] = equation.split(/,|->/);
    /** @type {Map<string, number>} */
    const sizes = new Map();
    [...left].forEach((letter, axis) => sizes.set(letter, a.shape[axis]));
    [...right].forEach((letter, axis) => sizes.set(letter, b.shape[axis]));
    const letters = [...sizes.keys()];
    const lengthOf = (/** @type {string} */ letter) => sizes.get(letter) ?? 0;
    const strides = (/** @type {string} */ term) => letters.map((letter) => {
        const axis = term.indexOf(letter);
        return axis < 0 ? 0 : [...term].slice(axis + 1).reduce((stride, other) => stride * lengthOf(other), 1);
    });
    const [inA, inB, inOut] = [strides(left), strides(right), strides(out)];
    const lengths = letters.map(lengthOf);
    const shape = [...out].map(lengthOf);
    const data = new Float64Array(shape.reduce((x, y) => x * y, 1));
    const index = letters.map(() => 0);
    for (let count = lengths.reduce((x, y) => x * y, 1); count > 0; count--) {
        const at = (/** @type {number[]} */ stride) => index.reduce((sum, i, axis) => sum + i * stride[axis], 0);
        data[at(inOut)] += a.data[at(inA)] * b.data[at(inB)];
        for (let axis = index.length - 1; axis >= 0 && ++index[axis] === lengths[axis]; axis--) index[axis] = 0;
    }
    if (bias) data.forEach((value, i) => { data[i] = value + bias.data[i % bias.data.length]; });
    return { shape, data };
}
