// Attention scores of the passes since the last token, put together for one item.

/**
 * Puts together the scores of the passes since the last time.
 * @param {number} layer
 * @param {{ start: number, rows: number, data: Float32Array }[]} pieces
 * @param {number} heads
 * @returns {import('./generate.js').AttentionScores}
 */
export function collectAttention(layer, pieces, heads) {
    const { start } = pieces[0];
    const rows = pieces.reduce((sum, piece) => sum + piece.rows, 0);
    const positions = start + rows;
    if (pieces.length === 1) {
        return { layer, start, shape: [heads, rows, positions], data: pieces[0].data };
    }
    const data = new Float32Array(heads * rows * positions);
    for (const piece of pieces) {
        const width = piece.start + piece.rows;
        for (let i = 0; i < heads * piece.rows; i++) {
            const row = Math.floor(i / piece.rows) * rows + piece.start - start + (i % piece.rows);
            data.set(piece.data.subarray(i * width, (i + 1) * width), row * positions);
        }
    }
    return { layer, start, shape: [heads, rows, positions], data };
}
