import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase, ShoalError } from '../dist/shoal.js';
import { first, open, schema } from './support.mjs';

const titles = async (todos) => (await todos.find().exec()).map(({ id, title }) => `${id} ${title}`).join(', ');

const code = (expected) => (error) => error instanceof ShoalError && error.name === 'ShoalError' && error.code === expected;

test('insert, read, patch, modify, remove', async (t) => {
	const { db, todos } = await open(t);
	assert.equal(db.collections.todos, todos);
	assert.equal(db.todos, todos);
	const milk = await todos.insert({ id: 't1', title: 'Milk', done: false });
	assert.deepEqual([milk.primary, milk.title, milk.done, milk.deleted, milk.collection], ['t1', 'Milk', false, false, todos]);
	assert.deepEqual(milk.toJSON(), { id: 't1', title: 'Milk', done: false });
	await assert.rejects(todos.insert({ id: 't1', title: 'again' }), (error) => code('exists')(error) && error.documentId === 't1');

	const done = await milk.patch({ done: true, place: { town: 'Bern' } });
	assert.equal(done.get('place.town'), 'Bern');
	assert.equal(done.get('place.street'), undefined);
	assert.equal(done.get('constructor'), undefined);
	assert.equal(milk.done, false, 'documents do not change');

	const bread = await milk.modify(async (todo) => {
		todo.title = 'Bread';
		return todo;
	});
	assert.deepEqual(bread.toJSON(), { id: 't1', title: 'Bread', done: true, place: { town: 'Bern' } });
	assert.equal((await milk.getLatest()).title, 'Bread');

	const gone = await bread.remove();
	assert.equal(gone.deleted, true);
	assert.equal(gone.title, 'Bread');
	assert.equal(await todos.findOne('t1').exec(), null);
	await assert.rejects(todos.findOne('t1').exec(true), code('not-found'));
	await assert.rejects(bread.patch({ done: false }), code('not-found'));
	await assert.rejects(bread.remove(), code('not-found'));
	await assert.rejects(bread.getLatest(), code('not-found'));
	assert.equal((await todos.insert({ id: 't1', title: 'New' })).title, 'New');
});

test('modify is repeated when another write came in between, and fails with what its function throws', async (t) => {
	const { todos } = await open(t);
	const counter = await todos.insert({ id: 'n', n: 0 });
	await Promise.all(Array.from({ length: 20 }, () => counter.modify((content) => ({ ...content, n: content.n + 1 }))));
	assert.equal((await counter.getLatest()).get('n'), 20);
	await assert.rejects(counter.modify(() => { throw new RangeError('mine'); }), RangeError);
	await assert.rejects(counter.modify(() => undefined), TypeError);
	await assert.rejects(counter.modify(() => ({ id: 'other' })), /must stay "n"/);
});

test('a write of what JSON cannot say is refused, and those beside it are not', async (t) => {
	const { todos } = await open(t);
	const document = await todos.insert({ id: 'a' });
	const nothing = { toJSON() {} };
	const bad = [
		() => document.patch(nothing),
		() => document.patch(new Date()),
		() => document.modify(() => nothing),
		() => document.modify(() => ({ toJSON: () => ({ id: 'a', ...nothing }) })),
		() => todos.insert({ id: 'b', ...nothing }),
	];
	for (const write of bad) {
		const beside = todos.upsert({ id: 'c' });
		await assert.rejects(write(), (error) => error instanceof TypeError && /must be an object/.test(error.message));
		await beside;
	}
	assert.equal((await document.patch({ title: 'A' })).title, 'A');
});

