import { BulkRemoval, BulkWrite, inBulk, type BulkResult } from './bulk.js';
import { versionOf, type Document } from './document.js';
import type { MigrationStrategies } from './migration.js';
import { Observable } from './observable.js';
import {
	countQuery, findByIdsQuery, findFirstQuery, findOneQuery, findQuery, type DocumentQuery, type MangoQuery, type Query, type SingleQuery,
} from './query.js';
import type { Records } from './records.js';
import type { CollectionSchema, DeepReadonly, DocumentOf } from './schema.js';

/** What a change did. */
export type ChangeOperation = 'INSERT' | 'UPDATE' | 'DELETE';

/** A change of a document, by this tab, another one or another replica; several changes of one commit are one. */
export interface ChangeEvent<T> {
	readonly operation: ChangeOperation;
	readonly collectionName: string;
	/** The primary key. */
	readonly documentId: string;
	/** The content after the change; after a DELETE, the last there was. */
	readonly documentData: DeepReadonly<T>;
	/** The content before the change; undefined for an INSERT. */
	readonly previousDocumentData: DeepReadonly<T> | undefined;
	readonly isLocal: false;
}

/** How much a collection holds on this device. */
export interface CollectionInfo {
	/** Names this copy among the others. */
	readonly replicaId: string;
	readonly documents: number;
	/** Removed documents, which are remembered for those replicas that do not know. */
	readonly tombstones: number;
	/** Bytes of all their content; the storage needs some more. */
	readonly bytes: number;
}

/** A version of a document for a conflict handler. */
export type WithDeleted<T> = T & { _deleted: boolean };

/** Two versions of a document of which neither writer knew the other's. */
export interface Conflict<T> {
	/** What both were made from, where that is still known. */
	readonly assumedMasterState?: WithDeleted<T>;
	/** The later version. */
	readonly realMasterState: WithDeleted<T>;
	/** The earlier one. */
	readonly newDocumentState: WithDeleted<T>;
}

/**
 * Resolves conflicts, as in RxDB. What it returns must depend on its arguments alone: each replica asks its own handler, with
 * the same arguments, and all are to come to the same result.
 */
export interface ConflictHandler<T> {
	isEqual(a: WithDeleted<T>, b: WithDeleted<T>, context: string): boolean | Promise<boolean>;
	/** Returns one of the two versions or a new one. */
	resolve(conflict: Conflict<T>, context: string): WithDeleted<T> | Promise<WithDeleted<T>>;
}

/** What `addCollections` makes a collection of. */
export interface CollectionCreator<S extends CollectionSchema = CollectionSchema, T = DocumentOf<S>> {
	schema: S;
	/** Needed for each version of the schema from 1 on. Documents of older versions are migrated before the collection is there. */
	migrationStrategies?: MigrationStrategies;
	/**
	 * What becomes of two versions of a document of which neither writer knew the other's. `last-write-wins`, the default, keeps the later
	 * one. `merge-fields` takes of each top-level field the one that was changed since the common version, of those that both
	 * changed the later one; where one side removed the document the later version wins as a whole.
	 */
	conflictHandler?: 'last-write-wins' | 'merge-fields' | ConflictHandler<T>;
}

/** A collection of documents. Writes are stored when their promise is fulfilled, and reach the other replicas in the background. */
export interface Collection<T = any> {
	readonly name: string;
	readonly schema: CollectionSchema;
	/** All changes. */
	readonly $: Observable<ChangeEvent<T>>;
	readonly insert$: Observable<ChangeEvent<T>>;
	readonly update$: Observable<ChangeEvent<T>>;
	readonly remove$: Observable<ChangeEvent<T>>;

	/** Adds a document. Rejects with `exists` where there is one with its primary key. */
	insert(document: T): Promise<Document<T>>;
	/**
	 * Adds those documents that it can and tells what became of each. They are not to be changed until the promise is settled. A long
	 * list is written in parts, so that the page stays responsive.
	 */
	bulkInsert(documents: readonly T[]): Promise<BulkResult<T>>;
	/** Adds a document or replaces the one with its primary key. */
	upsert(document: T): Promise<Document<T>>;
	/** Like `bulkInsert`, but replaces the documents that exist. */
	bulkUpsert(documents: readonly T[]): Promise<BulkResult<T>>;
	/** Removes documents, given themselves or by their primary keys. */
	bulkRemove(documents: readonly (string | Document<T>)[]): Promise<BulkResult<T>>;

	/** The documents that a query finds; without one, all, in the order of the schema's first index or else of their primary keys. */
	find(query?: MangoQuery<T>): DocumentQuery<T, Document<T>[]>;
	/** The document with a primary key, or the first that a query finds; null where there is none. */
	findOne(query?: string | MangoQuery<T>): SingleQuery<T>;
	/** Those of the documents that exist, by primary key. */
	findByIds(ids: readonly string[]): Query<Map<string, Document<T>>>;
	/** The number of documents that meet a query's selector; its `skip` and `limit` play no part. */
	count(query?: MangoQuery<T>): Query<number>;

