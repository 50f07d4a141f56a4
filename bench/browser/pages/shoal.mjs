import { createDatabase, getConnectionHandlerSimplePeer, replicateP2P } from '/shoal.js';
import { collections, opened, resetOpened, work } from './documents.mjs';

const side = collections(() => createDatabase({ name: 'bench', storage: 'indexeddb' }));
let pool;

window.bench = {
	...work(side, (document) => document.toJSON()),
	async replicate(url, topic) {
		const collection = side.current() ?? (await side.open({ name: 'shared' }));
		resetOpened();
		const called = performance.now();
		pool = await replicateP2P({ collection, topic, connectionHandlerCreator: getConnectionHandlerSimplePeer(url + '/signal'), pull: {}, push: {} });
		pool.error$.subscribe((error) => console.log('pool: ' + error.message));
		window.first = pool.awaitFirstPeer().then(() => performance.now() - called);
	},
	/** From the open channel until n documents are here. */
	async arrived(n) {
		for await (const count of side.current().count().$) {
			if (count >= n) {
				return { ms: performance.now() - opened, role: '' };
			}
		}
	},
};
