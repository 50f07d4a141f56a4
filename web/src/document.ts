import type { Collection } from './collection.js';
import { ShoalError } from './errors.js';
import { Observable } from './observable.js';
import type { Records } from './records.js';
import type { DeepReadonly } from './schema.js';
import type { Version } from './writes.js';

/**
 * A document as it was when it was read or written: it never changes, a later version is another object. As long as
 * anybody holds it, the newest version is the same object wherever it comes from.
 *
 * The fields of the schema are properties of it, and read-only, as is all that is in them.
 */
export type Document<T> = DocumentMethods<T> & DeepReadonly<T>;

/** What a {@link Document} has besides its fields. */
export interface DocumentMethods<T> {
	/** The primary key. */
	readonly primary: string;
	readonly collection: Collection<T>;
	/** Whether this is what `remove` returned, or what came in its place from another replica. It still has fields. */
	readonly deleted: boolean;
	/** The newest version of the document, and each later one. The last one may be `deleted`. */
	readonly $: Observable<Document<T>>;

	/** The value at a path of field names and array indexes, separated by dots; undefined where there is none. */
	get(path: string): any;
	/** The same of the newest version, and each later value that is another one. */
	get$(path: string): Observable<any>;
	/** The plain content, read-only. */
	toJSON(): DeepReadonly<T>;
	/** A copy of the plain content. */
	toMutableJSON(): T;
	/** The newest version. Rejects with `not-found` when the document was removed. */
	getLatest(): Promise<Document<T>>;

	/**
	 * Sets the top-level fields that `patch` has on the newest version, and leaves the others, as it does where a field is
	 * undefined. Returns the version that it made.
	 */
	patch(patch: Partial<T>): Promise<Document<T>>;
	/**
	 * Replaces the content by what `change` returns for a copy of it. When another write came in between, `change` is called
	 * again with what that one made.
	 */
	modify(change: (content: T) => T | Promise<T>): Promise<Document<T>>;
	/** Deletes the document, here and then on the other replicas. */
	remove(): Promise<Document<T>>;

	/** The same as `patch`: all writes are based on the newest version. */
	incrementalPatch(patch: Partial<T>): Promise<Document<T>>;
	/** The same as `modify`. */
	incrementalModify(change: (content: T) => T | Promise<T>): Promise<Document<T>>;
	/** The same as `remove`. */
	incrementalRemove(): Promise<Document<T>>;
}

type Content = Record<string, unknown>;

/** How often `modify` begins anew before it gives up. */
const maxTries = 100;

/** @internal Returns the content of a document, frozen. */
export let contentOf: (document: object) => Content;
/** @internal Returns the version of a document, undefined for anything else. */
export let versionOf: (document: object) => Version | undefined;

/** The class behind Document. Each collection has a class of its own with the fields of its schema. */
class BaseDocument<T> implements DocumentMethods<T> {
	readonly #records: Records<T>;
	readonly #primary: string;
	readonly #version: Version;
	readonly #deleted: boolean;
	#content: string | Content; // a JSON text until somebody wants to look at it
	#frozen = false;

	static {
		contentOf = (document) => (document as BaseDocument<unknown>).#read();
		versionOf = (document) => #version in document ? document.#version : undefined;
	}

	constructor(records: Records<T>, primary: string, version: Version, content: string | Content, deleted: boolean) {
		this.#records = records;
		this.#primary = primary;
		this.#version = version;
		this.#content = content;
		this.#deleted = deleted;
		Object.preventExtensions(this); // Vue and others would put a Proxy around it, which has no private fields
	}

	#read(): Content {
		if (!this.#frozen) {
			this.#frozen = true;
			if (typeof this.#content === 'string') {
				this.#content = JSON.parse(this.#content) as Content;
			}
			freeze(this.#content);
		}
		return this.#content as Content;
	}

	get primary(): string {
		return this.#primary;
	}