test('writes of one turn are in their order', async (t) => {
	const { todos } = await open(t);
	const results = await Promise.allSettled([
		todos.insert({ id: 'a', title: '1' }),
		todos.insert({ id: 'a', title: '2' }),
		todos.upsert({ id: 'a', title: '3' }),
		todos.upsert({ id: 'b', title: '4' }),
		todos.insert({ id: 'b', title: '5' }),
	]);
	assert.deepEqual(results.map(({ status }) => status), ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'rejected']);
	assert.equal(results[2].value.title, '3');
	assert.equal(await titles(todos), 'a 3, b 4');
	const [latest] = await todos.find().exec();
	assert.equal(latest.title, '3');
	assert.equal(latest, await todos.findOne('a').exec());
});

test('unchanged documents are the same objects', async (t) => {
	const { todos } = await open(t);
	const a = await todos.insert({ id: 'a', title: 'A' });
	const b = await todos.insert({ id: 'b', title: 'B' });
	assert.equal(await todos.findOne('a').exec(), a);
	assert.deepEqual(await todos.find().exec(), [a, b]);
	assert.equal((await todos.find().exec())[0], a);
	const changed = await b.patch({ title: 'C' });
	const [first, second] = await todos.find().exec();
	assert.equal(first, a);
	assert.equal(second, changed);
	assert.notEqual(second, b);
	const { success } = await todos.bulkUpsert([{ id: 'c', title: 'C' }]);
	assert.equal(await todos.findOne('c').exec(), success[0]);
});

test('what is read cannot be changed, and what was written may be', async (t) => {
	const { todos } = await open(t);
	const mine = { id: 'a', title: 'A', place: { town: 'Bern' } };
	const document = await todos.insert(mine);
	mine.place.town = 'Basel';
	assert.equal(document.place.town, 'Bern');
	assert.throws(() => { document.place.town = 'Basel'; }, TypeError);
	assert.throws(() => { document.toJSON().title = 'B'; }, TypeError);
	const copy = document.toMutableJSON();
	copy.place.town = 'Basel';
	assert.equal(document.get('place.town'), 'Bern');
	assert.equal(JSON.stringify(document), '{"id":"a","title":"A","place":{"town":"Bern"}}');
});

test('a document is not extensible, and so frameworks do not put proxies around it', async (t) => {
	const { todos } = await open(t);
	const document = await todos.insert({ id: 'a', title: 'A' });
	const [found] = await todos.find().exec();
	for (const version of [document, found, await document.patch({ title: 'B' }), await document.remove()]) {
		assert.equal(Object.isExtensible(version), false);
	}
	assert.equal(document.title, 'A');
});

test('keys and texts of all kinds', async (t) => {
	const { todos } = await open(t);
	const ids = ['a', 'ä', '\uE000', '\u{1F41F}', 'new\nline', '"quoted"', '\\', '\0', '\u2028', 'x'.repeat(1024)];
	for (const id of ids) {
		const document = await todos.insert({ id, title: `${id} \uD800` });
		assert.equal(document.primary, id);
	}
	const found = (await todos.find().exec()).map(({ id }) => id);
	assert.deepEqual(found, [...ids].sort());
	for (const id of ids) {
		assert.equal((await todos.findOne(id).exec()).title, `${id} \uD800`);
	}
	const live = await first(todos.find().$);
	assert.deepEqual(live.map(({ id }) => id), found);
});

test('live results have the order of the core', async (t) => {
	const { todos } = await open(t);
	const ids = ['\u{1F41F}', '\uE000', 'b', 'a', 'ä', '\u{1F420}', 'ab', '\uFFFD'];
	const seen = [];
	todos.find().$.subscribe((documents) => seen.push(documents.map(({ id }) => id)));
	await first(todos.find().$);
	for (const id of ids) {
		await todos.insert({ id });
	}
	await first(todos.find().$, (documents) => documents.length === ids.length);
	assert.deepEqual(seen.at(-1), (await todos.find().exec()).map(({ id }) => id));
	assert.equal(seen.at(-1).length, ids.length);
});

