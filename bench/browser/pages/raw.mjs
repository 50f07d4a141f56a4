// What the browser itself can do: its data channel and its IndexedDB, with nothing between.
import { documents, rest, time } from './documents.mjs';

const database = new Promise((resolve, reject) => {
	const request = indexedDB.open('raw', 1);
	request.onupgradeneeded = () => {
		request.result.createObjectStore('single', { keyPath: 'id' });
		request.result.createObjectStore('packed', { autoIncrement: true });
	};
	request.onsuccess = () => resolve(request.result);
	request.onerror = () => reject(request.error);
});

/** One transaction, and resolves once it is complete. */
async function transact(store, fill) {
	const t = (await database).transaction(store, 'readwrite', { durability: 'relaxed' });
	const done = new Promise((resolve, reject) => {
		t.oncomplete = resolve;
		t.onabort = () => reject(t.error);
	});
	fill(t.objectStore(store));
	t.commit();
	await done;
}

const encoder = new TextEncoder();

/** Records of 100 documents of 200 B each, or as many as make 20 KB, as bytes of JSON. */
function pack(docs) {
	const per = Math.max(1, Math.floor(20000 / JSON.stringify(docs[0]).length));
	const blocks = [];
	for (let i = 0; i < docs.length; i += per) {
		blocks.push(encoder.encode(JSON.stringify(docs.slice(i, i + per))));
	}
	return blocks;
}

const channels = {};

window.bench = {
	/** One record per document. */
	async puts(n, size) {
		const docs = documents(n, size);
		await transact('single', (store) => store.clear());
		await rest();
		return time(() => transact('single', (store) => docs.forEach((d) => store.put(d))));
	},
	/** Many documents to a record. Making JSON of them counts. */
	async packed(n, size) {
		const docs = documents(n, size);
		await transact('packed', (store) => store.clear());
		await rest();
		return time(() => transact('packed', (store) => pack(docs).forEach((block) => store.put(block))));
	},
	/** One transaction after the other, of one document each. */
	async oneByOne(n, size) {
		const docs = documents(n, size);
		await transact('single', (store) => store.clear());
		await rest();
		return time(async () => {
			for (const d of docs) {
				await transact('single', (store) => store.put(d));
			}
		});
	},
	/** All records of one kind read, and what they hold parsed. */
	async readPacked() {
		return time(async () => {
			const store = (await database).transaction('packed').objectStore('packed');
			const request = store.getAll();
			await new Promise((resolve) => (request.onsuccess = resolve));
			const decoder = new TextDecoder();
			request.result.forEach((block) => JSON.parse(decoder.decode(block)));
		});
	},

	// The channel. Descriptions go by way of the program.

	async offer() {
		channels.pc = new RTCPeerConnection();
		channels.data = channels.pc.createDataChannel('raw');
		await channels.pc.setLocalDescription();
		await gathered(channels.pc);
		return JSON.stringify(channels.pc.localDescription);
	},
	async answer(offer) {
		channels.pc = new RTCPeerConnection();
		channels.pc.ondatachannel = ({ channel }) => {
			channels.data = channel;
			channel.binaryType = 'arraybuffer';
		};
		await channels.pc.setRemoteDescription(JSON.parse(offer));
		await channels.pc.setLocalDescription();
		await gathered(channels.pc);
		return JSON.stringify(channels.pc.localDescription);
	},
	async accept(answer) {
		await channels.pc.setRemoteDescription(JSON.parse(answer));
		await open();
	},
	/** Sends the documents in messages of 64 KB, and resolves when the other side has said that it has them. */
	async send(n, size) {
		const blob = encoder.encode(JSON.stringify(documents(n, size)));
		const { data } = channels;
		data.bufferedAmountLowThreshold = 256 << 10;
		await rest();
		const done = new Promise((resolve) => (data.onmessage = resolve));
		return time(async () => {
			for (let i = 0; i < blob.length; i += 64 << 10) {
				if (data.bufferedAmount > 1 << 20) {
					await new Promise((resolve) => (data.onbufferedamountlow = resolve));
				}
				data.send(blob.subarray(i, i + (64 << 10)));
			}
			data.send('end');
			await done;
		});
	},
	/** Answers send, storing each message in a record of its own, or not. */
	async receive(store) {
		await open();
		const { data } = channels;
		let pending = [];
		data.onmessage = async ({ data: message }) => {
			if (typeof message !== 'string') {
				if (store) {
					pending.push(transact('packed', (records) => records.put(new Uint8Array(message))));
				}
				return;
			}
			await Promise.all(pending);
			pending = [];
			data.send('done');
		};
	},
	/** Sends back what comes. */
	async echo() {
		channels.data.onmessage = ({ data }) => channels.data.send(data);
	},
	/** Goes there and back with a message of 200 B, so many times. */
	async pingPong(runs) {
		const { data } = channels;
		const times = [];
		for (let i = 0; i < runs; i++) {
			const done = new Promise((resolve) => (data.onmessage = resolve));
			times.push(await time(async () => {
				data.send('x'.repeat(200));
				await done;
			}));
		}
		return times;
	},
};

const open = async () => {
	while (channels.data?.readyState !== 'open') {
		await rest(5);
	}
};

const gathered = (pc) => new Promise((resolve) => {
	if (pc.iceGatheringState === 'complete') {
		resolve();
	}
	pc.onicegatheringstatechange = () => pc.iceGatheringState === 'complete' && resolve();
});