	get collection(): Collection<T> {
		return this.#records.collection;
	}

	get deleted(): boolean {
		return this.#deleted;
	}

	get $(): Observable<Document<T>> {
		return new Observable((next, complete, error) => {
			const found = this.#records.observeOne(this.#primary, true)
				.subscribe((document) => next(document ?? this.#records.removed(this as unknown as Document<T>, this.#version)), error, complete);
			return () => found.unsubscribe();
		});
	}

	get(path: string): unknown {
		return at(this.#read(), path);
	}

	get$(path: string): Observable<unknown> {
		return new Observable((next, complete, error) => {
			let before: string | undefined | null = null;
			const found = this.$.subscribe((document) => {
				const value: unknown = document.get(path);
				const text = JSON.stringify(value);
				if (text !== before) {
					before = text;
					next(value);
				}
			}, error, complete);
			return () => found.unsubscribe();
		});
	}

	toJSON(): DeepReadonly<T> {
		return this.#read() as DeepReadonly<T>;
	}

	toMutableJSON(): T {
		return structuredClone(this.#read()) as T;
	}

	async getLatest(): Promise<Document<T>> {
		const [document] = await this.#records.get([this.#primary]);
		if (!document) {
			throw new ShoalError('not-found', `document was removed: ${JSON.stringify(this.#primary)}`, { documentId: this.#primary });
		}
		return document;
	}

	async patch(patch: Partial<T>): Promise<Document<T>> {
		return this.#records.patch(this.#primary, patch);
	}

	async modify(change: (content: T) => T | Promise<T>): Promise<Document<T>> {
		if (typeof change !== 'function') {
			throw new TypeError('change must be a function');
		}
		let document: Document<T> = this as unknown as Document<T>;
		for (let tries = 1; ; tries++) {
			const content = await change(document.toMutableJSON());
			try {
				return await this.#records.replace(document, content);
			} catch (error) {
				if (!(error instanceof ShoalError && error.code === 'changed') || tries === maxTries) {
					throw error;
				}
			}
			document = await this.getLatest();
		}
	}

	async remove(): Promise<Document<T>> {
		return this.#records.remove(this as unknown as Document<T>);
	}

	incrementalPatch(patch: Partial<T>): Promise<Document<T>> {
		return this.patch(patch);
	}

	incrementalModify(change: (content: T) => T | Promise<T>): Promise<Document<T>> {
		return this.modify(change);
	}

	incrementalRemove(): Promise<Document<T>> {
		return this.remove();
	}
}

/** @internal Makes a document. content is a JSON text, or what JSON.parse made of one and nobody else holds. */
export type DocumentFactory<T> = (primary: string, version: Version, content: string | Content, deleted: boolean) => Document<T>;

/** @internal Makes documents whose properties are the fields. */
export function documentFactory<T>(records: Records<T>, fields: readonly string[]): DocumentFactory<T> {
	class CollectionDocument extends BaseDocument<T> {}
	for (const field of fields) {
		Object.defineProperty(CollectionDocument.prototype, field, {
			get(this: BaseDocument<T>) {
				return contentOf(this)[field];
			},
			enumerable: true,
			configurable: true,
		});
	}
	return (primary, version, content, deleted) =>
		new CollectionDocument(records, primary, version, content, deleted) as unknown as Document<T>;
}

/** @internal Reports whether a field cannot have that name, because documents, or versions of them, have something else under it. */
export function isReserved(name: string): boolean {
	return name in BaseDocument.prototype || name === '__proto__' || name === '_deleted'; // see WithDeleted
}

function freeze(value: unknown): void {
	if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
		Object.freeze(value);
		for (const inner of Object.values(value)) {
			freeze(inner);
		}
	}
}

function at(content: Content, path: string): unknown {
	let value: unknown = content;
	for (const part of path.split('.')) {
		if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) {
			return undefined;
		}
		value = (value as Content)[part];
	}
	return value;
}
