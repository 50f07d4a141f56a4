import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDatabase } from '../dist/shoal.js';
import { wasm } from './support.mjs';

// In a file of its own: only the first database of a page loads the program.
test('shoal.wasm may come with a content type that has a parameter', async (t) => {
	const response = new Response(wasm, { headers: { 'content-type': 'application/wasm; charset=utf-8' } });
	const db = await createDatabase({ name: 'a', storage: 'memory', wasm: response });
	t.after(() => db.close());
	assert.equal(db.closed, false);
});
