// cached-attention: what `import ... from 'cached-attention'` gives.

export { createRuntime } from './engine/create-runtime.js';
export { Tensor } from './engine/tensor.js';
export { KVCache } from './blocks/cache.js';
export { CachedMultiHeadAttention } from './layers/attention/cached-multi-head-attention.js';
export { WorkerLostError } from './engine/lost.js';
export { CachedGroupQueryAttention } from './layers/attention/cached-group-query-attention.js';
