import assert from 'node:assert/strict';
import { test } from 'node:test';
import { getConnectionHandlerWebRTC, replicateP2P, replicateWebRTC, getConnectionHandlerSimplePeer } from '../dist/shoal.js';
import { first, Network, open, replicate, schema } from './support.mjs';

const titles = async (todos) => (await todos.find().exec()).map(({ id, title }) => `${id} ${title}`).join(', ');

const inSync = async (...pools) => {
	await Promise.all(pools.map((pool) => pool.awaitInSync()));
};

test('two databases over a custom connection handler', async (t) => {
	const network = new Network();
	const { todos: a } = await open(t);
	const { todos: b } = await open(t);
	await a.insert({ id: '1', title: 'from a' });
	await b.insert({ id: '2', title: 'from b' });
	const poolA = await replicate(t, network, a);
	const poolB = await replicate(t, network, b);
	assert.equal(poolA.isLeader, true);
	await poolA.awaitFirstPeer();
	await inSync(poolA, poolB);
	assert.equal(await titles(a), '1 from a, 2 from b');
	assert.equal(await titles(b), '1 from a, 2 from b');

	const changed = await (await a.findOne('2').exec()).patch({ title: 'changed' });
	await poolA.awaitReplicated(changed);
	assert.equal(await titles(b), '1 from a, 2 changed');
	await (await b.findOne('1').exec()).remove();
	assert.equal(await first(a.findOne('1').$, (document) => document === null), null);

	const [peer] = (await first(poolA.peerStates$, (states) => states.size > 0)).values();
	assert.equal(peer.state, 'open');
	assert.equal(peer.replicaId, (await b.info()).replicaId);
	assert.equal((await first(poolA.progress$, (progress) => progress.inSync)).pulling, false);
	assert.equal(poolA.signaling$.value.state, 'none');
	assert.equal((await poolA.stats(peer.id)).relayed, false);
	assert.equal(await poolA.stats('nobody'), undefined);

	const over = first(poolA.error$).catch((error) => error.message);
	await poolA.cancel();
	await poolA.cancel();
	assert.equal(poolA.canceled, true);
	assert.equal(await over, 'the observable completed');
	await assert.rejects(poolA.awaitInSync(), { code: 'closed' });
	await first(poolB.peerStates$, (states) => states.size === 0);
});

test('a first sync of many documents shows its progress', async (t) => {
	const network = new Network();
	const { todos: a } = await open(t);
	const { todos: b } = await open(t);
	await a.bulkInsert(Array.from({ length: 20_000 }, (_, i) => ({ id: String(i).padStart(6, '0'), title: 'x'.repeat(160) })));
	await replicate(t, network, a);
	const pool = await replicate(t, network, b);
	const seen = [];
	pool.progress$.subscribe(({ received, remaining }) => seen.push([received, remaining]));
	await pool.awaitInSync();
	assert.equal(await b.count().exec(), 20_000);
	await first(pool.progress$, ({ received }) => received === 20_000);
	assert.ok(seen.some(([received, remaining]) => received > 0 && remaining > 0), JSON.stringify(seen));
});

test('a conflict is resolved by the handler, everywhere alike, and told', async (t) => {
	const network = new Network();
	const contexts = [];
	const conflictHandler = {
		isEqual: (a, b, context) => {
			contexts.push(context);
			return a.title === b.title && a._deleted === b._deleted;
		},
		resolve: async ({ realMasterState, newDocumentState }) => ({
			...realMasterState, title: [realMasterState.title, newDocumentState.title].sort().join('+'), _deleted: false,
		}),
	};
	const { todos: a } = await open(t, { todos: { schema, conflictHandler } });
	const { todos: b } = await open(t, { todos: { schema, conflictHandler } });
	await a.insert({ id: '1', title: 'a' });
	await b.insert({ id: '1', title: 'b' });
	const poolA = await replicate(t, network, a);
	const conflicts = [];
	poolA.conflict$.subscribe((conflict) => conflicts.push(conflict));
	const poolB = await replicate(t, network, b);
	poolB.conflict$.subscribe((conflict) => conflicts.push(conflict));
	await inSync(poolA, poolB);
	assert.equal(await titles(a), '1 a+b');
	assert.equal(await titles(b), '1 a+b');
	assert.ok(contexts.length > 0);
	assert.ok(conflicts.length > 0);
	for (const { documentId, peer, result, local, remote } of conflicts) {
		assert.deepEqual([documentId, typeof peer, result.title, result._deleted, local._deleted, remote._deleted], ['1', 'string', 'a+b', false, false, false]);
		assert.notEqual(local.title, remote.title);
	}
});