test('bulk writes tell what became of each document', async (t) => {
	const { todos } = await open(t);
	await todos.insert({ id: 'b', title: 'old' });
	const { success, error } = await todos.bulkInsert([{ id: 'a', title: 'A' }, { id: 'b', title: 'B' }, { title: 'no key' }, { id: 'x'.repeat(2000) }, { id: 'c', title: 'C' }]);
	assert.deepEqual(success.map(({ id }) => id), ['a', 'c']);
	assert.deepEqual(error.map(({ status, code, documentId, isError }) => [status, code, documentId.length, isError]),
		[[409, 'exists', 1, true], [422, 'invalid', 0, true], [422, 'invalid', 2000, true]]);
	assert.deepEqual(error[0].writeRow.document, { id: 'b', title: 'B' });
	assert.ok(error[1].error instanceof TypeError);
	await todos.bulkUpsert([{ id: 'b', title: 'B' }]);
	assert.equal(await titles(todos), 'a A, b B, c C');

	const removed = await todos.bulkRemove(['a', 'x', success[1]]);
	assert.deepEqual(removed.success.map(({ id, deleted, title }) => [id, deleted, title]), [['a', true, 'A'], ['c', true, 'C']]);
	assert.deepEqual(removed.error.map(({ status, documentId }) => [status, documentId]), [[404, 'x']]);
	assert.equal(await titles(todos), 'b B');
	assert.deepEqual(JSON.parse(JSON.stringify(await todos.bulkInsert([]))), { success: [], error: [] });
});

test('ten thousand documents', async (t) => {
	const { todos } = await open(t);
	const ids = Array.from({ length: 10_000 }, (_, i) => String((i * 7919) % 10_000).padStart(5, '0'));
	const live = [];
	todos.find().$.subscribe((documents) => live.push(documents.length));
	const { error } = await todos.bulkInsert(ids.map((id) => ({ id, title: 'x'.repeat(160) })));
	assert.equal(error.length, 0);
	const all = await todos.find().exec();
	assert.deepEqual(all.map(({ id }) => id), [...ids].sort());
	const shown = await first(todos.find().$, (documents) => documents.length === ids.length);
	assert.ok(shown.every((document, i) => document === all[i]));
	assert.ok(live.length < 100, `${live.length} live results`);
	await todos.find().remove();
	assert.equal(await todos.count().exec(), 0);
	const info = await todos.info();
	assert.deepEqual([info.documents, info.tombstones], [0, 10_000]);
	assert.match(info.replicaId, /^[0-9a-f]{32}$/);
});

test('events of a collection', async (t) => {
	const { todos } = await open(t);
	const events = [];
	todos.$.subscribe(({ operation, documentId, documentData, previousDocumentData, collectionName }) =>
		events.push([operation, documentId, documentData.title, previousDocumentData?.title, collectionName]));
	const removals = [];
	todos.remove$.subscribe(({ documentId }) => removals.push(documentId));
	const a = await todos.insert({ id: 'a', title: '1' });
	await a.patch({ title: '2' });
	await a.remove();
	await todos.upsert({ id: 'a', title: '3' });
	assert.deepEqual(events, [
		['INSERT', 'a', '1', undefined, 'todos'],
		['UPDATE', 'a', '2', '1', 'todos'],
		['DELETE', 'a', '2', '2', 'todos'],
		['INSERT', 'a', '3', undefined, 'todos'],
	]);
	assert.deepEqual(removals, ['a']);
});

test('live queries of one, some and the number of documents', async (t) => {
	const { todos } = await open(t);
	const one = [], some = [], count = [], field = [], states = [];
	todos.findOne('a').$.subscribe((document) => one.push(document?.title ?? null));
	todos.findByIds(['b', 'a', 'x']).$.subscribe((map) => some.push([...map.keys()].join()));
	todos.count().$.subscribe((n) => count.push(n));
	await first(todos.findOne('a').$);
	const a = await todos.insert({ id: 'a', title: '1' });
	a.get$('title').subscribe((title) => field.push(title));
	a.$.subscribe(({ title, deleted }) => states.push(deleted ? 'deleted' : title));
	await first(a.$);
	await a.patch({ title: '2' });
	await a.patch({ done: true });
	await todos.insert({ id: 'b' });
	await todos.insert({ id: 'c' });
	await a.remove();
	assert.equal((await first(a.$)).deleted, true);
	assert.deepEqual(states, ['1', '2', '2', 'deleted']);
	assert.deepEqual(one, [null, '1', '2', '2', null]);
	assert.deepEqual(some, ['', 'a', 'a', 'a', 'b,a', 'b']);
	assert.deepEqual(count, [0, 1, 2, 3, 2]);
	assert.deepEqual(field, ['1', '2']);
});

