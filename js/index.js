// cached-attention: what `import ... from 'cached-attention'` gives.

export { createRuntime } from './runtime.js';
export { Tensor } from './tensor.js';
export { KVCache } from './cache.js';
export { CachedMultiHeadAttention } from './attention.js';