test('a class whose static methods are a conflict handler is one', async (t) => {
	class Joined {
		static isEqual(a, b) {
			return a.title === b.title;
		}

		static resolve({ realMasterState, newDocumentState }) {
			return { ...realMasterState, title: [realMasterState.title, newDocumentState.title].sort().join('+') };
		}
	}
	const network = new Network();
	const { todos: a } = await open(t, { todos: { schema, conflictHandler: Joined } });
	const { todos: b } = await open(t, { todos: { schema, conflictHandler: Joined } });
	await a.insert({ id: '1', title: 'a' });
	await b.insert({ id: '1', title: 'b' });
	await inSync(await replicate(t, network, a), await replicate(t, network, b));
	assert.deepEqual([await titles(a), await titles(b)], ['1 a+b', '1 a+b']);
});

test('the handler is given the common version, and an edit beside a removal', async (t) => {
	const network = new Network();
	const asked = [];
	const conflictHandler = {
		isEqual: (a, b) => a.title === b.title && a._deleted === b._deleted,
		resolve: (conflict) => {
			asked.push(conflict);
			return conflict.realMasterState._deleted ? conflict.newDocumentState : conflict.realMasterState; // edits beat removals
		},
	};
	const { todos: a } = await open(t, { todos: { schema, conflictHandler } });
	const { todos: b } = await open(t, { todos: { schema, conflictHandler } });
	await a.insert({ id: '1', title: 'common' });
	const poolA = await replicate(t, network, a);
	const poolB = await replicate(t, network, b);
	await inSync(poolA, poolB);
	let release;
	network.gate = new Promise((resolve) => (release = resolve));
	await (await a.findOne('1').exec()).patch({ title: 'edited' });
	await (await b.findOne('1').exec()).remove();
	network.gate = undefined;
	release();
	await first(b.findOne('1').$, (document) => document?.title === 'edited');
	await inSync(poolA, poolB);
	assert.deepEqual([await titles(a), await titles(b)], ['1 edited', '1 edited']);
	assert.ok(asked.length > 0);
	for (const { assumedMasterState, realMasterState, newDocumentState } of asked) {
		assert.equal(assumedMasterState?.title, 'common');
		assert.equal(realMasterState._deleted !== newDocumentState._deleted, true);
	}
});

test('the last write wins unless something else is said, and what was lost is told', async (t) => {
	const network = new Network();
	const { todos: a } = await open(t);
	const { todos: b } = await open(t);
	await a.insert({ id: '1', title: 'early' });
	await new Promise((resolve) => setTimeout(resolve, 5));
	await b.insert({ id: '1', title: 'late' });
	const pools = [await replicate(t, network, a)];
	const conflicts = [];
	pools[0].conflict$.subscribe(({ local, remote, result }) => conflicts.push([local.title, remote.title, result.title]));
	pools.push(await replicate(t, network, b));
	pools[1].conflict$.subscribe(({ local, remote, result }) => conflicts.push([local.title, remote.title, result.title]));
	await inSync(...pools);
	assert.deepEqual([await titles(a), await titles(b)], ['1 late', '1 late']);
	assert.ok(conflicts.length > 0);
	for (const [local, remote, result] of conflicts) {
		assert.deepEqual([[local, remote].sort(), result], [['early', 'late'], 'late']);
	}
});

test('fields are merged where the collection says so', async (t) => {
	const network = new Network();
	const creators = { todos: { schema, conflictHandler: 'merge-fields' } };
	const { todos: a } = await open(t, creators);
	const { todos: b } = await open(t, creators);
	await a.insert({ id: '1', title: 'common', done: false });
	const pools = [await replicate(t, network, a), await replicate(t, network, b)];
	await inSync(...pools);
	let release;
	network.gate = new Promise((resolve) => (release = resolve));
	await (await a.findOne('1').exec()).patch({ title: 'edited' });
	await (await b.findOne('1').exec()).patch({ done: true });
	network.gate = undefined;
	release();
	for (const todos of [a, b]) {
		await first(todos.findOne('1').$, ({ title, done }) => title === 'edited' && done === true);
	}
});

