/**
 * Everything that shows a trace: the text, the step's two lists, the lanes and the heat map, kept on one position.
 *
 * Which position is inspected: the heat map's row under the pointer; else the one that was clicked or walked to;
 * else the word under the pointer; else, live, the newest one. Only a choice tints the text: while it is being written
 * and nobody points at it, it stays plain. Whatever changes, the page is drawn once per frame.
 */

import { makeAxis, positionAt } from './axis.js';
import { StepLists } from './candidates.js';
import { find } from './find.js';
import { colourOf, firstLanes } from './heads.js';
import { HeatMap } from './heatmap.js';
import { LanesView } from './lanes.js';
import { meaning, percent, shadeColumn, shadeRow } from './scale.js';
import { StoryView } from './story.js';
import { Tooltip } from './tooltip.js';
import { Trace } from './trace.js';

/** @import { HeadColour } from './heads.js' */
/** @import { Candidate } from './messages.js' */
/** @import { Scale } from './scale.js' */

const LEGEND_TICKS = [0, 0.25, 0.5, 0.75, 1];
/** Lists that follow the newest token change no more often: nobody could read them. */
const LIST_MS = 70;

export class Inspector {
    /**
     * @param {(text: string) => void} say to those who listen instead of looking
     * @param {object} events
     * @param {(lane: number) => void} events.onLane another lane was chosen
     * @param {(position: number, candidate: Candidate) => void} events.onBranch a candidate was clicked
     * @param {(position: number) => void} events.onInspect another position is kept or pointed at, -1 for none
     */
    constructor(say, { onLane, onBranch, onInspect }) {
        this.say = say;
        this.onLane = onLane;
        this.onInspect = onInspect;
        this.trace = new Trace();
        this.heads = 0;
        this.layer = 0;
        this.isForward = false;
        this.isSurprising = false;
        /** What may follow a position under the settings in the form. @type {{ position: number, candidates: Candidate[] } | null} */
        this.live = null;
        this.lane = 0;
        /** Lanes that are shown in colour, together; null: one at a time. @type {Set<number> | null} */
        this.coloured = null;
        /** @type {Scale} */
        this.scale = { mode: 'row', skipFirst: false };
        this.mapRow = this.pinned = this.hovered = this.pointed = -1;
        this.frame = 0;
        this.listedAt = 0;
        this.isWriting = false;
        this.tooltip = new Tooltip(find('tooltip'));
        this.lists = new StepLists(onBranch);
        this.story = new StoryView(find('story'), {
            onHover: (position, event) => this.hoverWord(position, event),
            onPin: position => this.pin(position === this.pinned ? -1 : position),
            onStep: step => this.step(step)
        });
        this.lanes = new LanesView(find('lanes'), {
            onChoose: lane => this.coloured ? this.toggleLane(lane) : this.chooseLane(lane),
            onPoint: (lane, x, event) => this.pointLane(lane, x, event)
        });
        this.map = new HeatMap(/** @type {HTMLCanvasElement} */ (find('heatmap')), {
            onPoint: (x, y, event) => this.pointMap(x, y, event),
            onPin: () => this.pinCell(),
            onMove: (rows, columns) => this.moveCell(rows, columns)
        });
        this.axis = makeAxis(1, 1, -1, 1);
        addEventListener('scroll', () => this.tooltip.hide(), { passive: true });
        const sizes = new ResizeObserver(() => this.measure());
        for (const id of ['lanes', 'heatmap']) sizes.observe(find(id));
        matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
            this.map.readColours();
            this.lanes.readColours();
            this.invalidate();
        });
    }

    /**
     * @param {number} heads of a layer
     * @param {number} lane chosen
     */
    setHeads(heads, lane) {
        this.heads = heads;
        this.lane = Math.min(lane, heads);
        if (this.coloured) this.coloured = firstLanes(heads);
        this.lanes.setHeads(heads, this.lane, this.coloured);
        this.measure();
    }

    /** Sizes, when they change: to ask while something is drawn would lay out the page once more. */
    measure() {
        this.lanes.measure();
        this.map.measure();
        this.invalidate();
    }

    /** @param {boolean} isColoured whether several heads are shown at once */
    colour(isColoured) {
        this.coloured = isColoured ? firstLanes(this.heads) : null;
        this.setHeads(this.heads, 0);
        this.onLane(0);
    }

    /** In or out of those in colour. @param {number} lane 0: all or none of them */
    toggleLane(lane) {
        const coloured = /** @type {Set<number>} */ (this.coloured);
        const all = Array.from({ length: this.heads }, (_, head) => head + 1);
        if (lane === 0) this.coloured = new Set(coloured.size === this.heads ? [] : all);
        else if (!coloured.delete(lane)) coloured.add(lane);
        this.lanes.choose(0, this.coloured);
        this.invalidate();
    }

    /** @returns {HeadColour[] | null} */
    get headColours() {
        if (!this.coloured) return null;
        const isDark = matchMedia('(prefers-color-scheme: dark)').matches;
        return [...this.coloured].sort((a, b) => a - b)
            .map(lane => ({ lane, colour: colourOf(lane - 1, this.heads, isDark) }));
    }

    /** @param {Partial<Scale>} change */
    setScale(change) {
        this.scale = { ...this.scale, ...change };
        this.invalidate();
    }

    /** @param {Partial<{ isForward: boolean, isSurprising: boolean }>} change */
    setView(change) {
        Object.assign(this, change);
        this.invalidate();
    }

    /** @param {Trace} trace another text, or the same that begins anew */
    show(trace) {
        this.trace = trace;
        this.story.clear();
        this.live = null;
        document.body.classList.remove('word-kept');
        this.mapRow = this.pinned = this.hovered = this.pointed = -1;
        this.tooltip.hide();
        this.invalidate();
    }

    /** Something changed: draw in the next frame. */
    invalidate() {
        this.frame ||= requestAnimationFrame(() => {
            this.frame = 0;
            this.draw();
        });
    }

    /** @param {number} q */
    isRow(q) {
        return q >= 0 && this.trace.rows[q] !== undefined;
    }

    get chosen() {
        return this.mapRow >= 0 ? this.mapRow : this.pinned >= 0 ? this.pinned : this.hovered;
    }

    /** The position that the instruments show, -1 for none. */
    get inspected() {
        return this.chosen >= 0 ? this.chosen : this.trace.rows.length - 1;
    }

    draw() {
        const { trace, lane, scale, inspected: q, chosen, pointed } = this;
        this.story.grow(trace);
        const coloured = this.headColours;
        const lanes = coloured ? coloured.map(head => head.lane) : [lane];
        const shades = this.isRow(chosen) ? lanes.map(one => this.shadesOf(one, chosen)) : null;
        this.story.inspect(chosen, shades, this.isForward, this.isSurprising ? trace.probabilities : null, coloured);
        this.story.point(pointed);
        this.axis = makeAxis(this.lanes.width, trace.rows.length, chosen, devicePixelRatio);
        this.lanes.draw(trace, q, pointed, scale, this.axis, coloured);
        this.map.draw(trace, lane, scale, this.axis, { q: chosen, k: pointed }, coloured);
        const now = performance.now();
        if (this.isWriting && chosen < 0 && now - this.listedAt < LIST_MS) return this.invalidate();
        this.listedAt = now;
        this.lists.show(trace, q, lane, this.isForward, this.live?.position === q ? this.live.candidates : null);
        this.label(q);
    }

    /**
     * @param {number} lane
     * @param {number} position
     * @returns {Float32Array} how much it looks at each, or each at it
     */
    shadesOf(lane, position) {
        const { trace, scale } = this;
        const shades = new Float32Array(trace.rows.length);
        if (this.isForward) shadeColumn(trace, lane, position, scale, shades);
        else shadeRow(trace, lane, position, scale, shades);
        return shades;
    }

    /** @param {number} q */
    label(q) {
        const title = find('step-title');
        find('step').classList.toggle('blank', q < 0);
        if (q < 0) {
            title.textContent = 'Nothing to look at yet';
        } else {
            const name = document.createElement('b');
            const note = document.createElement('small');
            name.textContent = this.trace.name(q);
            note.textContent = `position ${q}${this.pinned === q ? ', kept' : this.chosen < 0 ? ', newest' : ''}`;
            title.replaceChildren('After ', name, ' ', note);
        }
        find('looked-verb').textContent = this.isForward ? 'Is looked at by' : 'Looks back at';
        find('looked-lane').textContent = `(${this.laneName(this.lane)})`;
        find('map-lane').textContent = `Layer ${this.layer + 1}, ${this.coloured ? 'heads in colour' : this.laneName(this.lane)}.`;
        find('legend-scale').hidden = this.coloured !== null;
        const ticks = find('legend-ticks');
        const texts = LEGEND_TICKS.map(shade => meaning(shade, this.scale));
        if (ticks.dataset.shown === texts.join()) return;
        ticks.dataset.shown = texts.join();
        const span = document.createElement('span');
        ticks.replaceChildren(...texts.map(textContent => Object.assign(span.cloneNode(), { textContent })));
    }

    /** @param {number} lane */
    laneName(lane) {
        return lane === 0 ? `mean of ${this.heads || 'all'} heads` : `head ${lane}`;
    }

    /** @param {number} lane */
    chooseLane(lane) {
        this.lane = lane;
        this.onLane(lane);
        this.invalidate();
    }

    /**
     * With a position kept, pointing at another word tells what it got from that one; otherwise it is inspected.
     * @param {number} position
     * @param {PointerEvent | null} event
     */
    hoverWord(position, event) {
        this.hovered = position;
        this.pointed = -1;
        this.tooltip.hide();
        if (event && this.pinned >= 0 && position >= 0 && position !== this.pinned) {
            this.pointed = position;
            const [q, k] = this.isForward ? [position, this.pinned] : [this.pinned, position];
            this.tooltip.show(this.cellText(this.lane, q, k), event.clientX, event.clientY);
        }
        this.onInspect(this.inspected);
        this.invalidate();
    }

    /** @param {number} position -1: nothing is kept any more */
    pin(position) {
        this.pinned = position;
        this.pointed = this.mapRow = -1;
        this.tooltip.hide();
        document.body.classList.toggle('word-kept', position >= 0);
        // On narrow screens the lists come as a sheet, which may cover the word.
        if (position >= 0) this.story.reveal(position);
        this.onInspect(position);
        this.invalidate();
    }

    /** Keeps the row under the pointer, and the cell for as long as the pointer stays. */
    pinCell() {
        this.pinned = this.mapRow;
        this.onInspect(this.pinned);
        this.invalidate();
    }

    /** @param {number | 'first' | 'last'} step */
    step(step) {
        const last = this.trace.tokens.length - 1;
        if (last < 0) return;
        const from = this.inspected;
        const to = step === 'first' ? 0 : step === 'last' ? last : Math.min(last, Math.max(0, from + step));
        this.hovered = -1;
        this.story.grow(this.trace);
        this.pin(to);
        this.say(this.stepText(to));
    }

    /**
     * @param {number} lane
     * @param {number} x
     * @param {PointerEvent | null} event
     */
    pointLane(lane, x, event) {
        const q = this.inspected;
        const k = event ? positionAt(this.axis, x) : -1;
        const isKey = this.isRow(q) && k >= 0 && k <= q;
        this.pointed = isKey ? k : -1;
        if (event && isKey) this.tooltip.show(this.cellText(lane, q, k), event.clientX, event.clientY);
        else this.tooltip.hide();
        this.invalidate();
    }

    /**
     * @param {number} x
     * @param {number} y
     * @param {PointerEvent | null} event
     */
    pointMap(x, y, event) {
        const q = event ? this.map.rowAt(y, this.axis) : -1;
        const k = event ? positionAt(this.axis, x) : -1;
        const isCell = this.isRow(q) && k >= 0 && k <= q;
        this.mapRow = isCell ? q : -1;
        this.pointed = isCell ? k : -1;
        if (event && isCell) this.tooltip.show(this.cellText(this.lane, q, k), event.clientX, event.clientY);
        else this.tooltip.hide();
        this.invalidate();
    }

    /**
     * Walks over the heat map's cells.
     * @param {number} rows
     * @param {number} columns
     */
    moveCell(rows, columns) {
        const last = this.trace.rows.length - 1;
        if (last < 0) return;
        const q = Math.min(last, Math.max(0, Math.min(this.inspected, last) + rows));
        const k = Math.min(q, Math.max(0, (this.pointed < 0 ? q : this.pointed) + columns));
        this.pin(q);
        this.pointed = k;
        const text = this.cellText(this.lane, q, k);
        const box = this.map.canvas.getBoundingClientRect();
        this.tooltip.show(text, box.left + this.map.columnX(k, this.axis), box.top + this.map.rowY(q, this.axis));
        this.say(text);
    }

    /**
     * @param {number} lane
     * @param {number} q
     * @param {number} k
     */
    cellText(lane, q, k) {
        const weight = this.trace.weight(lane, q, k);
        const names = `${this.trace.name(q)} → ${this.trace.name(k)}`;
        if (weight !== undefined && lane === 0 && this.coloured) return `${names}: ${this.headsText(q, k)}`;
        if (weight !== undefined) return `${names}: ${percent(weight)}, ${this.laneName(lane)}`;
        return k > q ? `${names}: not visible from there` : `${names}: not read yet`;
    }

    /** The heads in colour that look most from q at k. @param {number} q @param {number} k */
    headsText(q, k) {
        const heads = [...this.coloured ?? []].map(lane => ({ lane, weight: this.trace.weight(lane, q, k) ?? 0 }));
        return heads.sort((a, b) => b.weight - a.weight).slice(0, 3)
            .map(({ lane, weight }) => `head ${lane} ${percent(weight)}`).join(', ');
    }

    /**
     * A step in one sentence, for a screen reader.
     * @param {number} q
     */
    stepText(q) {
        const { trace, lane } = this;
        const looks = trace.strongest(lane, q, 3)
            .map(({ position, weight }) => `${trace.name(position)} ${percent(weight)}`).join(', ');
        const next = (trace.candidates.get(q) ?? []).slice(0, 3)
            .map(({ text, probability, drawn }) => `${text.trim()} ${percent(probability)}${drawn ? ' drawn' : ''}`)
            .join(', ');
        const before = looks ? `Looks back at ${looks}.` : 'Not read yet.';
        return `${trace.name(q)}. ${before} ${next && `Next: ${next}.`}`;
    }
}
