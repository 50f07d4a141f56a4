export { createDatabase, replicateP2P, replicateWebRTC } from './database.js';
export type { Collections, CollectionsOf, Database, DatabaseBase, DatabaseOptions } from './database.js';
export type { BulkError, BulkResult } from './bulk.js';
export type { ChangeEvent, ChangeOperation, Collection, CollectionCreator, CollectionInfo, Conflict, ConflictHandler, WithDeleted } from './collection.js';
export type { Document, DocumentMethods } from './document.js';
export { ShoalError } from './errors.js';
export type { ErrorCode, ErrorDetails } from './errors.js';
export { getConnectionHandlerSimplePeer, getConnectionHandlerWebRTC } from './handlers.js';
export type { ConnectionHandler, ConnectionHandlerCreator, ConnectionHandlerOptions, Subscribable } from './handlers.js';
export type { MigrationState, MigrationStrategies, MigrationStrategy } from './migration.js';
export type { Observable, Observer, Subscription, Value } from './observable.js';
export type { ConflictEvent, DirectionOptions, PeerInfo, PeerPath, PeerProgress, PeerState, PeerStats, ReplicationOptions, ReplicationPool, RxDBOptions, SignalingState, SyncProgress } from './pool.js';
export type {
	DocumentQuery, FieldConditions, FieldSelector, MangoQuery, MangoQuerySelector, MangoQuerySort, Query, QueryExplanation, SingleQuery,
} from './query.js';
export type { CollectionSchema, CompositePrimaryKey, DeepReadonly, DocumentOf, JsonSchema, TypedSchema } from './schema.js';
export type { ValidationProblem, Validator } from './validator.js';
export type { WasmSource } from './core.js';
