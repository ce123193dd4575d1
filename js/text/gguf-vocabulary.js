export function tokenizerFromGguf() { return null; }
