import type { Document } from './document.js';
import { ShoalError } from './errors.js';
import { Observable } from './observable.js';
import type { Records } from './records.js';

/** What a query asks for, as in RxDB. Only an empty one is supported by this version. */
export interface MangoQuery<T> {
	selector?: { [K in keyof T]?: unknown } & { [operator: string]: unknown };
	sort?: { [field: string]: 'asc' | 'desc' }[];
	limit?: number;
	skip?: number;
	index?: string | string[];
}

/** A question to a collection. It can be asked any number of times. */
export interface Query<R> {
	/** Answers once. */
	exec(): Promise<R>;
	/** The answer, and each later one that is another. Documents that did not change are the same objects. */
	readonly $: Observable<R>;
}

/** A {@link Query} for documents, which can be changed together. */
export interface DocumentQuery<T, R> extends Query<R> {
	/** Removes the documents and returns them. */
	remove(): Promise<R>;
	/** Patches the documents and returns them. */
	patch(patch: Partial<T>): Promise<R>;
}

/** A {@link Query} for one document. */
export interface SingleQuery<T> extends DocumentQuery<T, Document<T> | null> {
	exec(): Promise<Document<T> | null>;
	/** With true, rejects with `not-found` where there is none. */
	exec(throwIfMissing: true): Promise<Document<T>>;
}

/** @internal */
export function findQuery<T>(records: Records<T>, query: MangoQuery<T> | undefined): DocumentQuery<T, Document<T>[]> {
	const problem = unsupported(query);
	const exec = async () => problem ? Promise.reject(problem) : records.all();
	return {
		exec,
		$: problem ? failing(problem) : records.observeAll(),
		remove: async () => Promise.all((await exec()).map((document) => document.remove())),
		patch: async (patch) => Promise.all((await exec()).map((document) => document.patch(patch))),
	};
}

/** @internal */
export function findOneQuery<T>(records: Records<T>, id: string): SingleQuery<T> {
	async function exec(): Promise<Document<T> | null>;
	async function exec(throwIfMissing: true): Promise<Document<T>>;
	async function exec(throwIfMissing?: true): Promise<Document<T> | null> {
		const [document] = await records.get([id]);
		if (!document && throwIfMissing) {
			throw new ShoalError('not-found', `document not found: ${JSON.stringify(id)}`, { documentId: id });
		}
		return document ?? null;
	}
	return {
		exec,
		$: records.observeOne(id),
		remove: async () => (await exec())?.remove() ?? null,
		patch: async (patch) => (await exec())?.patch(patch) ?? null,
	};
}

/** @internal */
export function findFirstQuery<T>(records: Records<T>, query: MangoQuery<T> | undefined): SingleQuery<T> {
	const all = findQuery(records, query);
	async function exec(): Promise<Document<T> | null>;
	async function exec(throwIfMissing: true): Promise<Document<T>>;
	async function exec(throwIfMissing?: true): Promise<Document<T> | null> {
		const [document] = await all.exec();
		if (!document && throwIfMissing) {
			throw new ShoalError('not-found', 'no document found');
		}
		return document ?? null;
	}
	return {
		exec,
		$: new Observable((next, complete, error) => {
			let before: Document<T> | null | undefined;
			const found = all.$.subscribe(([document]) => {
				if (before !== (document ?? null)) {
					next(before = document ?? null);
				}
			}, error, complete);
			return () => found.unsubscribe();
		}),
		remove: async () => (await exec())?.remove() ?? null,
		patch: async (patch) => (await exec())?.patch(patch) ?? null,
	};
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
	const problem = unsupported(query);
	return {
		exec: async () => problem ? Promise.reject(problem) : records.count(),
		$: problem ? failing(problem) : records.observeCount(),
	};
}

/** Returns why a query cannot be answered. */
function unsupported<T>(query: MangoQuery<T> | undefined): Error | undefined {
	if (query === undefined) {
		return undefined;
	}
	if (typeof query !== 'object' || query === null) {
		return new TypeError('query must be an object');
	}
	const { selector = {}, ...rest } = query;
	const names = [...(Object.keys(selector).length > 0 ? ['selector'] : []), ...Object.keys(rest)];
	return names.length > 0 ? new ShoalError('unsupported', `queries with ${names.join(', ')} are not supported yet`) : undefined;
}

function failing(problem: Error): Observable<never> {
	return new Observable((_next, _complete, error) => {
		queueMicrotask(() => error(problem));
		return () => {};
	});
}
