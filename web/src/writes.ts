import { ShoalError, toShoalError, type ErrorCode } from './errors.js';
import { nextTask } from './task.js';
import type { Core } from './core.js';

/** @internal Names a version of a document within this page: the core's number for the replica that wrote it, and that one's count. */
export interface Version {
	readonly replica: number;
	readonly counter: number;
}

/** @internal What a write does: insert, upsert, patch, remove, or replace a version. */
export type WriteKind = 'i' | 'u' | 'p' | 'd' | `r${number}:${number}:`;

/** @internal Who wants to know what became of a write. index is what was given with it. */
export interface WriteTarget {
	/**
	 * It is stored as this version. superseded: another write of the same commit came after it, under the same version. body: what a
	 * patch made. The text that was given is what rows has from there to there.
	 */
	written(index: number, version: Version, superseded: boolean, body: unknown, rows: string, from: number, to: number): void;
	failed(index: number, error: Error): void;
}

/** A write on its way: the two lines of wasm/rows_js.go. */
interface Row {
	readonly head: string;
	body: string; // empty once it is on its way
	readonly id: string;
	readonly target: WriteTarget;
	readonly index: number;
}

/** The core's answer, see outcome in wasm/rows_js.go. */
interface Outcome {
	v: number[];
	s: number[];
	b: [row: number, body: unknown][];
	e: [row: number, code: ErrorCode, message: string][];
}

/** As much text goes into one call: commits are made of as many calls as wait. */
const callChars = 96 << 10;

/** So many calls may be on their way. */
const maxCalls = 24;

/** @internal The writes of a collection, in their order. Those of one turn of the page become one call; a call that is long leaves the page time between. */
export class WriteQueue {
	readonly #core: Core;
	readonly #collection: number;
	readonly #encoder = new TextEncoder();
	#rows: Row[] = [];
	#calls = new Set<Promise<void>>();
	#running = false;

	constructor(core: Core, collection: number) {
		this.#core = core;
		this.#collection = collection;
	}

	/** Queues a write. The target is told later. */
	add(kind: WriteKind, id: string, body: string, target: WriteTarget, index = 0): void {
		this.#rows.push({ head: kind + JSON.stringify(id), body, id, target, index });
		if (!this.#running) {
			this.#running = true;
			queueMicrotask(() => void this.#run());
		}
	}

	async #run(): Promise<void> {
		while (this.#rows.length > 0) {
			const call = this.#send(this.#take()).finally(() => this.#calls.delete(call));
			this.#calls.add(call);
			if (this.#rows.length > 0) {
				await (this.#calls.size < maxCalls ? nextTask() : Promise.race(this.#calls));
			}
		}
		this.#running = false;
	}

	/** Takes rows for a call, at least one. */
	#take(): Row[] {
		let chars = 0;
		let n = 0;
		while (n < this.#rows.length && chars < callChars) {
			const row = this.#rows[n++] as Row;
			chars += row.head.length + row.body.length + 32;
		}
		return n === this.#rows.length ? this.#rows.splice(0) : this.#rows.splice(0, n);
	}

	async #send(rows: Row[]): Promise<void> {
		const lines: string[] = [];
		const ends: number[] = []; // of the bodies
		let chars = 0;
		for (const row of rows) {
			chars += row.head.length + row.body.length + 2;
			ends.push(chars - 1);
			lines.push(row.head, row.body);
			row.body = ''; // one long text is easier to keep than many short ones
		}
		lines.push('');
		const text = lines.join('\n');
		lines.length = 0;
		let outcome: Outcome;
		try {
			outcome = JSON.parse(await this.#core.call<string>('write', this.#collection, this.#encoder.encode(text)));
		} catch (error) {
			for (const { target, index } of rows) {
				target.failed(index, toShoalError(error));
			}
			return;
		}
		settle(rows, outcome, text, ends);
	}
}

function settle(rows: readonly Row[], { v, s, b, e }: Outcome, text: string, ends: readonly number[]): void {
	const superseded = new Set(s);
	const bodies = new Map(b);
	const errors = new Map(e.map(([row, code, message]) => [row, { code, message }]));
	for (let i = 0, start = 0; i < rows.length; i++) {
		const { head, target, index, id } = rows[i] as Row;
		const from = start + head.length + 1;
		const to = ends[i] as number;
		start = to + 1;
		const error = errors.get(i);
		if (error) {
			target.failed(index, new ShoalError(error.code, error.message, { documentId: id }));
		} else {
			target.written(index, { replica: v[2 * i] as number, counter: v[2 * i + 1] as number }, superseded.has(i), bodies.get(i), text, from, to);
		}
	}
}
