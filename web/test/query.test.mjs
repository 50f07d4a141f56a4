import assert from 'node:assert/strict';
import { test } from 'node:test';
import { first, open } from './support.mjs';

const schema = {
	version: 0,
	primaryKey: 'id',
	type: 'object',
	properties: { id: { type: 'string' }, n: { type: 'number' }, city: { type: 'string' }, tags: { type: 'array' }, place: { type: 'object' } },
	indexes: ['n', ['city', 'n']],
};

const people = { people: { schema } };

const fill = (collection, count) => collection.bulkInsert(Array.from({ length: count }, (_, i) =>
	({ id: `p${String(i).padStart(3, '0')}`, n: i, city: `c${i % 4}`, tags: i % 2 ? ['odd'] : [], place: { x: i % 3 } })));

const ids = (documents) => documents.map(({ id }) => id).join(' ');

test('selectors, sort, limit and skip', async (t) => {
	const { people: c } = await open(t, people);
	await fill(c, 100);
	const found = async (query) => ids(await c.find(query).exec());
	assert.equal(await found({ selector: { n: { $gte: 95 } } }), 'p095 p096 p097 p098 p099');
	assert.equal(await found({ selector: { n: { $gte: 95 } }, sort: [{ n: 'desc' }], skip: 1, limit: 2 }), 'p098 p097');
	assert.equal(await found({ selector: { city: 'c1', n: { $lt: 10 } } }), 'p001 p005 p009');
	assert.equal(await found({ selector: { $or: [{ id: 'p003' }, { tags: 'odd', n: 5 }] } }), 'p003 p005');
	assert.equal(await found({ selector: { 'place.x': 2, id: { $regex: '^P00', $options: 'i' } } }), 'p002 p005 p008');
	assert.equal(await found({ selector: { tags: { $size: 0 }, n: { $in: [1, 2, 3] } } }), 'p002');
	assert.equal((await c.find().exec()).length, 100);
	assert.equal((await c.find({}).exec()).length, 100);
	assert.equal(await c.count({ selector: { city: 'c1' }, limit: 3 }).exec(), 25);
	assert.equal((await c.findOne({ selector: { city: 'c2' }, sort: [{ n: 'desc' }] }).exec()).id, 'p098');
	assert.equal(await c.findOne({ selector: { city: 'c9' } }).exec(), null);
	assert.equal((await c.findOne().exec()).id, 'p000');
});

test('explain names the index', async (t) => {
	const { people: c } = await open(t, people);
	await fill(c, 100);
	const e = await c.find({ selector: { city: 'c1', n: { $gt: 90 } } }).explain();
	assert.deepEqual([e.index, e.examined, e.settled, e.sort], [['city', 'n', 'id'], 2, true, 'index']);
	const hinted = await c.find({ selector: { city: 'c1' }, index: 'n' }).explain();
	assert.deepEqual([hinted.index, hinted.candidates], [['n', 'id'], 100]);
	await assert.rejects(c.find({ index: 'city' }).exec(), TypeError);
});

test('queries that are wrong say where', async (t) => {
	const { people: c } = await open(t, people);
	for (const [query, words] of [
		[{ selector: { name: 1 } }, /selector\.name.*not in the schema/],
		[{ selector: { n: { $near: 1 } } }, /\$near/],
		[{ sort: [{ n: 'up' }] }, /sort\[0\]/],
		[{ limit: -1 }, /limit/],
		[{ selector: { id: { $regex: '(' } } }, /\$regex/],
		[{ where: 1 }, /where/],
	]) {
		const wrong = (error) => error instanceof TypeError && words.test(error.message);
		await assert.rejects(c.find(query).exec(), wrong);
		await assert.rejects(c.count(query).exec(), wrong);
		await assert.rejects(first(c.find(query).$), wrong);
		await assert.rejects(first(c.count(query).$), wrong);
	}
	assert.throws(() => c.find({ selector: { n: undefined } }), /n is undefined/);
	assert.throws(() => c.find({ selector: { id: /x/i } }), /\$options/);
	assert.throws(() => c.find({ selector: { n: NaN } }), /NaN/);
	assert.throws(() => c.find({ selector: { n: () => 1 } }), /n is a function/);
	assert.throws(() => c.find({ selector: { $or: [{ n: Symbol('one') }] } }), /n is a symbol/);
	for (const query of [[], null, 1, 0]) {
		assert.throws(() => c.find(query), TypeError);
		assert.throws(() => c.findOne(query), TypeError);
	}
});

