import type { Drafts } from './drafts.js';
import { ShoalError } from './errors.js';
import { ValueSource, type Value } from './observable.js';
import type { CollectionSchema } from './schema.js';

/**
 * Makes of a document of one version of the schema what it is in the next; null gives it up. What it makes must depend on the document
 * alone: each replica migrates its own copy, and all are to come to the same.
 */
export type MigrationStrategy = (document: any) => any | Promise<any>;

/** For each version of the schema but 0, what makes its documents of those of the version before. */
export interface MigrationStrategies {
	readonly [version: number]: MigrationStrategy;
}

/** How far the migration of a collection is. */
export interface MigrationState {
	readonly collectionName: string;
	readonly status: 'RUNNING' | 'DONE' | 'ERROR';
	/** Documents under older versions of the schema. */
	readonly total: number;
	readonly handled: number;
	readonly percent: number;
	/** What went wrong. The migration goes on where it was the next time that the collection is added. */
	readonly error: Error | undefined;
}

/** @internal The migrations of a database. */
export class Migrations {
	readonly #states = new ValueSource<ReadonlyMap<string, MigrationState>>(new Map());

	get states(): Value<ReadonlyMap<string, MigrationState>> {
		return this.#states.observable;
	}

	complete(): void {
		this.#states.complete();
	}

	/** Takes what the core tells of one. */
	running(collectionName: string, text: string): void {
		const { total, handled } = JSON.parse(text) as { total: number; handled: number };
		this.#show({ collectionName, status: 'RUNNING', total, handled, percent: total === 0 ? 100 : Math.floor(100 * handled / total), error: undefined });
	}

	/** Notes how one ended, if there was one. */
	ended(collectionName: string, error?: Error): void {
		const state = this.#states.value.get(collectionName);
		if (state?.status === 'RUNNING') {
			this.#show({ ...state, status: error ? 'ERROR' : 'DONE', error });
		}
	}

	#show(state: MigrationState): void {
		this.#states.next(new Map(this.#states.value).set(state.collectionName, state));
	}
}

/** @internal Answers what becomes of documents of an older version. */
export async function migrate(text: string, schema: CollectionSchema, strategies: MigrationStrategies, drafts: Drafts): Promise<string> {
	const { from, docs } = JSON.parse(text) as { from: number; docs: Record<string, unknown>[] };
	const texts: string[] = [];
	for (const document of docs) {
		const id = document[drafts.key] as string;
		let migrated: unknown = document;
		for (let version = from + 1; version <= schema.version && migrated; version++) {
			const name = `migrationStrategies[${version}]`;
			try {
				migrated = await (strategies[version] as MigrationStrategy)(migrated);
			} catch (cause) {
				const why = cause instanceof Error ? cause.message : String(cause);
				throw new ShoalError('callback', `${name} failed for the document ${JSON.stringify(id)}: ${why}`, { cause, documentId: id });
			}
			if (migrated === undefined) {
				throw new TypeError(`${name} returned undefined for the document ${JSON.stringify(id)}; to give it up return null`);
			}
		}
		texts.push(migrated ? textOf(migrated, id, drafts) : 'null');
	}
	return `[${texts.join()}]`;
}

function textOf(migrated: unknown, id: string, drafts: Drafts): string {
	const draft = drafts.version(migrated, `what migrationStrategies make of the document ${JSON.stringify(id)}`);
	if (draft.id !== id) {
		throw new TypeError(`migrationStrategies must leave the primary key ${JSON.stringify(id)} as it is`);
	}
	return draft.text;
}

/** @internal Checks what an application gave. */
export function checkStrategies(name: string, schema: CollectionSchema, strategies: MigrationStrategies | undefined): void {
	for (let version = 1; version <= schema.version; version++) {
		if (typeof strategies?.[version] !== 'function') {
			throw new TypeError(`${name}.migrationStrategies must have a function for version ${version} of the schema`);
		}
	}
}
