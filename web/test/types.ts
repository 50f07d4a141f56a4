// Checked by tsc, never run: what users' programs must, and must not, compile to.
import { from } from 'rxjs';
import {
	createDatabase, getConnectionHandlerSimplePeer, getConnectionHandlerWebRTC, replicateP2P, replicateWebRTC,
	type ChangeEvent, type Collection, type ConnectionHandler, type ConnectionHandlerCreator, type Document, type DocumentOf, type ErrorCode,
	type PeerState, type ShoalError, type TypedSchema,
} from 'shoal';

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
function expect<T extends true>(): T | void {}

const schema = {
	version: 0,
	primaryKey: 'id',
	type: 'object',
	properties: {
		id: { type: 'string', maxLength: 100 },
		title: { type: 'string' },
		done: { type: 'boolean' },
		rank: { type: ['integer', 'null'] },
		state: { enum: ['new', 'old'] },
		kind: { const: 'todo' },
		tags: { type: 'array', items: { type: 'string' } },
		place: { type: 'object', properties: { x: { type: 'number' }, y: { type: 'number' } }, required: ['x'] },
		any: {},
	},
	required: ['title', 'done'],
	indexes: ['title', ['done', 'title']],
} as const;

interface Todo {
	id: string;
	title: string;
	done: boolean;
	rank?: number | null;
	state?: 'new' | 'old';
	kind?: 'todo';
	tags?: string[];
	place?: { x: number; y?: number };
	any?: any;
}

expect<Equal<DocumentOf<typeof schema>, Todo>>();
expect<Equal<DocumentOf<TypedSchema<{ id: string; n: bigint }>>, { id: string; n: bigint }>>();

async function inferred(): Promise<void> {
	const db = await createDatabase({ name: 'app', storage: 'indexeddb', durability: 'strict' });
	const { todos, notes, loose } = await db.addCollections({
		todos: {
			schema,
			conflictHandler: { isEqual: (a, b) => a.title === b.title, resolve: ({ realMasterState }) => realMasterState },
		},
		notes: { schema: { version: 0, primaryKey: 'key', type: 'object', properties: { key: { type: 'string' }, text: { type: 'string' } }, required: ['text'] } },
		loose: { schema: widened() },
	});
	await db.addCollections({
		later: { schema: { version: 1, primaryKey: 'id', type: 'object', properties: { id: { type: 'string' } } }, conflictHandler: 'merge-fields', migrationStrategies: { 1: async (d) => d } },
		// @ts-expect-error there is no such handler
		other: { schema: { version: 0, primaryKey: 'id', type: 'object', properties: { id: { type: 'string' } } }, conflictHandler: 'mine' },
	});
	const { visits } = await db.addCollections({ visits: { schema: {
		version: 0, type: 'object', primaryKey: { key: 'id', fields: ['user'], separator: '|' }, properties: { id: { type: 'string' }, user: { type: 'string' } }, required: ['user'] } } });
	expect<Equal<typeof visits, Collection<{ id: string; user: string }>>>();
	const percent: number | undefined = db.migrations$.value.get('later')?.percent;
	void percent;
	expect<Equal<typeof todos, Collection<Todo>>>();
	expect<Equal<typeof notes, Collection<{ key: string; text: string }>>>();
	expect<Equal<typeof loose, Collection<any>>>();
	await loose.insert({ whatever: 1 });

	const document = await todos.insert({ id: 't1', title: 'Milk', done: false });
	expect<Equal<typeof document, Document<Todo>>>();
	const title: string = document.title;
	const tags: readonly string[] | undefined = document.tags;
	// @ts-expect-error documents do not change
	document.title = 'Bread';
	// @ts-expect-error nor does what is in them
	document.place!.x = 1;
	// @ts-expect-error title is missing
	await todos.insert({ id: 't2', done: false });
	// @ts-expect-error done is no string
	await todos.insert({ id: 't2', title: '', done: 'no' });
	// @ts-expect-error there is no such field
	await document.patch({ colour: 'red' });
	await document.patch({ done: true });
	const modified: Document<Todo> = await document.modify((todo) => ({ ...todo, title: todo.title + '!' }));
	document.toMutableJSON().title = 'mine';
	const removed: boolean = (await modified.remove()).deleted;

	const one: Document<Todo> | null = await todos.findOne('t1').exec();
	const sure: Document<Todo> = await todos.findOne('t1').exec(true);
	const all: Document<Todo>[] = await todos.find().exec();
	const some: Map<string, Document<Todo>> = await todos.findByIds(['t1']).exec();
	const count: number = await todos.count().exec();
	const { success, error } = await todos.bulkInsert([{ id: 't3', title: '', done: true }]);
	expect<Equal<typeof success, Document<Todo>[]>>();
	const status: 404 | 409 | 422 | 510 | undefined = error[0]?.status;

	todos.$.subscribe((event) => expect<Equal<typeof event, ChangeEvent<Todo>>>());
	for await (const documents of todos.find().$) {
		expect<Equal<typeof documents, Document<Todo>[]>>();
	}
	from(todos.findOne('t1').$).subscribe((found) => expect<Equal<typeof found, Document<Todo> | null>>());
	void [title, tags, removed, one, sure, all, some, count, status, db.collections.todos, db.todos];
}

