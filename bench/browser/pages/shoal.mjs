import { createDatabase, getConnectionHandlerSimplePeer, replicateP2P } from '/shoal.js';
import { opened, resetOpened, schema, time, work } from './documents.mjs';

let database;
let collection;
let last = 0;
let pool;

const side = {
	observeAll: (collection) => collection.find().$,
	plain: (document) => document.toJSON(),
	async collection({ name, index } = {}) {
		database ??= await createDatabase({ name: 'bench', storage: 'indexeddb' });
		name ??= `c${++last}`;
		collection = (await database.addCollections({ [name]: { schema: { ...schema, ...(index && { indexes: ['n'] }) } } }))[name];
		return collection;
	},
	current: () => collection,
	async check(collection, n) {
		const got = await collection.count().exec();
		if (got !== n) {
			throw new Error(`there are ${got} documents`);
		}
	},
};

window.bench = {
	...work(side),
	async replicate(url, topic) {
		collection ??= await side.collection({ name: 'shared' });
		resetOpened();
		const called = performance.now();
		pool = await replicateP2P({ collection, topic, connectionHandlerCreator: getConnectionHandlerSimplePeer(url + '/signal'), pull: {}, push: {} });
		pool.error$.subscribe((error) => console.log('pool: ' + error.message));
		window.first = pool.awaitFirstPeer().then(() => performance.now() - called);
	},
	/** From the open channel until n documents are here. */
	async arrived(n) {
		for await (const count of collection.count().$) {
			if (count >= n) {
				return { ms: performance.now() - opened, role: '' };
			}
		}
	},
	count: () => collection.count().exec(),
	/** Calls on each document that is new here. */
	onInsert(call) {
		collection.insert$.subscribe(({ documentId }) => call(documentId));
	},
	insert: (document) => collection.insert(document),
	time,
};
