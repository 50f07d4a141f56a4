import assert from 'node:assert/strict';
import { test } from 'node:test';
import { from, firstValueFrom } from 'rxjs';
import { first, open } from './support.mjs';

test('RxJS takes an observable', async (t) => {
	const { todos } = await open(t);
	const event = firstValueFrom(from(todos.$));
	await todos.insert({ id: 'a', title: 'Milk' });
	assert.equal((await event).documentId, 'a');
	assert.equal(todos.$['@@observable']().constructor.name, todos.$.constructor.name);
});

test('an observer object and a function both work, until they unsubscribe', async (t) => {
	const { todos } = await open(t);
	const seen = [];
	const one = todos.$.subscribe({ next: (event) => seen.push(`object ${event.documentId}`) });
	const two = todos.$.subscribe((event) => seen.push(`function ${event.documentId}`));
	todos.$.subscribe();
	await todos.insert({ id: 'a' });
	one.unsubscribe();
	assert.equal(one.closed, true);
	assert.equal(two.closed, false);
	await todos.insert({ id: 'b' });
	assert.deepEqual(seen, ['object a', 'function a', 'function b']);
});

test('for await reads every event, also those that came while it was busy', async (t) => {
	const { todos } = await open(t);
	const iterator = todos.$[Symbol.asyncIterator]();
	for (const id of ['a', 'b', 'c']) {
		await todos.insert({ id });
	}
	assert.equal((await iterator.next()).value.documentId, 'a');
	assert.equal((await iterator.next()).value.documentId, 'b');
	const { done } = await iterator.return();
	assert.equal(done, true);
	assert.deepEqual(await iterator.next(), { done: true, value: undefined });
});

test('an observable completes when the database is closed', async (t) => {
	const { db, todos } = await open(t);
	const seen = [];
	todos.$.subscribe({ complete: () => seen.push('$') });
	todos.find().$.subscribe({ complete: () => seen.push('find') });
	const loop = (async () => {
		for await (const _ of todos.find().$);
		seen.push('loop');
	})();
	await first(todos.find().$);
	await db.close();
	await loop;
	assert.deepEqual(seen.sort(), ['$', 'find', 'loop']);
	todos.$.subscribe({ complete: () => seen.push('late') });
	assert.equal(seen.at(-1), 'late');
});

test('a query that is being answered when the database is closed completes, too', async (t) => {
	const { db, todos } = await open(t);
	await todos.bulkInsert(Array.from({ length: 20_000 }, (_, i) => ({ id: String(i), title: 'x'.repeat(100) }))); // the core pauses among so many
	const query = { selector: { title: { $regex: 'y' } } };
	const outcomes = [todos.find(query).$, todos.count(query).$].map((observable) =>
		new Promise((complete, error) => observable.subscribe({ error, complete })));
	await db.close();
	await Promise.all(outcomes);
});

test('what a subscriber throws is reported and disturbs nobody', async (t) => {
	const { todos } = await open(t);
	const reported = [];
	globalThis.reportError = (error) => reported.push(error.message);
	t.after(() => delete globalThis.reportError);
	const seen = [];
	todos.$.subscribe(() => {
		throw new Error('mine');
	});
	todos.$.subscribe((event) => seen.push(event.documentId));
	await todos.insert({ id: 'a' });
	assert.deepEqual(reported, ['mine']);
	assert.deepEqual(seen, ['a']);
});

test('a live query: the Svelte store contract', async (t) => {
	const { todos } = await open(t);
	await todos.insert({ id: 'a' });
	let value;
	const subscription = todos.count().$.subscribe((n) => (value = n), () => {}); // Svelte passes a second function
	await first(todos.count().$, (n) => n === 1);
	await todos.insert({ id: 'b' });
	await first(todos.count().$, (n) => n === 2);
	assert.equal(value, 2);
	subscription.unsubscribe();
	await todos.insert({ id: 'c' });
	assert.equal(value, 2);
});
