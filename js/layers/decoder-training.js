// Dropout of a TransformerDecoder while training.

import { Tensor } from '../engine/tensor.js';
import { numbers } from './attention/inputs.js';

/** @typedef {import('../engine/program.js').Program} Program */
/** @typedef {import('./decoder.js').BlockCall} BlockCall */

/**
 * A call of a TransformerDecoder with dropout while training. Dropout stands between a sublayer and its residual, so
 * each sublayer is a program of its own here; what inference fuses into one is done one after the other.
 */
export class TrainingCall {
    /**
     * @param {import('./decoder.js').TransformerDecoder} decoder
     * @param {import('./decoder-job.js').DecoderJob} job whose arguments have been checked
     */
    constructor(decoder, job) {
        this._decoder = decoder;
        this._job = job;
        // Between its programs everybody may do anything: what they read is taken now.
        if (job._encoder) {
            job._encoder = Tensor._snapshot(decoder._runtime, job._encoder);
        }
        for (const side of [job._self, job._cross]) {
            side?.keep();
        }
        this._shape = Object.freeze(job._sequence.shape);
        /** The residual stream, [B][T][F]. */
        this._x = Float32Array.from(numbers(decoder._runtime, job._sequence));
    }

    /** @returns {Promise<import('./decoder-options.js').DecoderResult>} */
    async run() {
        const { _decoder: decoder, _job: job } = this;
        const { selfNorm, crossNorm, norm } = decoder._parts;
        await this._sublayer(selfNorm, (program, call) => {
            job._self.record(program);
            decoder._recordSelf(program, call);
            job._self.recordResult(program);
        });
        if (job._cross && crossNorm) {
            await this._sublayer(crossNorm, (program, call) => {
                job._recordCross(program);
                decoder._recordCross(program, call);
                job._cross?.recordResult(program);
            });
        }
        await this._sublayer(norm, (program, call) => decoder._recordFeedForward(program, call));
        return this._result();
    }

    /**
     * x + dropout(sublayer(x)), normalized before or after.
     * @param {import('../blocks/norm.js').NormWeights} norm
     * @param {(program: Program, call: BlockCall) => void} record
     */
    async _sublayer(norm, record) {
        const { _decoder: decoder, _job: job, _x: residual } = this;
        const { dropout, _random: random } = decoder;
        const y = await this._run((program, x, out) => record(program, {
            rows: job._rows, x, out,
            normed: program.scratch(residual.length * 4), inner: program.scratch(job._rows * decoder.intermediateDim * 4),
            self: job._self.io, cross: job._cross && job._cross.io,
        }));
        for (let i = 0; i < residual.length; i++) {
            if (random.uniform() >= dropout) {
                residual[i] += y[i] / (1 - dropout);
            }
        }
        if (!decoder.normalizeFirst) {
            this._x = await this._run((program, x, out) => norm.record(program, job._rows, x, decoder.hiddenDim, out));
        }
    }

    /**
     * @param {(program: Program, x: number, out: number) => void} record is given the addresses of the residual stream and of as
     *   much room for what it makes of it
     * @returns {Promise<Float32Array<ArrayBuffer>>} that
     */
    _run(record) {
        const { _decoder: { _runtime: runtime }, _job: job, _x: { length } } = this;
        let out = 0;
        return runtime._run({
            check: () => job.check(),
            record: (program) => {
                out = program.scratch(length * 4);
                record(program, program.input({ shape: this._shape, data: this._x }), out);
            },
            finish: () => runtime.memory.f32(out, length).slice(),
        });
    }

    /** @returns {Promise<import('./decoder-options.js').DecoderResult>} */
    _result() {
        const { _job: job } = this;
        const runtime = this._decoder._runtime;
        return runtime._run({
            check: () => job.check(),
            record: (program) => {
                job._output = program.result(this._shape, 'float32');
                runtime.memory.f32(job._output._address, this._x.length).set(this._x);
            },
            finish: () => job.finish(),
        });
    }
}