test('the event of a removal has what was removed, whatever version the application still holds', async (t) => {
	const network = new Network();
	const { todos: a } = await open(t);
	const { todos: b } = await open(t);
	const old = await a.insert({ id: '1', title: 'old' });
	const poolA = await replicate(t, network, a);
	const poolB = await replicate(t, network, b);
	await inSync(poolA, poolB);
	const patched = await (await b.findOne('1').exec(true)).patch({ title: 'new' });
	await poolB.awaitReplicated(patched);
	const event = first(a.remove$);
	await old.remove();
	const { documentData, previousDocumentData } = await event;
	assert.equal(old.title, 'old');
	assert.deepEqual([documentData.title, previousDocumentData.title], ['new', 'new']);
});

test('awaitReplicated waits for as many peers, and each peer\'s backlog shows', async (t) => {
	const network = new Network();
	const { todos: a } = await open(t);
	const pool = await replicate(t, network, a);
	const others = [];
	const join = async () => {
		const { todos } = await open(t);
		others.push(todos);
		await replicate(t, network, todos);
	};
	await join();
	await join();
	const document = await a.insert({ id: '1', title: 'a' });
	await pool.awaitReplicated(document, { peers: 2 });
	assert.deepEqual(await Promise.all(others.map((todos) => todos.count().exec())), [1, 1]);
	let third = false;
	const three = pool.awaitReplicated(document, { peers: 3 }).then(() => (third = true));
	await pool.awaitReplicated(document);
	await pool.awaitInSync();
	assert.equal(third, false);
	await join();
	await three;
	assert.equal(await others[2].count().exec(), 1);

	await pool.awaitInSync();
	let release;
	network.gate = new Promise((resolve) => (release = resolve));
	await a.bulkInsert(['2', '3', '4'].map((id) => ({ id, title: id })));
	const states = await first(pool.peerStates$, (peers) => peers.size === 3 && [...peers.values()].every(({ progress }) => progress.backlog === 3));
	assert.ok([...states.values()].every(({ progress, replicaId }) => !progress.inSync && /^[0-9a-f]{32}$/.test(replicaId)));
	assert.equal(pool.progress.backlog, 3);
	network.gate = undefined;
	release();
	await first(pool.peerStates$, (peers) => [...peers.values()].every(({ progress }) => progress.backlog === 0));
	await assert.rejects(pool.awaitReplicated(document, { peers: -1 }), TypeError);
	await assert.rejects(pool.awaitReplicated({}), TypeError);
	const { todos: elsewhere } = await open(t);
	await assert.rejects(pool.awaitReplicated(await elsewhere.insert({ id: '1' })), TypeError);
});

test('a conflict handler that fails is an error on the pool', async (t) => {
	const network = new Network();
	const mine = new Error('mine');
	const { todos: a } = await open(t, { todos: { schema, conflictHandler: { isEqual: () => { throw mine; }, resolve: () => {} } } });
	const { todos: b } = await open(t);
	await a.insert({ id: '1', title: 'a' });
	await b.insert({ id: '1', title: 'b' });
	const pool = await replicate(t, network, a);
	const failed = first(pool.error$, ({ code }) => code === 'callback');
	await replicate(t, network, b);
	const error = await failed;
	assert.match(error.message, /mine/);
	assert.equal(typeof error.peer, 'string');
});

test('modifiers change and hold back', async (t) => {
	const network = new Network();
	const { todos: a } = await open(t);
	const { todos: b } = await open(t);
	await a.bulkInsert([{ id: '1', title: 'public' }, { id: '2', title: 'secret' }, { id: '3', title: 'loud' }]);
	const seen = [];
	await replicate(t, network, a, {
		push: { modifier: (todo) => {
			seen.push(todo._deleted);
			return todo.title === 'secret' ? null : todo;
		} },
	});
	const pool = await replicate(t, network, b, { pull: { batchSize: 1, modifier: async (todo) => ({ ...todo, title: todo.title.toUpperCase() }) } });
	await first(b.count().$, (n) => n === 2);
	assert.equal(await titles(b), '1 PUBLIC, 3 LOUD');
	assert.ok(seen.every((deleted) => deleted === false));
	await pool.cancel();
});

test('a modifier that changes the primary key is an error', async (t) => {
	const network = new Network();
	const { todos: a } = await open(t);
	const { todos: b } = await open(t);
	await a.insert({ id: '1' });
	await replicate(t, network, a);
	const pool = await replicate(t, network, b, { pull: { modifier: (todo) => ({ ...todo, id: '2' }) } });
	const error = await first(pool.error$);
	assert.match(error.message, /primary key/);
	assert.equal(await b.count().exec(), 0);
});

