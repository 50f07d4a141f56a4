// The documents that all sides write, and what they tell. A document of 200 B has 200 characters as JSON.

const letters = 'abcdefghijklmnopqrstuvwxyz ';

/** Returns n documents of about that many bytes, by ascending primary key. Their field n has every value below n once, in no order. */
export function documents(n, size, from = 0) {
	const prime = 7919; // has no factor in common with any n in use
	let seed = 1;
	const text = (length) => {
		let s = '';
		while (s.length < length) {
			seed = (seed * 48271) % 2147483647;
			s += letters[seed % letters.length];
		}
		return s;
	};
	const filler = text(size);
	return Array.from({ length: n }, (_, i) => {
		const d = { id: `d${String(from + i).padStart(9, '0')}`, n: (i * prime) % n, done: i % 2 === 0, text: '' };
		const length = Math.max(0, size - JSON.stringify(d).length);
		d.text = text(8) + filler.slice(0, Math.max(0, length - 8));
		return d;
	});
}

export const schema = {
	version: 0,
	primaryKey: 'id',
	type: 'object',
	properties: {
		id: { type: 'string', maxLength: 20 },
		n: { type: 'number', minimum: 0, maximum: 1000000, multipleOf: 1 },
		done: { type: 'boolean' },
		text: { type: 'string' },
	},
	required: ['id', 'n', 'done', 'text'],
};

/** Returns how many milliseconds work takes. */
export async function time(work) {
	const start = performance.now();
	await work();
	return performance.now() - start;
}

/** Resolves when the page has had nothing to do for a moment. */
export const rest = (ms = 300) => new Promise((resolve) => setTimeout(resolve, ms));

/** Notes when the first data channel of this page opened. */
export let opened;
const open = () => (opened ??= performance.now());
const { createDataChannel } = RTCPeerConnection.prototype;
RTCPeerConnection.prototype.createDataChannel = function (...args) {
	const channel = createDataChannel.apply(this, args);
	channel.addEventListener('open', open);
	this.addEventListener('datachannel', (event) => event.channel.addEventListener('open', open));
	return channel;
};
const { setRemoteDescription } = RTCPeerConnection.prototype;
RTCPeerConnection.prototype.setRemoteDescription = function (...args) {
	if (!this.watched) {
		this.watched = true;
		this.addEventListener('datachannel', ({ channel }) => channel.readyState === 'open' ? open() : channel.addEventListener('open', open));
	}
	return setRemoteDescription.apply(this, args);
};
export const resetOpened = () => (opened = undefined);

/** bench.queries, or that there are none. */
window.queries = (n, turn) => window.bench.queries(n, 11, turn).catch((error) => {
	if (error.code === 'unsupported') {
		return { unsupported: true };
	}
	throw error;
});

/** A database, made when a collection is first wanted, and the collection opened last: Shoal's API is RxDB's in this. */
export function collections(makeDatabase) {
	let database;
	let current;
	let last = 0;
	return {
		database: () => database,
		current: () => current,
		async open({ name = `c${++last}`, index } = {}) {
			database ??= await makeDatabase();
			current = (await database.addCollections({ [name]: { schema: { ...schema, ...(index && { indexes: ['n'] }) } } }))[name];
			return current;
		},
		async check(n) {
			const got = await current.count().exec();
			if (got !== n) {
				throw new Error(`there are ${got} documents`);
			}
		},
	};
}

/** What is the same for Shoal and RxDB: the work, on their collections. plain is what a document holds. */
export function work(side, plain) {
	return {
		time,
		count: () => side.current().count().exec(),
		insert: (document) => side.current().insert(document),
		/** Calls on each document that is new here. */
		onInsert(call) {
			side.current().insert$.subscribe(({ documentId }) => call(documentId));
		},
		/** One write after the other, each waited for. */
		async oneByOne(n, size) {
			const docs = documents(n, size);
			const collection = await side.open();
			await rest();
			return time(async () => {
				for (const d of docs) {
					await collection.insert(d);
				}
			});
		},
		/** All writes at once, each a call of its own. */
		async atOnce(n, size) {
			const docs = documents(n, size);
			const collection = await side.open();
			await rest();
			return time(() => Promise.all(docs.map((d) => collection.insert(d))));
		},
		async bulk(n, size) {
			const docs = documents(n, size);
			const collection = await side.open();
			await rest();
			const ms = await time(() => collection.bulkInsert(docs));
			await side.check(n);
			return ms;
		},
		/** Fills a collection as an application does over time: RxDB's checkpoints scan documents of equal times again and again. */
		async fill(n, size, options) {
			const docs = documents(n, size);
			const collection = await side.open(options);
			for (let i = 0; i < n; i += 20) {
				await collection.bulkInsert(docs.slice(i, i + 20));
			}
			await side.check(n);
		},
		/** Opens a collection that is there. */
		async use(options) {
			await side.open(options);
		},
		/** Opens a collection of n documents, and asks for all of them. Both are timed from the start. */
		async reopen(n, options) {
			const start = performance.now();
			const collection = await side.open(options);
			const ready = performance.now() - start;
			const found = await collection.find().exec();
			const all = performance.now() - start;
			if (found.length !== n) {
				throw new Error(`found ${found.length} documents`);
			}
			return { ready, all };
		},
		/** In the collection opened last, a query that an index serves, of 100 among all, and a count of half of them: medians of so many runs, each for other values. */
		async queries(n, runs, turn) {
			const collection = side.current();
			const median = async (run) => {
				const times = [];
				for (let i = 0; i < runs + 1; i++) {
					times.push(await time(() => run(i)));
				}
				return times.slice(1).sort((a, b) => a - b)[Math.floor(runs / 2)]; // the first one warms up
			};
			const query = await median(async (i) => {
				const from = i * 1000 + turn * 37; // RxDB remembers the results of queries that it has had
				const docs = await collection.find({ selector: { n: { $gte: from, $lt: from + 100 } }, sort: [{ n: 'asc' }] }).exec();
				if (docs.length !== 100 || plain(docs[0]).n !== from) {
					throw new Error(`found ${docs.length}`);
				}
			});
			const count = await median(async (i) => {
				const above = n / 2 + turn * 100 + i;
				const got = await collection.count({ selector: { n: { $gt: above } } }).exec();
				if (got !== n - above - 1) {
					throw new Error(`counted ${got}`);
				}
			});
			return { query, count };
		},
		/** From the write of one document until a live query of all n shows it. */
		async live(n, size, runs) {
			const collection = await side.open();
			for (let i = 0, docs = documents(n, size); i < n; i += 1000) {
				await collection.bulkInsert(docs.slice(i, i + 1000));
			}
			let wanted;
			let shown = () => {};
			let first;
			const began = new Promise((resolve) => (first = resolve));
			const subscription = collection.find().$.subscribe((docs) => {
				first();
				if (wanted && plain(docs[wanted.at]).n === wanted.n) {
					shown();
				}
			});
			await began;
			await rest();
			const times = [];
			for (let i = 0; i < runs; i++) {
				const at = (i * 379) % n;
				const document = await collection.findOne(`d${String(at).padStart(9, '0')}`).exec();
				const done = new Promise((resolve) => (shown = resolve));
				times.push(await time(() => {
					wanted = { at, n: 500000 + i };
					document.patch({ n: 500000 + i });
					return done;
				}));
			}
			subscription.unsubscribe();
			return times;
		},
	};
}
