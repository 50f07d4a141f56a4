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

const memory = getRxStorageMemory();

// merging adds up what each side has added to n.
const merging = {
  isEqual: (a, b) => a.n === b.n && a.title === b.title && a._deleted === b._deleted,
  resolve: ({ newDocumentState: mine, realMasterState: real, assumedMasterState: base }) =>
    ({ ...real, n: real.n + mine.n - (base ? base.n : 0) }),
};

const rx = {
  errors: [],

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
