import { BulkRemoval, inBulk } from './bulk.js';
import type { Document } from './document.js';
import { ShoalError } from './errors.js';
import { Observable } from './observable.js';
import type { Records } from './records.js';

type TypeName = 'null' | 'boolean' | 'bool' | 'number' | 'string' | 'object' | 'array' | 'int' | 'double' | 'long';

/** What a field has to be. docs/queries.md says what each operator means. */
export interface FieldConditions<V> {
	$eq?: V | null;
	$ne?: V | null;
	$gt?: V;
	$gte?: V;
	$lt?: V;
	$lte?: V;
	$in?: readonly (V | null)[];
	$nin?: readonly (V | null)[];
	$exists?: boolean;
	/** A regular expression as text, without its slashes. */
	$regex?: string;
	/** Flags of `$regex`. */
	$options?: string;
	$not?: FieldConditions<V>;
	$type?: TypeName | (string & {}) | number;
	$mod?: readonly [divisor: number, remainder: number];
	$size?: number;
	$elemMatch?: { [key: string]: any };
	$all?: readonly any[];
}

type ElementOf<V> = V extends readonly (infer E)[] ? E : never;

/** A value that a field must equal, or conditions. Of a field that is an array one element is enough. */
export type FieldSelector<V> = V | ElementOf<V> | null | FieldConditions<V | ElementOf<V>>;

/** Which documents a query finds. Fields within fields are named by their path: `'address.town'`. */
export type MangoQuerySelector<T> = {
	[K in keyof T]?: FieldSelector<NonNullable<T[K]>>;
} & {
	[path: `${string}.${string}`]: any;
} & {
	$and?: readonly MangoQuerySelector<T>[];
	$or?: readonly MangoQuerySelector<T>[];
	$nor?: readonly MangoQuerySelector<T>[];
};

/** A direction for one field. */
export type MangoQuerySort<T> = { readonly [K in (keyof T & string) | `${string}.${string}`]?: 'asc' | 'desc' };

/** What a query asks for, as in RxDB. All of it is optional. */
export interface MangoQuery<T = any> {
	/** Default: all documents. */
	selector?: MangoQuerySelector<T>;
	/** Where the fields are equal, the primary key decides. Default: the order of `index`, else of the schema's first index, else of the primary key. */
	sort?: readonly MangoQuerySort<T>[];
	limit?: number;
	skip?: number;
	/** The index to use, one of the schema's. Default: the best one, which `explain` names. */
	index?: string | readonly string[];
}

/** A question to a collection. It can be asked any number of times. */
export interface Query<R> {
	/** Answers once. */
	exec(): Promise<R>;
	/** The answer, and each later one that is another. Documents that did not change are the same objects. */
	readonly $: Observable<R>;
}

/** How a query is answered. */
export interface QueryExplanation {
	/** Fields of the index that is used; the last is the primary key. */
	readonly index: readonly string[];
	/** What is looked at of its first fields; without any, it is all of the index. */
	readonly bounds: readonly string[] | null;
	/** Documents within these bounds. */
	readonly candidates: number;
	/** Those of them that the index cannot order, because a field holds an array or an object. */
	readonly unordered: number;
	/** Within the bounds every document meets the selector. */
	readonly settled: boolean;
	/** Where the order comes from: `index`, `memory`, or `index, groups in memory`. */
	readonly sort: string;
	/** Documents that were looked at. */
	readonly examined: number;
	readonly reason: string;
	/** The indexes that were not taken. */
	readonly considered: readonly { readonly index: readonly string[]; readonly candidates: number; readonly sort: string; readonly cost: number }[] | null;
}

/** A {@link Query} for documents, which can be changed together. */
export interface DocumentQuery<T, R> extends Query<R> {
	/** Removes the documents and returns them. */
	remove(): Promise<R>;
	/** Patches the documents and returns them. */
	patch(patch: Partial<T>): Promise<R>;
	/** Modifies the documents, like `modify` of each, and returns them. */
	modify(change: (content: T) => T | Promise<T>): Promise<R>;
	/** Answers the query and tells how that was done. */
	explain(): Promise<QueryExplanation>;
}

/** A {@link Query} for one document. */
export interface SingleQuery<T> extends DocumentQuery<T, Document<T> | null> {
	exec(): Promise<Document<T> | null>;
	/** With true, rejects with `not-found` where there is none. */
	exec(throwIfMissing: true): Promise<Document<T>>;
}

