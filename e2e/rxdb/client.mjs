// The real RxDB with its WebRTC replication, as an application uses it, for pages of the tests: window.rx.

globalThis.process ??= { env: {}, nextTick: (f, ...args) => queueMicrotask(() => f(...args)) };

const { createRxDatabase, addRxPlugin } = await import('rxdb/plugins/core');
const { replicateWebRTC, getConnectionHandlerSimplePeer } = await import('rxdb/plugins/replication-webrtc');
const { getRxStorageMemory } = await import('rxdb/plugins/storage-memory');
const { getRxStorageDexie } = await import('rxdb/plugins/storage-dexie');
const { RxDBLeaderElectionPlugin } = await import('rxdb/plugins/leader-election');
addRxPlugin(RxDBLeaderElectionPlugin);

const schema = {
  version: 0, primaryKey: 'id', type: 'object',
  properties: {
    id: { type: 'string', maxLength: 100 }, title: { type: 'string' }, n: { type: 'number' }, done: { type: 'boolean' },
  },
  required: ['id'],
};

// What this page sends to peers and to the signaling server.
const frames = [];
const signals = [];
for (const [prototype, list] of [[RTCDataChannel.prototype, frames], [WebSocket.prototype, signals]]) {
  const send = prototype.send;
  prototype.send = function (data) {
    list.push(typeof data === 'string' ? data : new TextDecoder().decode(data));
    return send.call(this, data);
  };
}

const memory = getRxStorageMemory();

// merging adds up what each side has added to n.
const merging = {
  isEqual: (a, b) => a.n === b.n && a.title === b.title && a._deleted === b._deleted,
  resolve: ({ newDocumentState: mine, realMasterState: real, assumedMasterState: base }) =>
    ({ ...real, n: real.n + mine.n - (base ? base.n : 0) }),
};

const rx = {
  errors: [],
  frames,
  signals,

  // open opens the database. It stays when the page is reloaded with storage "dexie".
  async open({ name = 'app', storage = 'memory', merge = false } = {}) {
    rx.db = await createRxDatabase({
      name, storage: storage === 'dexie' ? getRxStorageDexie() : memory, multiInstance: false,
    });
    await rx.db.addCollections({ todos: { schema, ...(merge ? { conflictHandler: merging } : {}) } });
    rx.todos = rx.db.todos;
    return rx.db.storageToken;
  },

  // replicate begins to replicate.
  async replicate(url, topic = 'my-users-pool', options = {}) {
    rx.pool = await replicateWebRTC({
      collection: rx.todos, topic, pull: {}, push: {}, retryTime: 1000, ...options,
      connectionHandlerCreator: getConnectionHandlerSimplePeer({ signalingServerUrl: url }),
    });
    rx.pool.error$.subscribe((e) => rx.errors.push(String(e.message).slice(0, 300)));
  },

  // role is "master" or "fork" towards the only peer.
  role() {
    const [peer] = rx.pool.peerStates$.getValue().values();
    return peer && (peer.replicationState ? 'fork' : 'master');
  },

  // room opens n databases that replicate with one another, and returns their collections.
  async room(n, url, topic) {
    const clients = [];
    for (let i = 0; i < n; i++) {
      const db = await createRxDatabase({ name: 'room' + topic + i, storage: memory, multiInstance: false });
      await db.addCollections({ todos: { schema } });
      const pool = await replicateWebRTC({
        collection: db.todos, topic, pull: {}, push: {}, retryTime: 1000,
        connectionHandlerCreator: getConnectionHandlerSimplePeer({ signalingServerUrl: url }),
      });
      clients.push({ db, pool, todos: db.todos });
    }
    rx.clients = clients;
    await Promise.all(clients.map(({ pool }) => pool.awaitFirstPeer()));
  },

  // storm has all clients of the room change one document, so many times.
  async storm(times) {
    for (let k = 0; k < times; k++) {
      await Promise.all(rx.clients.map(async ({ todos }, i) => {
        const doc = await todos.findOne('doc').exec();
        await doc.incrementalPatch({ title: `client ${i}, change ${k}`, n: k });
      }));
    }
  },

  // titles is what the clients of the room hold.
  titles: () => Promise.all(rx.clients.map(async ({ todos }) => (await todos.findOne('doc').exec())?.title ?? null)),

  // settled waits until all hold the same and nothing was sent for a second, or for so many milliseconds. It returns how long that took, without that
  // second, or -1, and how many messages were sent.
  async settled(most, other = () => null) {
    const began = performance.now();
    const first = frames.length;
    let last = frames.length, since = began;
    while (performance.now() - began < most) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      const titles = await rx.titles();
      if (frames.length !== last || titles.some((t) => t === null || t !== titles[0])) {
        [last, since] = [frames.length, performance.now()];
      } else if (performance.now() - since > 1000) {
        return [since - began, frames.length - first];
      }
    }
    return [-1, frames.length - first];
  },

  async closeRoom() {
    await Promise.all(rx.clients.map(async ({ pool, db }) => {
      await pool.cancel();
      await db.remove();
    }));
    rx.clients = [];
  },

  async offline() {
    await rx.pool.cancel();
    rx.pool = undefined;
  },

  // all returns what the collection holds, by id.
  async all() {
    const docs = await rx.todos.find().exec();
    return Object.fromEntries(docs.map((d) => { const { id, ...rest } = d.toJSON(); return [id, rest]; }));
  },

  // text is all as a text that does not depend on the order of anything.
  async text() {
    const all = await rx.all();
    return JSON.stringify(Object.keys(all).sort().map((id) => [id, Object.entries(all[id]).sort(([a], [b]) => (a < b ? -1 : 1))]));
  },

  async get(id) {
    const doc = await rx.todos.findOne(id).exec();
    return doc ? doc.toJSON() : null;
  },

  // revisions tells whether anything was written: each write makes a new one.
  async revisions() {
    const docs = await rx.todos.find().exec();
    return docs.map((d) => d.id + d.revision).sort().join();
  },

  count: () => rx.todos.count().exec(),

  // until waits for f, which is asked again after each change.
  until(f) {
    return new Promise((resolve) => {
      const ask = async () => { if (await f()) { sub.unsubscribe(); clearInterval(timer); resolve(true); } };
      const sub = rx.todos.$.subscribe(ask);
      const timer = setInterval(ask, 100);
      ask();
    });
  },
};

globalThis.rx = rx;
globalThis.rxReady = true;