	/** How much there is. It looks at every document. */
	info(): Promise<CollectionInfo>;
}

/** @internal Returns the records of a collection, undefined for anything else. */
export let recordsOf: (collection: object) => Records<unknown> | undefined;

/** @internal */
export class CollectionObject<T> implements Collection<T> {
	readonly name: string;
	readonly schema: CollectionSchema;
	#records!: Records<T>;

	static {
		recordsOf = (collection) => (#records in collection ? collection.#records : undefined);
	}

	constructor(name: string, schema: CollectionSchema) {
		this.name = name;
		this.schema = schema;
	}

	/** Sets what the constructor needs the collection for. */
	begin(records: Records<T>): void {
		this.#records = records;
	}

	get $(): Observable<ChangeEvent<T>> {
		return this.#events();
	}

	get insert$(): Observable<ChangeEvent<T>> {
		return this.#events('INSERT');
	}

	get update$(): Observable<ChangeEvent<T>> {
		return this.#events('UPDATE');
	}

	get remove$(): Observable<ChangeEvent<T>> {
		return this.#events('DELETE');
	}

	#events(only?: ChangeOperation): Observable<ChangeEvent<T>> {
		const { feed, closed } = this.#records;
		return new Observable((next, complete) => {
			const stop = feed.listen(true, ({ changes }) => {
				for (const { operation, document, before } of changes) {
					if (!only || only === operation) {
						next({
							operation,
							collectionName: this.name,
							documentId: document.primary,
							documentData: document.toJSON(),
							previousDocumentData: (before ?? undefined) as DeepReadonly<T> | undefined,
							isLocal: false,
						});
					}
				}
			});
			const closing = closed.subscribe(null, undefined, complete);
			return () => {
				stop();
				closing.unsubscribe();
			};
		});
	}

	async insert(document: T): Promise<Document<T>> {
		return this.#records.write('i', this.#records.drafts.fresh(document, 'document'));
	}

	async bulkInsert(documents: readonly T[]): Promise<BulkResult<T>> {
		return this.#bulk('i', documents);
	}

	async upsert(document: T): Promise<Document<T>> {
		return this.#records.write('u', this.#records.drafts.fresh(document, 'document'));
	}

	async bulkUpsert(documents: readonly T[]): Promise<BulkResult<T>> {
		return this.#bulk('u', documents);
	}

	#bulk(kind: 'i' | 'u', documents: readonly T[]): Promise<BulkResult<T>> {
		return inBulk(mustBeArray(documents, 'documents'), () => new BulkWrite(this.#records, kind, documents));
	}

	async bulkRemove(documents: readonly (string | Document<T>)[]): Promise<BulkResult<T>> {
		const ids = mustBeArray(documents, 'documents').filter((document) => typeof document === 'string');
		const found = ids.length > 0 ? await this.findByIds(ids).exec() : new Map<string, Document<T>>();
		const targets = documents.map((document, i) => {
			if (typeof document !== 'string' && !(document && versionOf(document) && document.collection === this)) {
				throw new TypeError(`documents[${i}] must be a document of the collection or a primary key`);
			}
			return typeof document === 'string' ? found.get(document) ?? document : document;
		});
		return inBulk(targets, () => new BulkRemoval(this.#records, targets));
	}

	find(query?: MangoQuery<T>): DocumentQuery<T, Document<T>[]> {
		return findQuery(this.#records, query);
	}

	findOne(query?: string | MangoQuery<T>): SingleQuery<T> {
		if (typeof query === 'string') {
			return findOneQuery(this.#records, query);
		}
		const id = (query?.selector as Record<string, unknown> | undefined)?.[this.#records.key];
		if (typeof id === 'string' && query && Object.keys(query).length === 1 && Object.keys(query.selector ?? {}).length === 1) {
			return findOneQuery(this.#records, id);
		}
		return findFirstQuery(this.#records, query);
	}

	findByIds(ids: readonly string[]): Query<Map<string, Document<T>>> {
		if (!mustBeArray(ids, 'ids').every((id) => typeof id === 'string')) {
			throw new TypeError('ids must be primary keys, which are strings');
		}
		return findByIdsQuery(this.#records, ids);
	}

	count(query?: MangoQuery<T>): Query<number> {
		return countQuery(this.#records, query);
	}

	async info(): Promise<CollectionInfo> {
		return JSON.parse(await this.#records.core.call<string>('info', this.#records.number)) as CollectionInfo;
	}
}

function mustBeArray<E>(value: readonly E[], name: string): readonly E[] {
	if (!Array.isArray(value)) {
		throw new TypeError(`${name} must be an array`);
	}
	return value;
}
