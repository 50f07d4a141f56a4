import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase, ShoalError } from '../dist/shoal.js';
import { jsonSchemaValidator } from '../dist/validate.js';
import { Network, first, open, replicate, schema as plain, wasm } from './support.mjs';

const schema = {
	version: 0,
	primaryKey: 'id',
	type: 'object',
	properties: {
		id: { type: 'string', maxLength: 10 },
		title: { type: 'string' },
		done: { type: 'boolean', default: false },
		n: { type: 'integer', minimum: 0 },
		tags: { type: 'array', items: { type: 'string' } },
		place: { type: 'object', properties: { x: { type: 'number' } }, required: ['x'] },
		owner: { type: 'string', final: true },
	},
	required: ['id', 'title'],
	indexes: ['n'],
};

const validated = async (t, creators = { todos: { schema } }, validator = jsonSchemaValidator) => {
	const db = await createDatabase({ name: `schema-${t.name}`, storage: 'memory', wasm, validator });
	t.after(() => db.close());
	return { db, ...await db.addCollections(creators) };
};

const wrong = (documentId, ...problems) => (error) => {
	assert.ok(error instanceof ShoalError, String(error));
	assert.equal(error.code, 'invalid');
	assert.equal(error.documentId, documentId);
	assert.deepEqual(error.problems.map(({ field, rule }) => `${field} ${rule}`), problems);
	error.problems.forEach(({ message }) => assert.ok(message && error.message.includes(message)));
	return true;
};

test('documents that do not follow the schema are refused by document, field and rule', async (t) => {
	const { todos } = await validated(t);
	const a = await todos.insert({ id: 'a', title: 'A', n: 1, tags: ['x'], place: { x: 1 } });
	await assert.rejects(todos.insert({ id: 'b' }), wrong('b', ' required'));
	await assert.rejects(todos.insert({ id: 'b', title: 7 }), wrong('b', 'title type'));
	await assert.rejects(todos.insert({ id: 'b', title: '', n: -1, tags: ['x', 2] }), wrong('b', 'n minimum', 'tags.1 type'));
	await assert.rejects(todos.insert({ id: 'b', title: '', place: {} }), wrong('b', 'place required'));
	await assert.rejects(todos.insert({ id: 'b', title: '', colour: 'red' }), wrong('b', ' additionalProperties'));
	await assert.rejects(todos.insert({ id: 'x'.repeat(11), title: '' }), wrong('x'.repeat(11), 'id maxLength'));
	await assert.rejects(todos.upsert({ id: 'a', title: null }), wrong('a', 'title type'));
	await assert.rejects(a.patch({ n: 'x' }), wrong('a', 'n type'));
	await assert.rejects(a.patch({ title: null }), wrong('a', 'title type'));
	await assert.rejects(a.modify(({ title, ...rest }) => rest), wrong('a', ' required'));
	await assert.rejects(todos.find().patch({ n: 0.5 }), wrong('a', 'n type'));
	assert.deepEqual((await a.getLatest()).toJSON(), a.toJSON());
	assert.equal((await a.patch({ n: 2, title: undefined })).n, 2);
	assert.equal((await a.modify((d) => ({ ...d, n: 3 }))).n, 3);
	assert.equal((await todos.insert({ id: 'c', title: 'C', n: undefined })).n, undefined);
	assert.equal(await todos.count().exec(), 2);
	await todos.findOne('a').remove();
	await assert.rejects(a.patch({ n: 4 }), (error) => error.code === 'not-found');
});

test('bulk writes say which documents failed, and why', async (t) => {
	const { todos } = await validated(t);
	const { success, error } = await todos.bulkInsert([{ id: 'a', title: 'A' }, { id: 'b', title: 1 }, { id: 'c', title: 'C', n: -1 }, { id: 'd', title: 'D' }]);
	assert.deepEqual(success.map(({ id }) => id), ['a', 'd']);
	assert.deepEqual(error.map(({ status, code, documentId, validationErrors }) => [status, code, documentId, validationErrors.map(({ field }) => field).join()]),
		[[422, 'invalid', 'b', 'title'], [422, 'invalid', 'c', 'n']]);
	assert.deepEqual(error[0].writeRow.document, { id: 'b', title: 1 });
});

test('any library can be put into the form of a validator', async (t) => {
	const mine = ({ required }) => (document) => required.filter((field) => !(field in document)).map((field) => ({ field, rule: 'mine', message: `${field}!` }));
	const { todos } = await validated(t, undefined, mine);
	await assert.rejects(todos.insert({ id: 'a' }), wrong('a', 'title mine'));
	await todos.insert({ id: 'a', title: 7 });
	await assert.rejects(createDatabase({ name: 'x', storage: 'memory', wasm, validator: {} }), TypeError);
});