test('one direction only', async (t) => {
	const network = new Network();
	const { todos: a } = await open(t);
	const { todos: b } = await open(t);
	await a.insert({ id: '1', title: 'a' });
	await b.insert({ id: '2', title: 'b' });
	await replicate(t, network, a, { pull: undefined });
	await replicate(t, network, b);
	await first(b.count().$, (n) => n === 2);
	const more = await a.insert({ id: '3', title: 'a' });
	await first(b.findOne(more.id).$, (document) => document !== null);
	assert.equal(await titles(a), '1 a, 3 a');
});

test('isPeerValid keeps a peer out', async (t) => {
	const network = new Network();
	const { todos: a } = await open(t);
	const { todos: b } = await open(t);
	await a.insert({ id: '1', title: 'a' });
	const asked = [];
	await replicate(t, network, a, { isPeerValid: async (peer) => {
		asked.push(peer);
		return false;
	} });
	const pool = await replicate(t, network, b);
	assert.equal((await first(pool.error$)).code, 'refused');
	assert.match(asked[0].replicaId, /^[0-9a-f]{32}$/);
	assert.equal(await b.count().exec(), 0);
});

test('a damaged message ends the session and not the pool', async (t) => {
	const network = new Network();
	const { todos: a } = await open(t);
	const { todos: b } = await open(t);
	await a.insert({ id: '1', title: 'a' });
	const poolA = await replicate(t, network, a);
	const poolB = await replicate(t, network, b);
	await inSync(poolA, poolB);
	network.filter = (message) => message.fill(255, 1);
	await a.insert({ id: '2', title: 'b' });
	await first(poolB.peerStates$, (states) => states.size === 0);
	network.filter = (message) => message;
	const { todos: c } = await open(t);
	const poolC = await replicate(t, network, c);
	await poolC.awaitInSync();
	await first(b.count().$, (n) => n === 2);
});

test('bad options are TypeErrors', async (t) => {
	const { todos } = await open(t);
	const connectionHandlerCreator = new Network().creator;
	const good = { collection: todos, topic: 'a topic', connectionHandlerCreator };
	for (const [options, word] of [
		[undefined, 'options'],
		[{ ...good, collection: {} }, 'collection'],
		[{ ...good, topic: 'short' }, 'topic'],
		[{ ...good, connectionHandlerCreator: 'ws://localhost' }, 'connectionHandlerCreator'],
		[{ ...good, connectionHandlerCreator: () => ({}) }, 'connect$'],
		[{ ...good, pull: true }, 'pull'],
		[{ ...good, push: { batchSize: 0 } }, 'push.batchSize'],
		[{ ...good, push: { modifier: {} } }, 'push.modifier'],
		[{ ...good, isPeerValid: true }, 'isPeerValid'],
		[{ ...good, retryTime: -1 }, 'retryTime'],
	]) {
		await assert.rejects(replicateP2P(options), (error) => error instanceof TypeError && error.message.includes(word), word);
	}
	for (const url of [undefined, '', 'example.com', 'https://example.com']) {
		assert.throws(() => getConnectionHandlerWebRTC(url), TypeError);
		assert.throws(() => getConnectionHandlerWebRTC({ signalingServerUrl: url }), TypeError);
		assert.throws(() => getConnectionHandlerWebRTC({ signalingServerUrl: 'ws://localhost', fallbackServerUrls: [url] }), /fallbackServerUrls\[0\]/);
	}
	assert.throws(() => getConnectionHandlerWebRTC({ signalingServerUrl: 'ws://localhost', fallbackServerUrls: 'ws://localhost' }), TypeError);
	assert.throws(() => getConnectionHandlerWebRTC({ signalingServerUrl: 'ws://localhost', config: { iceServers: {} } }), TypeError);
	assert.equal(getConnectionHandlerSimplePeer, getConnectionHandlerWebRTC);
	assert.equal(replicateWebRTC, replicateP2P);
	await replicate(t, new Network(), todos);
	const { db } = await open(t);
	const { others } = await db.addCollections({ others: { schema } });
	await db.close();
	await assert.rejects(replicateP2P({ ...good, collection: others }), { code: 'closed' });
});
