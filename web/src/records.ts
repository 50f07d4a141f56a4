import type { Collection } from './collection.js';
import { contentOf, documentFactory, versionOf, type Document, type DocumentFactory } from './document.js';
import { Feed } from './feed.js';
import { textOf, type Draft, type Drafts } from './drafts.js';
import { edited, type Edit } from './edits.js';
import { ShoalError } from './errors.js';
import { following, live, type Begin } from './live.js';
import { Source, type Observable } from './observable.js';
import type { QueryExplanation } from './query.js';
import type { CollectionSchema } from './schema.js';
import type { Core } from './core.js';
import { WriteQueue, type Version, type WriteKind, type WriteTarget } from './writes.js';

type Content = Record<string, unknown>;

/** Documents in the core's texts, see appendListed in wasm/reading_js.go. */
interface Listed {
	o: number[];
	v: number[];
	d: Content[];
}

/** See reading in wasm/reading_js.go. */
interface Reading extends Listed {
	t: number;
}

/** See edits in wasm/query_js.go. */
interface Edits extends Listed {
	e: number[];
}

/** @internal The documents of a collection: reads, writes, and the objects that stand for them. */
export class Records<T> {
	readonly core: Core;
	readonly number: number;
	readonly key: string;
	readonly drafts: Drafts;
	readonly collection: Collection<T>;
	readonly feed: Feed<T>;
	readonly #closed = new Source<void>();
	readonly #writes: WriteQueue;
	readonly #make: DocumentFactory<T>;
	readonly #documents = new Map<string, WeakRef<Document<T>>>();
	#sweepAt = 1024;

	constructor(core: Core, number: number, collection: Collection<T>, schema: CollectionSchema, drafts: Drafts) {
		this.core = core;
		this.number = number;
		this.collection = collection;
		this.key = drafts.key;
		this.drafts = drafts;
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

	/** Answers a query, which is JSON text. */
	async find(query: string): Promise<Document<T>[]> {
		const documents: Document<T>[] = [];
		const of = this.core.own({ event: (_, text) => this.#push(documents, text) });
		try {
			this.#push(documents, await this.core.call<string>('find', this.number, of, query));
		} finally {
			this.core.forget(of);
		}
		return documents;
	}

	count(query: string): Promise<number> {
		return this.core.call('count', this.number, query);
	}

	async explain(query: string): Promise<QueryExplanation> {
		return JSON.parse(await this.core.call<string>('explain', this.number, query)) as QueryExplanation;
	}

	#push(documents: Document<T>[], text: string): void {
		for (const document of this.#take(text).documents) {
			documents.push(document);
		}
	}

	#take(text: string): { tail: number; documents: Document<T>[] } {
		const reading = JSON.parse(text) as Reading;
		return { tail: reading.t, documents: this.#list(reading) };
	}

	#list({ o, v, d }: Listed): Document<T>[] {
		const old = new Set(o);
		return d.map((content, i) => this.#hold({ replica: v[2 * i] as number, counter: v[2 * i + 1] as number }, content, old.has(i)));
	}

	/** Returns the object for a version that the log has. One that is known to be old does not take the newest one's place. */
	#hold(version: Version, content: Content, old = false): Document<T> {
		const id = content[this.key] as string;
		const held = this.#documents.get(id)?.deref();
		const heldVersion = held && versionOf(held);
		if (held && same(heldVersion, version)) {
			return held;
		}
		const document = this.#make(id, version, content, false);
		return old || heldVersion?.replica === version.replica && heldVersion.counter > version.counter ? document : this.#keep(document);
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
		return this.#make(id, version, before ?? (held ? contentOf(held) : content), true);
	}

	// Observables.

	/** The result of a query, which is JSON text. */
	observe(query: string): Observable<Document<T>[]> {
		return live(this.closed, this.#watched<Document<T>[]>('observe', query, () => [], (kind, text, result) => {
			if (kind === 'rows') {
				this.#push(result, text);
				return result; // which nobody has seen yet
			}
			return edited(result, this.#edits(JSON.parse(text) as Edits));
		}));
	}

	/** The number of documents that meet a query's selector. */
	observeCount(query: string): Observable<number> {
		return live(this.closed, this.#watched('observeCount', query, () => 0, (_, text) => Number(text)));
	}

	/** Begins what the core keeps up to date. */
	#watched<R>(method: 'observe' | 'observeCount', query: string, start: () => R, take: (kind: string, text: string, result: R) => R): Begin<R> {
		return (show, fail) => {
			let result = start();
			let complete = false;
			let stopped = false;
			const of = this.core.own({
				event: (kind, text) => {
					result = take(kind, text, result);
					if (complete && !stopped) {
						show(result);
					}
				},
			});
			const begun = this.core.call(method, this.number, of, query);
			begun.then(() => {
				complete = true;
				if (!stopped) {
					show(result);
				}
			}, fail);
			return () => {
				stopped = true;
				this.core.forget(of);
				begun.then(() => this.core.call('unobserve', this.number, of)).catch(() => {}); // it never began, or ended with the collection
			};
		};
	}

	#edits({ e, ...listed }: Edits): Edit<Document<T>>[] {
		const documents = this.#list(listed);
		const edits: Edit<Document<T>>[] = [];
		for (let i = 0, n = 0; i < e.length; i += 2) {
			const kind = e[i] as Edit<unknown>['kind'];
			edits.push({ kind, at: e[i + 1] as number, document: kind === 2 ? undefined : documents[n++] });
		}
		return edits;
	}

	/** One document, null while there is none; with deleted, the deleted version after that. */
	observeOne(id: string, deleted = false): Observable<Document<T> | null> {
		return live(this.closed, following<T, Document<T> | null>(this.feed, {
			read: async () => {
				const { tail, documents } = this.#take(await this.core.call<string>('get', this.number, JSON.stringify([id])));
				return { tail, result: documents[0] ?? null };
			},
			apply: ({ changes }, result) => changes.reduce((one, { operation, document }) => {
				if (document.primary !== id) {
					return one;
				}
				return operation === 'DELETE' && !deleted ? null : document;
			}, result),
		}));
	}

	/** Those of some documents that exist, by primary key, in the order of ids. */
	observeSome(ids: readonly string[]): Observable<Map<string, Document<T>>> {
		const wanted = new Set(ids);
		return live(this.closed, following(this.feed, {
			read: async () => {
				const { tail, documents } = this.#take(await this.core.call<string>('get', this.number, JSON.stringify(ids)));
				return { tail, result: byPrimary(documents) };
			},
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
		}));
	}

	// Writes.

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
		const text = textOf(patch, 'patch');
		if (!this.drafts.validates) {
			return this.#write('p', id, text, (body) => body as Content);
		}
		const [document] = await this.get([id]);
		if (!document) {
			throw new ShoalError('not-found', `document not found: ${JSON.stringify(id)}`, { documentId: id });
		}
		return document.modify((content) => ({ ...content, ...JSON.parse(text) as Partial<T> })); // of the whole is known what it may be
	}

	/** Writes the content in the place of just that version. */
	async replace(document: Document<T>, content: unknown): Promise<Document<T>> {
		const { id, text } = this.drafts.version(content, 'what change returns');
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