test('what a conflict handler and pull.modifier return is checked', async (t) => {
	const network = new Network();
	const conflictHandler = { isEqual: (a, b) => a.title === b.title, resolve: ({ realMasterState }) => ({ ...realMasterState, title: 7 }) };
	const { todos: a } = await validated(t, { todos: { schema, conflictHandler } });
	const { todos: b } = await open(t, { todos: { schema } });
	await a.insert({ id: '1', title: 'a' });
	await b.insert({ id: '1', title: 'b' });
	const pool = await replicate(t, network, a);
	const failed = first(pool.error$);
	await replicate(t, network, b);
	assert.match((await failed).message, /title/);
});

test('defaults', async (t) => {
	const { todos } = await open(t, { todos: { schema } });
	assert.equal((await todos.insert({ id: 'a', title: 'A' })).done, false);
	assert.equal((await todos.upsert({ id: 'b', title: 'B', done: true })).done, true);
	const { success } = await todos.bulkInsert([{ id: 'c', title: 'C', done: undefined }]);
	assert.equal(success[0].done, false);
	assert.equal((await todos.findOne('c').exec()).done, false);
	const mine = { id: 'd', title: 'D' };
	await todos.insert(mine);
	assert.deepEqual(mine, { id: 'd', title: 'D' });
	assert.equal((await todos.findOne('d').modify(({ done, ...rest }) => rest)).done, undefined);
});

test('final fields', async (t) => {
	const { todos } = await open(t, { todos: { schema } });
	const a = await todos.insert({ id: 'a', title: 'A', owner: 'me' });
	const final = (error) => error.code === 'invalid' && error.documentId === 'a' && /owner.*final/.test(error.message);
	await assert.rejects(a.patch({ owner: 'you' }), final);
	await assert.rejects(a.modify(({ owner, ...rest }) => rest), final);
	await assert.rejects(todos.upsert({ id: 'a', title: 'A' }), final);
	assert.equal((await todos.bulkUpsert([{ id: 'a', title: 'A', owner: 'you' }])).error[0].status, 422);
	assert.equal((await a.patch({ owner: 'me', title: 'B' })).title, 'B');
	await a.remove();
	assert.equal((await todos.insert({ id: 'a', title: 'C', owner: 'you' })).owner, 'you');
});

test('composite primary keys', async (t) => {
	const composite = {
		version: 0,
		primaryKey: { key: 'id', fields: ['user', 'place.x'], separator: '|' },
		type: 'object',
		properties: { id: { type: 'string' }, user: { type: 'string' }, place: { type: 'object' }, n: { type: 'number' } },
	};
	const { db, visits } = await open(t, { visits: { schema: composite } });
	const visit = await visits.insert({ user: 'me', place: { x: 5 } });
	assert.deepEqual([visit.primary, visit.id], ['me|5', 'me|5']);
	assert.equal((await visits.upsert({ id: 'me|5', user: 'me', place: { x: 5 }, n: 1 })).n, 1);
	assert.deepEqual((await visits.bulkInsert([{ user: 'me', place: { x: 5 } }, { user: 'you', place: { x: 5 } }])).error.map(({ code, documentId }) => [code, documentId]), [['exists', 'me|5']]);
	assert.equal((await visits.find({ selector: { user: 'you' } }).exec())[0].id, 'you|5');
	await assert.rejects(visits.insert({ id: 'x', user: 'me', place: { x: 6 } }), (error) => error.code === 'invalid' && error.documentId === 'me|6');
	await assert.rejects(visits.insert({ user: 'me' }), (error) => error instanceof TypeError && /place\.x/.test(error.message));
	await assert.rejects(visit.patch({ user: 'other' }), (error) => error.code === 'invalid');
	for (const primaryKey of [7, {}, { key: 'id', fields: ['nope'], separator: '|' }, { key: 'id', fields: [], separator: '|' }, { key: 'nope', fields: ['user'], separator: '' }]) {
		await assert.rejects(db.addCollections({ x: { schema: { ...composite, primaryKey } } }), TypeError);
	}
});

test('peers whose schemas differ exchange nothing, and both are told', async (t) => {
	for (const other of [{ ...plain, version: 1 }, { ...plain, properties: { ...plain.properties, more: {} } }]) {
		const network = new Network();
		const { todos: a } = await open(t, { todos: { schema: plain } });
		const { todos: b } = await open(t, { todos: { schema: other, ...(other.version && { migrationStrategies: { 1: (d) => d } }) } });
		const { todos: c } = await open(t, { todos: { schema: { ...plain, title: 'the same', indexes: ['title'] } } });
		await a.insert({ id: '1', title: 'from a' });
		await b.insert({ id: '2', title: 'from b' });
		const poolA = await replicate(t, network, a);
		const errorA = first(poolA.error$);
		const poolB = await replicate(t, network, b);
		const errorB = first(poolB.error$);
		await replicate(t, network, c);
		assert.deepEqual([(await errorA).code, (await errorB).code], ['schema', 'schema']);
		await first(c.findOne('1').$, (document) => document !== null);
		assert.deepEqual([await a.count().exec(), await b.count().exec(), await c.count().exec()], [1, 1, 1]);
	}
});
