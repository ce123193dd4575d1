export function tokenizerFromGguf() { throw new Error('later'); }
