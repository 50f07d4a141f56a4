import { addRxPlugin, createRxDatabase } from 'rxdb/plugins/core';
import { RxDBLeaderElectionPlugin } from 'rxdb/plugins/leader-election';
import { getConnectionHandlerSimplePeer, replicateWebRTC } from 'rxdb/plugins/replication-webrtc';
import { getRxStorageDexie } from 'rxdb/plugins/storage-dexie';
import { collections, opened, resetOpened, work } from './documents.mjs';

addRxPlugin(RxDBLeaderElectionPlugin);

// simple-peer wants that of Node.js. RxDB's documentation does it with setTimeout, which would wait for 4 ms each time.
globalThis.process = { nextTick: (call, ...args) => queueMicrotask(() => call(...args)) };

// multiInstance is as it is by default.
const side = collections(() => createRxDatabase({ name: 'bench', storage: getRxStorageDexie() }));
let pool;

window.bench = {
	...work(side, (document) => document._data),
	async replicate(url, topic, batchSize) {
		const collection = side.current() ?? (await side.open({ name: 'shared' }));
		// Not RxDB's way: the sum of what its storage tells is the cheapest way to see when all have come.
		let inserted = 0;
		collection.storageInstance.changeStream().subscribe(({ events }) => {
			for (const { operation } of events) {
				inserted += operation === 'INSERT';
			}
			window.inserted?.(inserted);
		});
		window.insertedSoFar = () => inserted;
		await side.database().waitForLeadership();
		resetOpened();
		const called = performance.now();
		const direction = batchSize ? { batchSize } : {};
		pool = await replicateWebRTC({
			collection,
			topic,
			connectionHandlerCreator: getConnectionHandlerSimplePeer({ signalingServerUrl: url + '/', config: { iceServers: [] } }),
			pull: { ...direction },
			push: { ...direction },
		});
		pool.error$.subscribe((error) => console.log('pool: ' + error.message));
		window.first = pool.awaitFirstPeer().then(() => performance.now() - called);
	},
	/** From the open channel until n documents are here. The role is that of this peer: the fork pulls, and has what the master has. */
	async arrived(n) {
		await new Promise((resolve) => {
			window.inserted = (inserted) => inserted >= n && resolve();
			window.inserted(window.insertedSoFar());
		});
		const ms = performance.now() - opened;
		const [state] = pool.peerStates$.getValue().values();
		return { ms, role: state.replicationState ? 'pulls' : 'is pushed to' };
	},
};
