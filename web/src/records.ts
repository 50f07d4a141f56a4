import type { Collection } from './collection.js';
import { contentOf, documentFactory, versionOf, type Document, type DocumentFactory } from './document.js';
import { Feed } from './feed.js';
import { live } from './live.js';
import { Source, type Observable } from './observable.js';
import type { CollectionSchema } from './schema.js';
import { after } from './order.js';
import type { Core } from './wasm.js';
import { WriteQueue, type Version, type WriteKind, type WriteTarget } from './writes.js';

type Content = Record<string, unknown>;

/** The core's text, see reading in wasm/reading_js.go. */
interface Reading {
	t: number;
	v: number[];
	d: Content[];
}

/** @internal A document that is to be written: its primary key and its JSON text. */
export interface Draft {
	readonly id: string;
	readonly text: string;
}

/** @internal The documents of a collection: reads, writes, and the objects that stand for them. */
export class Records<T> {
	readonly core: Core;
	readonly number: number;
	readonly key: string;
	readonly collection: Collection<T>;
	readonly feed: Feed<T>;
	readonly #closed = new Source<void>();
	readonly #writes: WriteQueue;
	readonly #make: DocumentFactory<T>;
	readonly #documents = new Map<string, WeakRef<Document<T>>>();
	#sweepAt = 1024;

	constructor(core: Core, number: number, collection: Collection<T>, schema: CollectionSchema) {
		this.core = core;
		this.number = number;
		this.collection = collection;
		this.key = schema.primaryKey;
		this.feed = new Feed(core, number, this);
		this.#writes = new WriteQueue(core, number);
		this.#make = documentFactory<T>(this, Object.keys(schema.properties));
	}

	/** Completes what observes the documents. */
	close(): void {
		this.#closed.complete();
	}

	get closed(): Observable<void> {
		return this.#closed.observable;
	}

	// Reads.

	async get(ids: readonly string[]): Promise<Document<T>[]> {
		return this.#take(await this.core.call<string>('get', this.number, JSON.stringify(ids))).documents;
	}

	async all(): Promise<Document<T>[]> {
		return this.#take(await this.core.call<string>('find', this.number)).documents;
	}

	count(): Promise<number> {
		return this.core.call('count', this.number);
	}

	#take(text: string): { tail: number; documents: Document<T>[] } {
		const { t, v, d }: Reading = JSON.parse(text);
		return {
			tail: t,
			documents: d.map((content, i) => this.#hold({ replica: v[2 * i] as number, counter: v[2 * i + 1] as number }, content)),
		};
	}

