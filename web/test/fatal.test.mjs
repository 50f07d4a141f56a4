import assert from 'node:assert/strict';
import { test } from 'node:test';
import { replicateP2P } from '../dist/shoal.js';
import { Network, open, schema } from './support.mjs';

// In a file of its own: nothing works afterwards.
test('when the core crashes, all that waits and all that follows is rejected', async (t) => {
	const { db, todos } = await open({ after: () => {} });
	const pool = await replicateP2P({ collection: todos, topic: 'a topic', connectionHandlerCreator: new Network().creator, pull: {} });
	const waiting = pool.awaitFirstPeer();
	t.mock.method(crypto, 'getRandomValues', () => {
		throw new Error('out of luck');
	});
	const fatal = (error) => error.name === 'ShoalError' && error.code === 'fatal' && /out of luck/.test(error.message);
	const adding = db.addCollections({ more: { schema } }); // it needs random bytes for the replica's id
	await assert.rejects(adding, fatal);
	await assert.rejects(waiting, fatal);
	await assert.rejects(todos.insert({ id: 'a' }), fatal);
	await assert.rejects(todos.find().exec(), fatal);

	const over = new Promise((complete) => db.error$.subscribe({ complete }));
	await assert.rejects(db.close(), fatal);
	await over;
});