test('bad arguments are TypeErrors that name the argument', async (t) => {
	const { db, todos } = await open(t);
	const bad = async (promise, word) => assert.rejects(promise, (error) => error instanceof TypeError && error.message.includes(word));
	await bad(createDatabase(), 'options');
	await bad(createDatabase({ name: '', storage: 'memory' }), 'name');
	await bad(createDatabase({ name: 'a', storage: 'disk' }), 'storage');
	await bad(createDatabase({ name: 'a', storage: 'memory', durability: 'some' }), 'durability');
	await bad(db.addCollections({ 'no name': { schema } }), 'name');
	await bad(db.addCollections({ a: {} }), 'a.schema');
	await bad(db.addCollections({ a: { schema: { ...schema, primaryKey: 'nope' } } }), 'primary key');
	await bad(db.addCollections({ a: { schema: { ...schema, version: 1.5 } } }), 'version');
	await bad(db.addCollections({ a: { schema: { ...schema, properties: { id: {}, patch: {} } } } }), 'patch');
	await bad(db.addCollections({ a: { schema: { ...schema, properties: { id: {}, _deleted: {} } } } }), '_deleted');
	await bad(db.addCollections({ a: { schema, conflictHandler: () => {} } }), 'conflictHandler');
	await bad(todos.insert(null), 'document');
	await bad(todos.insert([]), 'document');
	await bad(todos.insert({ title: 'no key' }), 'id');
	await bad(todos.insert({ id: 7 }), 'id');
	await bad(todos.insert(Object.create({ id: 'inherited' })), 'id');
	await bad(todos.insert({ id: '\uD800' }), 'surrogate');
	await bad(todos.bulkInsert({}), 'documents');
	await bad(todos.bulkRemove([{}]), 'documents[0]');
	const { others } = await db.addCollections({ others: { schema } });
	await bad(todos.bulkRemove([await others.insert({ id: 'of another collection' })]), 'documents[0]');
	assert.throws(() => todos.findByIds('a'), TypeError);
	const document = await todos.insert({ id: 'a' });
	await bad(document.patch('x'), 'patch');
	await bad(document.modify('x'), 'change');
	await assert.rejects(todos.insert({ id: '' }), code('invalid'));
	await assert.rejects(document.patch({ id: 'b' }), code('invalid'));
	await assert.rejects(db.addCollections({ todos: { schema } }), code('exists'));
});

test('a closed database', async (t) => {
	const { db, todos } = await open(t);
	const document = await todos.insert({ id: 'a' });
	await db.close();
	await db.close();
	assert.equal(db.closed, true);
	await assert.rejects(todos.insert({ id: 'b' }), code('closed'));
	await assert.rejects(document.patch({}), code('closed'));
	await assert.rejects(todos.find().exec(), code('closed'));
	await assert.rejects(db.remove(), code('closed'));
});

test('IndexedDB is not in Node.js, and the error says what to do', async () => {
	await assert.rejects(createDatabase({ name: 'a', storage: 'indexeddb' }), (error) => code('unsupported')(error) && /memory/.test(error.message));
});

test('the page does not see what Go needs', () => {
	assert.equal('Go' in globalThis, false);
	assert.equal('fs' in globalThis, false);
	assert.equal('ShoalCore' in globalThis, false);
	assert.equal(typeof process.versions.node, 'string');
});
