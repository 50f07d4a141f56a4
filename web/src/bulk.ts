import { contentOf, type Document } from './document.js';
import { ShoalError, type ErrorCode } from './errors.js';
import type { Records } from './records.js';
import { nextTask } from './task.js';
import type { ValidationProblem } from './validator.js';
import type { Version, WriteTarget } from './writes.js';

/** A document of a bulk write that was not written. */
export interface BulkError<T> {
	readonly isError: true;
	/** As RxDB has them: 409 where the document exists already, 404 where it does not, 422 where it cannot be stored, 510 otherwise. */
	readonly status: 404 | 409 | 422 | 510;
	readonly code: ErrorCode;
	readonly documentId: string;
	readonly writeRow: { readonly document: T };
	/** What does not follow the schema. */
	readonly validationErrors?: readonly ValidationProblem[];
	readonly error: Error;
}

/** What became of a bulk write. */
export interface BulkResult<T> {
	/** The documents that were written, in their order. */
	readonly success: Document<T>[];
	readonly error: BulkError<T>[];
}

/** As many characters are made to text before the page gets its turn. */
const turnChars = 96 << 10;

/** @internal Queues items in parts, so that the page stays responsive, and resolves when each was told what became of it. */
export async function inBulk<T, E>(items: readonly E[], begin: (items: readonly E[]) => Bulk<T>): Promise<BulkResult<T>> {
	const bulk = begin(items);
	const settled = bulk.expect(items.length);
	for (let i = 0, chars = 0; i < items.length; i++) {
		if (chars >= turnChars) {
			chars = 0;
			await nextTask();
		}
		chars += bulk.queue(i) + 64;
	}
	await settled;
	return bulk;
}

/** @internal A bulk write under way, and its result afterwards. The objects for documents are made when somebody asks for them. */
export abstract class Bulk<T> implements WriteTarget, BulkResult<T> {
	protected readonly records: Records<T>;
	readonly #versions: Version[] = [];
	readonly #superseded = new Set<number>();
	readonly #errors = new Map<number, Error>();
	#open = 0;
	#settled = () => {};
	#success: Document<T>[] | undefined;
	#error: BulkError<T>[] | undefined;

	constructor(records: Records<T>) {
		this.records = records;
	}

	/** Queues the item and returns how many characters that took. */
	abstract queue(index: number): number;
	/** Keeps the text that was written. */
	protected keep(_index: number, _rows: string, _from: number, _to: number): void {}
	protected abstract document(index: number, version: Version, superseded: boolean): Document<T>;
	protected abstract item(index: number): { id: string; document: T };

	/** Returns a promise that is fulfilled when so many outcomes are in. */
	expect(outcomes: number): Promise<void> {
		this.#open = outcomes;
		return outcomes === 0 ? Promise.resolve() : new Promise((resolve) => (this.#settled = resolve));
	}

	written(index: number, version: Version, superseded: boolean, _body?: unknown, rows = '', from = 0, to = 0): void {
		this.keep(index, rows, from, to);
		this.#versions[index] = version;
		if (superseded) {
			this.#superseded.add(index);
		}
		this.#settle();
	}

	failed(index: number, error: Error): void {
		this.#errors.set(index, error);
		this.#settle();
	}

	#settle(): void {
		if (--this.#open === 0) {
			this.#settled();
		}
	}

	get success(): Document<T>[] {
		this.#success ??= this.#versions.flatMap((version, i) => this.document(i, version, this.#superseded.has(i)));
		return this.#success;
	}

	get error(): BulkError<T>[] {
		this.#error ??= [...this.#errors].sort(([i], [j]) => i - j).map(([i, error]) => bulkError(this.item(i), error));
		return this.#error;
	}

	toJSON(): BulkResult<T> {
		const { success, error } = this;
		return { success, error };
	}
}

/** @internal */
export class BulkWrite<T> extends Bulk<T> {
	readonly #kind: 'i' | 'u';
	readonly #documents: readonly T[];
	readonly #ids: string[] = [];
	readonly #rows: string[] = []; // by index: a text that has that of the document, and where
	readonly #from: number[] = [];
	readonly #to: number[] = [];

	constructor(records: Records<T>, kind: 'i' | 'u', documents: readonly T[]) {
		super(records);
		this.#kind = kind;
		this.#documents = documents;
	}

	queue(index: number): number {
		try {
			const draft = this.records.drafts.fresh(this.#documents[index], `documents[${index}]`);
			this.#ids[index] = draft.id;
			this.records.push(this.#kind, draft, this, index);
			return draft.text.length;
		} catch (error) {
			this.failed(index, error as Error);
			return 0;
		}
	}

	protected override keep(index: number, rows: string, from: number, to: number): void {
		this.#rows[index] = rows;
		this.#from[index] = from;
		this.#to[index] = to;
	}

	protected document(index: number, version: Version, superseded: boolean): Document<T> {
		const text = (this.#rows[index] as string).slice(this.#from[index], this.#to[index]);
		return this.records.wrote(this.#ids[index] as string, text, version, superseded);
	}

	protected item(index: number): { id: string; document: T } {
		return { id: this.#ids[index] ?? '', document: this.#documents[index] as T };
	}
}

/** @internal Of a document that is not there, the primary key is given. */
export class BulkRemoval<T> extends Bulk<T> {
	readonly #documents: readonly (string | Document<T>)[];

	constructor(records: Records<T>, documents: readonly (string | Document<T>)[]) {
		super(records);
		this.#documents = documents;
	}

	queue(index: number): number {
		const document = this.#documents[index] as string | Document<T>;
		if (typeof document === 'string') {
			this.failed(index, new ShoalError('not-found', `document not found: ${JSON.stringify(document)}`, { documentId: document }));
		} else {
			this.records.pushRemoval(document.primary, this, index);
		}
		return 0;
	}

	protected document(index: number, version: Version): Document<T> {
		return this.records.removed(this.#documents[index] as Document<T>, version);
	}

	protected item(index: number): { id: string; document: T } {
		const document = this.#documents[index] as string | Document<T>;
		if (typeof document === 'string') {
			return { id: document, document: { [this.records.key]: document } as T };
		}
		return { id: document.primary, document: contentOf(document) as T };
	}
}

function bulkError<T>({ id, document }: { id: string; document: T }, error: Error): BulkError<T> {
	const code = error instanceof ShoalError ? error.code : 'invalid';
	const status = code === 'exists' ? 409 : code === 'not-found' ? 404 : code === 'invalid' ? 422 : 510;
	const { problems } = error as ShoalError;
	return { isError: true, status, code, documentId: id || ((error as ShoalError).documentId ?? ''), writeRow: { document }, ...(problems && { validationErrors: problems }), error };
}
