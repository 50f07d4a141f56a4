import { CollectionObject, type Collection, type CollectionCreator, type ConflictHandler } from './collection.js';
import { isReserved } from './document.js';
import { Drafts } from './drafts.js';
import { ShoalError } from './errors.js';
import { checkStrategies, migrate, Migrations, type MigrationState, type MigrationStrategies } from './migration.js';
import { Source, type Observable, type Value } from './observable.js';
import { checkOptions, PoolObject, toWire, withDeleted, type ReplicationOptions, type ReplicationPool } from './pool.js';
import { Records } from './records.js';
import { finalFields, keyOf, type CollectionSchema, type DocumentOf } from './schema.js';
import { Leadership } from './tabs.js';
import type { Validator } from './validator.js';
import { loadCore, type Core, type WasmSource } from './core.js';

/** What {@link createDatabase} takes. */
export interface DatabaseOptions {
	/** Names it in this origin: all tabs that open the same name share its documents. */
	name: string;
	/** `indexeddb` keeps the documents on this device; with `memory` they are gone with the page. */
	storage: 'indexeddb' | 'memory';
	/**
	 * `relaxed`: what was written survives a crash of the browser; a power cut may lose the newest writes. `strict`: it survives that
	 * as well, and takes longer. Default: `relaxed`.
	 */
	durability?: 'relaxed' | 'strict';
	/**
	 * Checks what is written here against the schemas: `jsonSchemaValidator` of `shoal/validate`, or one made of another library. What peers
	 * send is not checked again. Default: only primary keys are checked.
	 */
	validator?: Validator;
	/** Where shoal.wasm is. Default: beside this module. Only the first database of a page loads it. */
	wasm?: WasmSource;
}

/** Collections by name. */
export type Collections = { readonly [name: string]: Collection<any> };

/** The collections that `addCollections` makes. */
export type CollectionsOf<C> = {
	[N in keyof C]: C[N] extends { schema: infer S } ? Collection<DocumentOf<S>> : never;
};

/** Collections that belong together, and are replicated over the same connections. */
export interface DatabaseBase<C = Collections> {
	readonly name: string;
	/** The collections that were added. */
	readonly collections: C;
	readonly closed: boolean;
	/**
	 * What went wrong with the storage by itself: records that could not be read are left out, with the code `damaged`, and peers that have the
	 * documents send them again. Subscribe before `addCollections`, which reads. What nobody listens to goes to the console.
	 */
	readonly error$: Observable<ShoalError>;
	/** Opens collections, which are made if need be. */
	addCollections<const N extends { readonly [name: string]: CollectionCreator<CollectionSchema, any> }>(creators: N): Promise<CollectionsOf<N>>;
	/** The migrations by name of the collection: those that ran, and run, while collections were added. */
	readonly migrations$: Value<ReadonlyMap<string, MigrationState>>;
	/** Ends all replications and releases what the database holds. The documents stay. */
	close(): Promise<void>;
	/** Closes the database and deletes its documents, on this device and in all tabs. */
	remove(): Promise<void>;
}

/** A database; its collections are properties of it, too, but for those that are named like something else that it has. */
export type Database<C = Collections> = DatabaseBase<C> & C;

const databases = new WeakMap<object, DatabaseObject>();

/** Opens a database, which is made if need be. */
export async function createDatabase<C = Collections>(options: DatabaseOptions): Promise<Database<C>> {
	if (typeof options !== 'object' || options === null) {
		throw new TypeError('createDatabase takes an object with options');
	}
	const { name, storage, durability = 'relaxed', validator, wasm } = options;
	if (typeof name !== 'string' || name === '') {
		throw new TypeError('name must be a string that is not empty');
	}
	if (storage !== 'indexeddb' && storage !== 'memory') {
		throw new TypeError(`storage must be 'indexeddb' or 'memory', got ${String(storage)}`);
	}
	if (durability !== 'relaxed' && durability !== 'strict') {
		throw new TypeError(`durability must be 'relaxed' or 'strict', got ${String(durability)}`);
	}
	if (validator !== undefined && typeof validator !== 'function') {
		throw new TypeError('validator must be a function that takes a schema');
	}
	const core = await loadCore(wasm);
	const number = await core.call<number>('open', JSON.stringify({ name, storage, durability }));
	const database = new DatabaseObject(core, number, name, storage === 'memory', validator);
	return database as unknown as Database<C>;
}

