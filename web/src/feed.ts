import type { Document } from './document.js';
import type { Records } from './records.js';
import type { Core } from './core.js';

/** @internal What a commit changed. */
export interface Batch<T> {
	/** Position of the log after the commit. */
	readonly tail: number;
	/** Number of documents after it. */
	readonly count: number;
	readonly changes: readonly Change<T>[];
}

/** @internal One change of a batch. */
export interface Change<T> {
	readonly operation: 'INSERT' | 'UPDATE' | 'DELETE';
	readonly document: Document<T>;
	/** The content before, for listeners that asked for it. */
	readonly before: Record<string, unknown> | null;
}

/** The core's text, see changed in wasm/reading_js.go. */
interface Text {
	t: number;
	n: number;
	o: number[];
	v: number[];
	d: Record<string, unknown>[];
	b: (Record<string, unknown> | null)[];
}

const operations = ['INSERT', 'UPDATE', 'DELETE'] as const;

interface Listener<T> {
	readonly before: boolean;
	take(batch: Batch<T>): void;
}

/** @internal The changes of a collection, told by the core as long as anybody listens. */
export class Feed<T> {
	readonly #core: Core;
	readonly #collection: number;
	readonly #records: Records<T>;
	#listeners: readonly Listener<T>[] = [];
	#level = 0;

	constructor(core: Core, collection: number, records: Records<T>) {
		this.#core = core;
		this.#collection = collection;
		this.#records = records;
	}

	/** Calls take with all that is committed from now on. With before, changes have the content before. */
	listen(before: boolean, take: (batch: Batch<T>) => void): () => void {
		const listener = { before, take };
		this.#listeners = [...this.#listeners, listener];
		this.#watch();
		return () => {
			this.#listeners = this.#listeners.filter((other) => other !== listener);
			this.#watch();
		};
	}

	#watch(): void {
		const level = this.#listeners.reduce((most, { before }) => Math.max(most, before ? 2 : 1), 0);
		if (level !== this.#level) {
			this.#level = level;
			this.#core.call('watch', this.#collection, level).catch(() => {}); // who listens to what is closed hears nothing
		}
	}

	/** Takes what the core tells. */
	event(text: string): void {
		const { t, n, o, v, d, b }: Text = JSON.parse(text);
		const changes = d.map((content, i) => {
			const operation = operations[o[i] as number] ?? 'UPDATE';
			const version = { replica: v[2 * i] as number, counter: v[2 * i + 1] as number };
			const before = b[i] ?? null;
			return { operation, document: this.#records.arrived(version, content, operation === 'DELETE', before), before };
		});
		const batch = { tail: t, count: n, changes };
		for (const { take } of this.#listeners) {
			take(batch);
		}
	}
}