function mustBeQuery(query: MangoQuery): MangoQuery {
	if (typeof query !== 'object' || query === null || Array.isArray(query)) {
		throw new TypeError('query must be an object');
	}
	return query;
}

/** @internal Returns the text of a query, or why there is none. JSON would leave out silently what it cannot say. */
export function queryText(query: MangoQuery = {}): string {
	const { selector, ...rest } = mustBeQuery(query);
	const known = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined));
	return JSON.stringify(selector === undefined ? known : { selector, ...known }, (key, value: unknown) => {
		if (value === undefined) {
			throw new TypeError(`query: ${key} is undefined; to find what lacks the field use { $exists: false }`);
		}
		if (value instanceof RegExp) {
			throw new TypeError(`query: ${key} is a RegExp; use { $regex: ${JSON.stringify(value.source)}, $options: ${JSON.stringify(value.flags)} }`);
		}
		if (typeof value === 'function' || typeof value === 'symbol') {
			throw new TypeError(`query: ${key} is a ${typeof value}, which documents cannot hold`);
		}
		if (typeof value === 'number' && !Number.isFinite(value)) {
			throw new TypeError(`query: ${key} is ${value}, which documents cannot hold`);
		}
		return value;
	});
}

/** @internal */
export function findQuery<T>(records: Records<T>, query: MangoQuery<T> | undefined): DocumentQuery<T, Document<T>[]> {
	const text = queryText(query);
	const exec = () => records.find(text);
	return {
		exec,
		$: records.observe(text),
		async remove() {
			const { success, error } = await inBulk(await exec(), (documents) => new BulkRemoval(records, documents));
			const failed = error.find(({ code }) => code !== 'not-found'); // somebody else has removed it
			return failed ? Promise.reject(failed.error) : success;
		},
		patch: async (patch) => Promise.all((await exec()).map((document) => document.patch(patch))),
		modify: async (change) => Promise.all((await exec()).map((document) => document.modify(change))),
		explain: () => records.explain(text),
	};
}

/** Makes a SingleQuery of one that finds a list. */
function single<T>(all: DocumentQuery<T, Document<T>[]>, $: Observable<Document<T> | null>, missing: () => ShoalError): SingleQuery<T> {
	async function exec(): Promise<Document<T> | null>;
	async function exec(throwIfMissing: true): Promise<Document<T>>;
	async function exec(throwIfMissing?: true): Promise<Document<T> | null> {
		const [document] = await all.exec();
		if (!document && throwIfMissing) {
			throw missing();
		}
		return document ?? null;
	}
	return {
		exec,
		$,
		remove: async () => (await exec())?.remove() ?? null,
		patch: async (patch) => (await exec())?.patch(patch) ?? null,
		modify: async (change) => (await exec())?.modify(change) ?? null,
		explain: () => all.explain(),
	};
}

/** @internal */
export function findOneQuery<T>(records: Records<T>, id: string): SingleQuery<T> {
	const all = findQuery<any>(records, { selector: { [records.key]: id } }) as DocumentQuery<T, Document<T>[]>;
	return single({ ...all, exec: () => records.get([id]) }, records.observeOne(id),
		() => new ShoalError('not-found', `document not found: ${JSON.stringify(id)}`, { documentId: id }));
}

/** @internal */
export function findFirstQuery<T>(records: Records<T>, query: MangoQuery<T> = {}): SingleQuery<T> {
	const all = findQuery(records, { ...mustBeQuery(query), limit: 1 });
	const $ = new Observable<Document<T> | null>((next, complete, error) => {
		let before: Document<T> | null | undefined;
		const found = all.$.subscribe(([document]) => {
			if (before !== (document ?? null)) {
				next(before = document ?? null);
			}
		}, error, complete);
		return () => found.unsubscribe();
	});
	return single(all, $, () => new ShoalError('not-found', 'no document found'));
}

/** @internal */
export function findByIdsQuery<T>(records: Records<T>, ids: readonly string[]): Query<Map<string, Document<T>>> {
	return {
		exec: async () => new Map((await records.get(ids)).map((document) => [document.primary, document])),
		$: records.observeSome(ids),
	};
}

/** @internal */
export function countQuery<T>(records: Records<T>, query: MangoQuery<T> | undefined): Query<number> {
	const text = queryText(query);
	return {
		exec: () => records.count(text),
		$: records.observeCount(text),
	};
}