class DatabaseObject implements DatabaseBase {
	readonly name: string;
	readonly collections: { [name: string]: Collection<any> } = Object.create(null);
	readonly #core: Core;
	readonly #number: number;
	readonly #validator: Validator | undefined;
	readonly #leadership: Leadership | undefined;
	readonly #records = new Set<Records<any>>();
	readonly #migrations = new Migrations();
	readonly #pools = new Set<PoolObject<any>>();
	readonly #errors: Source<ShoalError>;
	#heard = false; // somebody listens to #errors
	#closing: Promise<void> | undefined;

	constructor(core: Core, number: number, name: string, memory: boolean, validator: Validator | undefined) {
		this.#core = core;
		this.#number = number;
		this.#validator = validator;
		this.name = name;
		this.#leadership = memory ? undefined : new Leadership(`shoal/${name}`, core.crashed);
		this.#errors = new Source((heard) => (this.#heard = heard));
		core.receive(number, { event: (_kind, text) => this.#damaged(text) });
	}

	get error$(): Observable<ShoalError> {
		return this.#errors.observable;
	}

	#damaged(message: string): void {
		const error = new ShoalError('damaged', message);
		if (this.#heard) {
			this.#errors.next(error);
		} else {
			console.error(error);
		}
	}

	get migrations$(): Value<ReadonlyMap<string, MigrationState>> {
		return this.#migrations.states;
	}

	get closed(): boolean {
		return this.#closing !== undefined;
	}

	async addCollections<const N extends { readonly [name: string]: CollectionCreator<CollectionSchema, any> }>(creators: N): Promise<CollectionsOf<N>> {
		if (typeof creators !== 'object' || creators === null) {
			throw new TypeError('addCollections takes an object with a schema for each name');
		}
		const entries = Object.entries(creators);
		entries.forEach(([name, creator]) => checkCreator(name, creator));
		const added = await Promise.all(entries.map(async ([name, creator]) => [name, await this.#add(name, creator)] as const));
		return Object.fromEntries(added) as CollectionsOf<N>;
	}

	async #add(name: string, { schema, conflictHandler, migrationStrategies = {} }: CollectionCreator<CollectionSchema, any>): Promise<Collection<any>> {
		const drafts = new Drafts(schema, this.#validator);
		const number = await this.#open(name, schema, drafts, migrationStrategies, typeof conflictHandler === 'string' ? conflictHandler : conflictHandler && 'ask');
		const collection = new CollectionObject<any>(name, schema);
		const records = new Records<any>(this.#core, number, collection, schema, drafts);
		collection.begin(records);
		this.#core.receive(number, {
			event: (_kind, text) => records.feed.event(text),
			request: (kind, text) => resolveConflict(kind, text, conflictHandler as ConflictHandler<any>, records),
		});
		this.#records.add(records);
		databases.set(collection, this);
		this.collections[name] = collection;
		if (!(name in this)) {
			Object.defineProperty(this, name, { value: collection, enumerable: true });
		}
		return collection;
	}

	/** Opens a collection in the core, which may have something to migrate first. */
	async #open(name: string, schema: CollectionSchema, drafts: Drafts, strategies: MigrationStrategies, handler: string | undefined): Promise<number> {
		const migration = this.#core.own({
			event: (_, text) => this.#migrations.running(name, text),
			request: (_, text) => migrate(text, schema, strategies, drafts),
		});
		try {
			const number = await this.#core.call<number>('addCollection', this.#number, JSON.stringify({
				name, schema, final: finalFields(schema), handler, migration,
			}));
			this.#migrations.ended(name);
			return number;
		} catch (error) {
			this.#migrations.ended(name, error as Error);
			throw error;
		} finally {
			this.#core.forget(migration);
		}
	}

	async replicate<T>(options: ReplicationOptions<T>, records: Records<T>): Promise<ReplicationPool<T>> {
		if (this.closed) {
			throw new ShoalError('closed', `database ${this.name} is closed`);
		}
		const pool = new PoolObject(options, records, this.#leadership);
		this.#pools.add(pool);
		pool.error$.subscribe({ complete: () => this.#pools.delete(pool) }); // at its end
		try {
			await pool.begin();
		} catch (error) {
			await pool.cancel();
			throw error;
		}
		return pool;
	}

	close(): Promise<void> {
		this.#closing ??= this.#close('closeDatabase');
		return this.#closing;
	}

	async remove(): Promise<void> {
		if (this.#closing) {
			throw new ShoalError('closed', `database ${this.name} is closed`);
		}
		this.#closing = this.#close('removeDatabase');
		return this.#closing;
	}

	async #close(method: 'closeDatabase' | 'removeDatabase'): Promise<void> {
		await undefined; // closed is true by then
		try {
			await Promise.all([...this.#pools].map((pool) => pool.cancel()));
			await this.#core.call(method, this.#number);
		} finally {
			this.#core.forget(this.#number);
			this.#errors.complete();
			for (const records of this.#records) {
				records.close();
				this.#core.forget(records.number);
			}
			this.#migrations.complete();
		}
	}
}

function checkCreator(name: string, creator: CollectionCreator<CollectionSchema, any>): void {
	if (!/^[a-zA-Z][\w$-]{0,99}$/.test(name)) {
		throw new TypeError(`collection name ${JSON.stringify(name)} must be of letters, digits, _, $ and -, begin with a letter and have at most 100`);
	}
	const { schema, conflictHandler, migrationStrategies } = creator ?? {};
	if (typeof schema !== 'object' || schema === null) {
		throw new TypeError(`${name}.schema must be a schema`);
	}
	if (!Number.isInteger(schema.version) || schema.version < 0) {
		throw new TypeError(`${name}.schema.version must be a whole number, 0 for the first`);
	}
	checkPrimaryKey(name, schema);
	checkStrategies(name, schema, migrationStrategies);
	const reserved = Object.keys(schema.properties).find(isReserved);
	if (reserved !== undefined) {
		throw new TypeError(`${name}.schema.properties: documents have something else under the name ${reserved}`);
	}
	const builtIn = conflictHandler === undefined || conflictHandler === 'last-write-wins' || conflictHandler === 'merge-fields';
	if (!builtIn && (typeof conflictHandler?.isEqual !== 'function' || typeof conflictHandler.resolve !== 'function')) {
		throw new TypeError(`${name}.conflictHandler must be an object with the functions isEqual and resolve, 'last-write-wins' or 'merge-fields'`);
	}
}

function checkPrimaryKey(name: string, schema: CollectionSchema): void {
	const { primaryKey, properties } = schema;
	if (typeof primaryKey !== 'string' && (typeof primaryKey !== 'object' || primaryKey === null || typeof primaryKey.separator !== 'string'
		|| !Array.isArray(primaryKey.fields) || primaryKey.fields.length === 0)) {
		throw new TypeError(`${name}.schema.primaryKey must be the name of a field, or an object with key, fields and separator`);
	}
	const key = keyOf(schema);
	if (typeof key !== 'string' || key === '') {
		throw new TypeError(`${name}.schema.primaryKey must be the name of a field`);
	}
	if (typeof properties !== 'object' || properties === null || !Object.hasOwn(properties, key)) {
		throw new TypeError(`${name}.schema.properties must have the primary key, ${key}`);
	}
	const missing = typeof primaryKey === 'string' ? undefined : primaryKey.fields.find((path) => !Object.hasOwn(properties, String(path).split('.')[0] as string));
	if (missing !== undefined) {
		throw new TypeError(`${name}.schema.properties must have ${missing}, a part of the primary key`);
	}
}

/** Answers what the core asks about a conflict. */
async function resolveConflict(kind: string, text: string, handler: ConflictHandler<any>, records: Records<any>): Promise<string> {
	type Wire = Parameters<typeof withDeleted>[0];
	if (kind === 'equal') {
		const [a, b] = (JSON.parse(text) as [Wire, Wire]).map(withDeleted<any>);
		return String(await handler.isEqual(a, b, 'replication'));
	}
	const { id, assumedMasterState, realMasterState, newDocumentState } = JSON.parse(text) as Record<string, Wire> & { id: string };
	const result = await handler.resolve({
		...(assumedMasterState && { assumedMasterState: withDeleted(assumedMasterState) }),
		realMasterState: withDeleted(realMasterState as Wire),
		newDocumentState: withDeleted(newDocumentState as Wire),
	}, 'replication');
	return toWire(result, records, id, 'conflictHandler.resolve', true);
}

/**
 * Replicates a collection with all others that replicate a collection of that name in the same topic. It resolves at once; peers come when
 * they come.
 */
export async function replicateP2P<T, Peer = any>(options: ReplicationOptions<T, Peer>): Promise<ReplicationPool<T>> {
	const records = checkOptions(options);
	const database = databases.get(options.collection);
	if (!database) {
		throw new TypeError('collection must be a collection of a Shoal database');
	}
	return database.replicate(options, records);
}

/** The name that {@link replicateP2P} has in later versions of RxDB. */
export const replicateWebRTC = replicateP2P;