test('live results follow all kinds of writes, and keep the objects of what did not change', async (t) => {
	const { people: c } = await open(t, people);
	await fill(c, 20);
	const results = [];
	const query = c.find({ selector: { city: 'c1' }, sort: [{ n: 'desc' }], limit: 3 });
	const counts = [];
	query.$.subscribe((documents) => results.push(documents));
	c.count({ selector: { city: 'c1' } }).$.subscribe((n) => counts.push(n));
	const settled = async (want) => {
		const documents = await first(query.$, (documents) => ids(documents) === want);
		assert.deepEqual(documents, await query.exec());
		documents.forEach((document, i) => assert.equal(document, results.at(-1)[i]));
	};
	await settled('p017 p013 p009');
	await c.insert({ id: 'new', n: 14, city: 'c1' });
	await settled('p017 new p013');
	assert.equal(results.at(-1)[0], results[0][0]);
	assert.equal(results.at(-1)[2], results[0][1]);
	assert.notEqual(results.at(-1), results[0], 'each result is a list of its own');
	assert.equal(ids(results[0]), 'p017 p013 p009', 'which stays as it is');
	await (await c.findOne('p017').exec()).patch({ city: 'c2' });
	await settled('new p013 p009');
	await (await c.findOne('p001').exec()).patch({ n: 100 });
	await settled('p001 new p013');
	await (await c.findOne('new').exec()).remove();
	await settled('p001 p013 p009');
	const before = results.length;
	await c.insert({ id: 'elsewhere', n: 1, city: 'c3' });
	await c.find().exec();
	assert.equal(results.length, before);
	assert.deepEqual([counts[0], counts.at(-1)], [5, 4]);
});

test('live results equal fresh ones after random writes', async (t) => {
	const { people: c } = await open(t, people);
	let state = 7;
	const random = (n) => (state = (state * 48271) % 2147483647) % n;
	const queries = [
		undefined, { selector: { n: { $lt: 30 } } }, { selector: { city: 'c1' }, sort: [{ n: 'desc' }, { id: 'asc' }], skip: 2, limit: 20 },
		{ selector: { $or: [{ n: 5 }, { tags: 'odd' }] }, sort: [{ city: 'asc' }] },
	].map((query) => {
		const entry = { query: c.find(query), latest: undefined };
		entry.query.$.subscribe((documents) => (entry.latest = documents));
		return entry;
	});
	const document = () => ({ id: `p${random(400)}`, n: random(50), city: `c${random(4)}`, tags: random(2) ? ['odd'] : [] });
	for (let step = 0; step < 40; step++) {
		if (step % 3 === 0) {
			await c.bulkUpsert(Array.from({ length: random(300) }, document));
		} else if (step % 3 === 1) {
			await c.bulkRemove(Array.from({ length: random(100) }, () => document().id));
		} else {
			await c.upsert(document());
		}
		for (const entry of queries) {
			const fresh = await entry.query.exec();
			const live = await first(entry.query.$, (documents) => documents.length === fresh.length && documents.every((d, i) => d === fresh[i]));
			assert.ok(entry.latest.every((d, i) => d === live[i]), `step ${step}`);
		}
	}
});

test('a query can remove, patch and modify what it finds', async (t) => {
	const { people: c } = await open(t, people);
	await fill(c, 20);
	const patched = await c.find({ selector: { n: { $lt: 2 } } }).patch({ city: 'x' });
	assert.deepEqual(patched.map(({ id, city }) => `${id} ${city}`), ['p000 x', 'p001 x']);
	const modified = await c.find({ selector: { city: 'x' } }).modify((d) => ({ ...d, n: d.n + 100 }));
	assert.deepEqual(modified.map(({ n }) => n), [100, 101]);
	const removed = await c.find({ selector: { n: { $gte: 100 } } }).remove();
	assert.deepEqual(removed.map(({ id, deleted }) => [id, deleted]), [['p000', true], ['p001', true]]);
	assert.equal(await c.count().exec(), 18);
	assert.equal((await c.findOne({ selector: { n: 7 } }).remove()).id, 'p007');
	assert.equal(await c.findOne({ selector: { n: 7 } }).remove(), null);
	assert.equal((await c.findOne({ selector: { n: 8 } }).patch({ city: 'y' })).city, 'y');
});

test('who stops looking is told nothing more, and who looks again sees what is there', async (t) => {
	const { people: c } = await open(t, people);
	const query = c.find({ selector: { n: { $gt: 0 } } });
	const seen = [];
	const subscription = query.$.subscribe((documents) => seen.push(documents.length));
	subscription.unsubscribe();
	await fill(c, 5);
	assert.equal((await first(query.$)).length, 4);
	assert.deepEqual(seen, []);
	const late = [];
	const one = query.$.subscribe((documents) => late.push(documents.length));
	await first(query.$);
	query.$.subscribe((documents) => late.push(documents.length));
	await first(query.$);
	one.unsubscribe();
	await c.insert({ id: 'x', n: 9 });
	await first(query.$, (documents) => documents.length === 5);
	assert.deepEqual(late, [4, 4, 5]);
});