	/** Returns the object for a version that the log has. */
	#hold(version: Version, content: Content): Document<T> {
		const id = content[this.key] as string;
		const held = this.#documents.get(id)?.deref();
		if (held && same(versionOf(held), version)) {
			return held;
		}
		return this.#keep(this.#make(id, version, content, false));
	}

	#keep(document: Document<T>): Document<T> {
		this.#documents.set(document.primary, new WeakRef(document));
		if (this.#documents.size >= this.#sweepAt) {
			this.#sweep();
		}
		return document;
	}

	/** Drops what nobody holds any more. A FinalizationRegistry does so by itself, at half the time of a bulk write. */
	#sweep(): void {
		for (const [id, reference] of this.#documents) {
			if (reference.deref() === undefined) {
				this.#documents.delete(id);
			}
		}
		this.#sweepAt = Math.max(1024, 2 * this.#documents.size);
	}

	/** Returns the object for a version that the core told of. */
	arrived(version: Version, content: Content, deleted: boolean, before: Content | null): Document<T> {
		if (!deleted) {
			return this.#hold(version, content);
		}
		const id = content[this.key] as string;
		const held = this.#documents.get(id)?.deref();
		this.#documents.delete(id);
		return this.#make(id, version, held ? contentOf(held) : before ?? content, true);
	}

	// Observables.

	/** All documents in the order of their primary keys. */
	observeAll(): Observable<Document<T>[]> {
		return live(this.feed, this.closed, {
			read: async () => {
				const { tail, documents } = this.#take(await this.core.call<string>('find', this.number));
				return { tail, result: documents, apply: (batch, result) => after(result, batch.changes) };
			},
		});
	}

	/** One document, null while there is none; with deleted, the deleted version after that. */
	observeOne(id: string, deleted = false): Observable<Document<T> | null> {
		return live<T, Document<T> | null>(this.feed, this.closed, {
			read: async () => {
				const { tail, documents } = this.#take(await this.core.call<string>('get', this.number, JSON.stringify([id])));
				return {
					tail,
					result: documents[0] ?? null,
					apply: ({ changes }, result) => changes.reduce((one, { operation, document }) => {
						if (document.primary !== id) {
							return one;
						}
						return operation === 'DELETE' && !deleted ? null : document;
					}, result),
				};
			},
		});
	}

	/** Those of some documents that exist, by primary key, in the order of ids. */
	observeSome(ids: readonly string[]): Observable<Map<string, Document<T>>> {
		const wanted = new Set(ids);
		return live(this.feed, this.closed, {
			read: async () => {
				const { tail, documents } = this.#take(await this.core.call<string>('get', this.number, JSON.stringify(ids)));
				return {
					tail,
					result: byPrimary(documents),
					apply: ({ changes }, result) => {
						const relevant = changes.filter(({ document }) => wanted.has(document.primary));
						if (relevant.length === 0) {
							return result;
						}
						const next = new Map(result);
						for (const { operation, document } of relevant) {
							operation === 'DELETE' ? next.delete(document.primary) : next.set(document.primary, document);
						}
						return byPrimary(ids.flatMap((id) => next.get(id) ?? []));
					},
				};
			},
		});
	}

	observeCount(): Observable<number> {
		return live(this.feed, this.closed, {
			// A commit between the reading and the next batch is in that batch's count.
			read: async () => ({ tail: 0, result: await this.count(), apply: ({ count }) => count }),
		});
	}

	// Writes.

	/** Checks a document that somebody wants to write. */
	draft(document: unknown, name: string): Draft {
		if (typeof document !== 'object' || document === null || Array.isArray(document)) {
			throw new TypeError(`${name} must be an object`);
		}
		const { toJSON } = document as { toJSON?: unknown };
		const content = (typeof toJSON === 'function' ? toJSON.call(document) : document) as Content;
		const id = content[this.key];
		// The core takes our word for the primary key, so the text must have it.
		if (typeof id !== 'string' || !Object.prototype.propertyIsEnumerable.call(content, this.key)) {
			throw new TypeError(`${name} must have its primary key, the field ${this.key}, as a string`);
		}
		if (!isWellFormed(id)) {
			throw new TypeError(`${name} has a primary key with half a surrogate pair`);
		}
		return { id, text: JSON.stringify(content) };
	}

	write(kind: 'i' | 'u', { id, text }: Draft): Promise<Document<T>> {
		return this.#write(kind, id, text, () => text);
	}

	/** Queues a write of many. */
	push(kind: 'i' | 'u', { id, text }: Draft, target: WriteTarget, index: number): void {
		this.#writes.add(kind, id, text, target, index);
	}

	/** Queues a removal of many. */
	pushRemoval(id: string, target: WriteTarget, index: number): void {
		this.#writes.add('d', id, '', target, index);
	}

	async patch(id: string, patch: Partial<T>): Promise<Document<T>> {
		if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) {
			throw new TypeError('patch must be an object');
		}
		return this.#write('p', id, JSON.stringify(patch), (body) => body as Content);
	}

	/** Writes the content in the place of just that version. */
	async replace(document: Document<T>, content: unknown): Promise<Document<T>> {
		const { id, text } = this.draft(content, 'what change returns');
		if (id !== document.primary) {
			throw new TypeError(`the primary key, field ${this.key}, must stay ${JSON.stringify(document.primary)}`);
		}
		const { replica, counter } = versionOf(document) as Version;
		return this.#write(`r${replica}:${counter}:`, id, text, () => text);
	}

	#write(kind: WriteKind, id: string, text: string, content: (body: unknown) => string | Content): Promise<Document<T>> {
		return new Promise((resolve, failed) => {
			this.#writes.add(kind, id, text, {
				written: (_, version, superseded, body) => resolve(this.wrote(id, content(body), version, superseded)),
				failed: (_, error) => failed(error),
			});
		});
	}

	remove(document: Document<T>): Promise<Document<T>> {
		return new Promise((resolve, failed) => {
			this.pushRemoval(document.primary, {
				written: (_, version) => resolve(this.removed(document, version)),
				failed: (_, error) => failed(error),
			}, 0);
		});
	}

	/** Returns the object for what was written just now. */
	wrote(id: string, content: string | Content, version: Version, superseded: boolean): Document<T> {
		const held = this.#documents.get(id)?.deref();
		const heldVersion = held && versionOf(held);
		if (held && same(heldVersion, version) && !superseded) {
			return held;
		}
		const document = this.#make(id, version, content, false);
		const late = heldVersion?.replica === version.replica && heldVersion.counter >= version.counter;
		return superseded || late ? document : this.#keep(document);
	}

	/** Returns the object for a removed document. */
	removed(document: Document<T>, version: Version): Document<T> {
		const { primary } = document;
		if (same(versionOf(this.#documents.get(primary)?.deref() ?? document), versionOf(document))) {
			this.#documents.delete(primary);
		}
		return this.#make(primary, version, contentOf(document), true);
	}
}

function same(a: Version | undefined, b: Version | undefined): boolean {
	return a?.replica === b?.replica && a?.counter === b?.counter;
}

function byPrimary<T>(documents: Document<T>[]): Map<string, Document<T>> {
	return new Map(documents.map((document) => [document.primary, document]));
}

function isWellFormed(text: string): boolean {
	const { isWellFormed: builtIn } = text as { isWellFormed?(): boolean };
	return builtIn ? builtIn.call(text) : !/\p{Surrogate}/u.test(text);
}