async function queried(todos: Collection<Todo>): Promise<void> {
	todos.find({ selector: { done: false, rank: { $gt: 1, $lte: 5 }, title: { $regex: '^M', $options: 'i' }, tags: 'x' }, sort: [{ title: 'desc' }, { 'place.x': 'asc' }], limit: 5, skip: 1, index: ['done', 'title'] });
	todos.find({ selector: { $or: [{ title: 'a' }, { 'place.x': { $lt: 5 } }], tags: { $in: ['a'], $size: 1 }, rank: null, place: { $exists: true } } });
	// @ts-expect-error done is no string
	todos.find({ selector: { done: 'no' } });
	// @ts-expect-error there is no such field
	todos.find({ selector: { colour: 'red' } });
	// @ts-expect-error there is no such operator
	todos.find({ selector: { rank: { $near: 1 } } });
	// @ts-expect-error there is no such direction
	todos.find({ sort: [{ title: 'up' }] });
	const removed: Document<Todo>[] = await todos.find({ selector: { done: true } }).remove();
	const index: readonly string[] = (await todos.find().explain()).index;
	const count: number = await todos.count({ selector: { done: true } }).exec();
	void [removed, index, count];
}

async function replicated(todos: Collection<Todo>): Promise<void> {
	const pool = await replicateP2P({
		collection: todos,
		topic: 'my-users-pool',
		connectionHandlerCreator: getConnectionHandlerSimplePeer('wss://example.com:8080'),
		pull: {},
		push: { batchSize: 50, modifier: (todo) => todo._deleted || todo.done ? todo : null },
		isPeerValid: async ({ replicaId }) => replicaId !== '',
		retryTime: 1000,
	});
	expect<Equal<typeof pool.collection, Collection<Todo>>>();
	pool.error$.subscribe((error: ShoalError) => {
		const code: ErrorCode = error.code;
		// @ts-expect-error there is no such code
		if (code === 'nonsense') return;
	});
	pool.peerStates$.subscribe((peers: ReadonlyMap<string, PeerState>) => peers.size);
	const peers: number = pool.peerStates$.value.size + pool.peerStates$.getValue().size;
	pool.conflict$.subscribe(({ result }) => result._deleted || result.title);
	await pool.awaitReplicated((await todos.find().exec())[0]!, { peers });
	// @ts-expect-error the topic is missing
	await replicateWebRTC({ collection: todos, connectionHandlerCreator: getConnectionHandlerWebRTC('wss://example.com') });
	getConnectionHandlerWebRTC({
		signalingServerUrl: 'wss://example.com', fallbackServerUrls: ['wss://b.example.com'], wrtc: {}, webSocketConstructor: class {},
		config: { iceServers: [{ urls: 'stun:stun.example.com' }], iceTransportPolicy: 'relay' },
	});
}

async function custom(todos: Collection<Todo>, handler: ConnectionHandler<{ name: string }>): Promise<void> {
	const creator: ConnectionHandlerCreator<{ name: string }> = async ({ topic }) => (topic ? handler : handler);
	await replicateP2P({ collection: todos, topic: 'my-users-pool', connectionHandlerCreator: creator, pull: {} });
}

function widened(): { version: number; primaryKey: string; type: 'object'; properties: {} } {
	return { version: 0, primaryKey: 'id', type: 'object', properties: {} };
}

interface MyCollections {
	todos: Collection<Todo>;
	[name: string]: Collection<any>;
}

async function named(): Promise<void> {
	const db = await createDatabase<MyCollections>({ name: 'app', storage: 'memory' });
	expect<Equal<typeof db.todos, Collection<Todo>>>();
	// @ts-expect-error the storage must be known
	await createDatabase({ name: 'app', storage: 'cloud' });
}

void [queried, inferred, replicated, custom, named];
